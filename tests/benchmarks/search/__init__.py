"""The search benchmark: recorded training runs searched on a simulated clock, ours beside its peers."""
