"""Helpers of test_runtime.py: the driver program and a relay in front of the engine."""
