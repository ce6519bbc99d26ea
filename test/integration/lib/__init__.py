"""Harness of the integration suite: see stack.py for the central object. Python 3 standard library only."""
