"""Data sets that are made up: problems whose difficulty is known."""

import numpy as np

from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.faults import setting_fault

ADDING_SIZES = (10_000, 1_000, 1_000)
"""Sequences of the train, validation and test split."""
ADDING_STEPS = 2_000
"""Longest sequences: 0.2 GB of them."""


def adding(steps: int, seed: int) -> Dataset:
    """The adding problem (Hochreiter and Schmidhuber 1997, experiment 4; in the form of Le et al. 2015).

    Inputs: [sequences, steps, 2], a value of 0 to 1 and a mark, which is 1 at one step of the first half and one of
    the second, else 0. Target: the sum of the two marked values. To guess 1 always has a mean squared error of 1/6.
    Raises `InvalidInput` for fewer than 2 steps or more than 2,000.
    """
    if not 2 <= steps <= ADDING_STEPS:
        raise setting_fault("window", f"must be from 2 to {ADDING_STEPS} steps for adding, not {steps}")
    generator = np.random.default_rng(seed)
    train, validation, test = (_adding(size, steps, generator) for size in ADDING_SIZES)
    return Dataset("regression", train, validation, test, features=("value", "mark"))


def _adding(size: int, steps: int, generator: np.random.Generator) -> Sequences:
    values = generator.random((size, steps), dtype=np.float32)
    rows = np.arange(size)
    marked = generator.integers(0, steps // 2, size), generator.integers(steps // 2, steps, size)
    marks = np.zeros_like(values)
    for steps_marked in marked:
        marks[rows, steps_marked] = 1
    targets = values[rows, marked[0]] + values[rows, marked[1]]
    return Sequences(np.stack([values, marks], axis=2), np.full(size, steps, dtype=np.int64), targets)
