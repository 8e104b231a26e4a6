"""Train, validation and test: as the data bring them, the rest divided here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.sequences import Dataset, Sequences, check_finite


@dataclass(frozen=True, slots=True)
class Splits:
    """The three parts of a data set. The search sees validation alone."""

    train: Sequences
    validation: Sequences
    test: Sequences


def split(data: Dataset, validation_fraction: float, test_fraction: float, seed: int) -> Splits:
    """Divide what the data do not bring divided: classes in proportion, series by time, the rest at random.

    `seed` alone decides: every trial of a study has the same splits. Raises `InvalidInput` where a part would be
    empty.
    """
    if data.task == "forecast":
        parts = _by_time(data, validation_fraction, test_fraction)
    else:
        rest, test = (data.train, data.test) if data.test else _divide(data, data.train, test_fraction, seed)
        train, validation = (
            (rest, data.validation) if data.validation else _divide(data, rest, validation_fraction, seed + 1)
        )
        parts = Splits(train, validation, test)
    for name, part in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if not len(part):
            raise setting_fault("dataset", f"is too small: the {name} split would be empty")
        check_finite(part, name)
    return parts


def _divide(data: Dataset, sequences: Sequences, fraction: float, seed: int) -> tuple[Sequences, Sequences]:
    """(the rest, the part of about `fraction`), each in the order of the data."""
    generator = np.random.default_rng(seed)
    strata = sequences.targets if data.task == "classification" else np.zeros(len(sequences), dtype=np.int64)
    chosen: list[NDArray[np.int64]] = []
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        # at least one of each class for training
        chosen.append(members[: min(round(fraction * len(members)), len(members) - 1)])
    part = np.sort(np.concatenate(chosen))
    return sequences.take(np.setdiff1d(np.arange(len(sequences)), part)), sequences.take(part)


def _by_time(data: Dataset, validation_fraction: float, test_fraction: float) -> Splits:
    """The past to train on, the next part to validate on, the newest to test on.

    Divided by the target's time, so a window may reach back into the part before, as it would in use; and by the
    series' length, so that trials of different windows are held to the same targets.
    """
    examples = data.train
    test = max(1, round(test_fraction * data.steps))
    first_test = len(examples) - test
    first_validation = first_test - max(1, round(validation_fraction * (data.steps - test)))
    if first_validation < 1:
        raise setting_fault("dataset", "is too short for its window and its validation and test fractions")
    order = np.arange(len(examples))
    return Splits(
        examples.take(order[:first_validation]),
        examples.take(order[first_validation:first_test]),
        examples.take(order[first_test:]),
    )
