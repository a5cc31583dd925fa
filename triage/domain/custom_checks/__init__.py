"""Checks that people write themselves, in the words of search, over the facts that a collector keeps."""
