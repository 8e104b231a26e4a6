"""Objectives: what a worker trains. Torch is imported in `rnn/` alone, and only when a trial runs."""
