"""Train, validation and test: as the data bring them, the rest divided here."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences, check_finite, joined
from hpsearch.objectives.rnn.faults import setting_fault


@dataclass(frozen=True, slots=True)
class Splits:
    """The three parts of a data set. The search sees validation alone."""

    train: Sequences
    validation: Sequences | None
    """None where training has it too."""
    test: Sequences


def split(
    data: Dataset, validation_fraction: float, test_fraction: float, seed: int, folds: int = 1, by: str = "chance"
) -> list[Splits]:
    """Divide what the data do not bring divided: classes in proportion, series by time, the rest at random, or by
    "blocks": parts are runs of neighbours, the last ones for the test, those before them for validation.

    With several folds one test split and as many divisions of the rest: each sequence is once in a validation split; of
    a series each fold validates on what comes after its training part (rolling origins, Tashman 2000). `seed` alone
    decides: every trial of a study has the same splits. Raises `InvalidInput` where a part would be empty.
    """
    if data.task == "forecast":
        found = _by_time(data, validation_fraction, test_fraction, folds)
    else:
        rest, test = _test_apart(data, test_fraction, seed, by)
        chance = None if by == "blocks" else seed + 1
        if folds > 1:
            found = [Splits(*both, test) for both in _folds(data, rest, folds, chance)]
        else:
            both = (rest, data.validation) if data.validation else _divide(data, rest, validation_fraction, chance)
            found = [Splits(*both, test)]
    return [_checked(parts) for parts in found]


def without_validation(data: Dataset, test_fraction: float, seed: int, by: str = "chance") -> Splits:
    """The same test split as that of `split`, and all the rest to train on. Raises `InvalidInput` likewise."""
    if data.task == "forecast":
        examples, first_test, between = _until_test(data, test_fraction)
        bounds = (0, first_test - between), (first_test, len(examples))
        train, test = (examples.take(np.arange(*bound)) for bound in bounds)
    else:
        train, test = _test_apart(data, test_fraction, seed, by)
        if data.validation is not None:
            train = joined(train, data.validation)
    return _checked(Splits(train, None, test))


def _test_apart(data: Dataset, fraction: float, seed: int, by: str) -> tuple[Sequences, Sequences]:
    """(the rest, the test split)."""
    if data.test:
        return data.train, data.test
    return _divide(data, data.train, fraction, None if by == "blocks" else seed)


def _checked(parts: Splits) -> Splits:
    for name, part in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if part is None:
            continue
        if not len(part):
            raise setting_fault("dataset", f"is too small: the {name} split would be empty")
        check_finite(part, name)
    return _with_seen_categories(parts)


def _with_seen_categories(parts: Splits) -> Splits:
    """Categories that training never sees are 0, the unknown one: nothing was learnt of them."""
    seen = parts.train.categories
    if seen is None:
        return parts

    def masked(part: Sequences) -> Sequences:
        columns = [np.where(np.isin(own, known), own, 0) for own, known in zip(_columns(part), seen.T, strict=True)]
        return replace(part, categories=np.stack(columns, axis=1))

    return Splits(parts.train, masked(parts.validation) if parts.validation else None, masked(parts.test))


def _columns(part: Sequences) -> NDArray[np.int64]:
    """[categories, sequences]."""
    return np.empty((0, len(part)), dtype=np.int64) if part.categories is None else part.categories.T


def _divide(data: Dataset, sequences: Sequences, fraction: float, seed: int | None) -> tuple[Sequences, Sequences]:
    """(the rest, the part of about `fraction`), each in the order of the data; without a seed the last part."""
    if data.task == "language_model":
        raise setting_fault("dataset", "a language model's data bring their splits")
    if seed is None:
        count = len(sequences)
        return _apart(sequences, np.arange(count - min(round(fraction * count), count - 1), count))
    # at least one of each class for training
    chosen = [
        members[: min(round(fraction * len(members)), len(members) - 1)] for members in _strata(data, sequences, seed)
    ]
    return _apart(sequences, np.concatenate(chosen))


def _folds(data: Dataset, sequences: Sequences, folds: int, seed: int | None) -> list[tuple[Sequences, Sequences]]:
    """(training, validation) of each fold, classes in proportion; without a seed runs of neighbours."""
    if data.task == "language_model" or data.validation is not None:
        raise setting_fault("folds", "must be 1 where the data bring a validation split of their own")
    if len(sequences) < folds:
        raise setting_fault("folds", f"must be at most {len(sequences)}, the number of sequences")
    if seed is None:
        return [_apart(sequences, block) for block in np.array_split(np.arange(len(sequences)), folds)]
    # dealt out one by one, and on from where the last class ended: folds of like size
    order = np.concatenate(_strata(data, sequences, seed))
    return [_apart(sequences, order[fold::folds]) for fold in range(folds)]


def _strata(data: Dataset, sequences: Sequences, seed: int) -> list[NDArray[np.int64]]:
    """The indices of each class, shuffled; of all sequences where there are no classes."""
    generator = np.random.default_rng(seed)
    strata = sequences.targets if data.task == "classification" else np.zeros(len(sequences), dtype=np.int64)
    return [generator.permutation(np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)]


def _apart(sequences: Sequences, chosen: NDArray[np.int64]) -> tuple[Sequences, Sequences]:
    """(the rest, the chosen ones), each in the order of the data."""
    return sequences.take(np.setdiff1d(np.arange(len(sequences)), chosen)), sequences.take(np.sort(chosen))


def _by_time(data: Dataset, validation_fraction: float, test_fraction: float, folds: int) -> list[Splits]:
    """The past to train on, the next part to validate on, the newest to test on.

    Divided by the targets' time, so a window may reach back into the part before, as it would in use; and by the
    series' length, so that trials of different windows are held to the same targets. No target is in two parts: as
    many examples as a forecast has steps, but one, are left out between two parts.
    """
    examples, first_test, between = _until_test(data, test_fraction)
    each = max(1, round(validation_fraction * (data.steps - len(examples) + first_test) / folds))
    found = []
    for fold in range(folds):
        stop = first_test - (folds - 1 - fold) * each - between
        start = stop - each
        if start - between < 1:
            raise setting_fault("dataset", "is too short for its window, its horizon and its validation and test parts")
        bounds = (0, start - between), (start, stop), (first_test, len(examples))
        found.append(Splits(*(examples.take(np.arange(*bound)) for bound in bounds)))
    return found


def _until_test(data: Dataset, test_fraction: float) -> tuple[Sequences, int, int]:
    """A series' examples, the first of the test, and how many to leave out between two parts."""
    examples = data.train
    return examples, len(examples) - max(1, round(test_fraction * data.steps)), examples.targets.shape[1] - 1
