"""The worker: an agent that claims trials, and a warm child process a slot that runs them."""
