"""Measurements against named peers, run by hand: `python -m tests.benchmarks.engine`."""
