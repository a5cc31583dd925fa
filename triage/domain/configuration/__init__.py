"""The configuration as a file: what is stored can be written down, compared and brought to what a file says."""
