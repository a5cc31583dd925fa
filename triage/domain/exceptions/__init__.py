"""What is not to be fixed for now: asked for by one person, allowed by another, ended by time.

`requesting` asks, `deciding` approves, refuses and revokes, `keeping` covers findings and lets go of them, `registering` reads.
"""
