"""What to try next, and what to give up: the only importer of Optuna.

A sampler is a function here: the study's history in, parameters out. Nothing is kept that a restart would lose.
"""
