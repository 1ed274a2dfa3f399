"""Peers that are a few lines of Python: each reads a list of regexes (JSON) and a log, and prints counts as JSON."""
