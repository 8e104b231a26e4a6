"""Training and evaluation, and all that a checkpoint holds."""
