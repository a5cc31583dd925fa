"""Who is told what, when and how often.

`gathering` notes what is to be told, each thing once for a recipient; `telling` decides when and in which message; the outbox
delivers. `recipients` knows where somebody is reached, and what they want.
"""
