"""A study under a storm of faults, and the proof that it kept its promises. See `run`."""
