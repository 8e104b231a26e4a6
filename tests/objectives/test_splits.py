"""Splits and folds."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.data.forecast import forecast_dataset
from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences, joined
from hpsearch.objectives.rnn.data.splits import Splits, without_validation
from hpsearch.objectives.rnn.data.splits import split as all_splits


def split(*arguments: Any) -> Splits:
    (parts,) = all_splits(*arguments)
    return parts


def numbered(count: int, classes: int = 1) -> Sequences:
    """Sequences of one step that hold their own number."""
    inputs = np.arange(count, dtype=np.float32)[:, None, None]
    return Sequences(inputs, np.ones(count, dtype=np.int64), np.arange(count, dtype=np.int64) % classes)


def numbers(part: Sequences) -> list[int]:
    return [int(value) for value in part.inputs[:, 0, 0]]


def test_every_sequence_is_in_one_part() -> None:
    parts = split(Dataset("classification", numbered(100, 4)), 0.25, 0.2, 0)
    together = numbers(parts.train) + numbers(parts.validation) + numbers(parts.test)
    assert sorted(together) == list(range(100))
    assert (len(parts.test), len(parts.validation)) == (20, 20)


def test_classes_keep_their_shares() -> None:
    targets = np.repeat(np.array([0, 1, 2], dtype=np.int64), (80, 15, 5))
    parts = split(Dataset("classification", replace(numbered(100), targets=targets)), 0.25, 0.2, 0)
    assert np.bincount(parts.test.targets).tolist() == [16, 3, 1]
    assert np.bincount(parts.validation.targets).tolist() == [16, 3, 1]


def test_the_only_sequence_of_a_class_is_trained_on() -> None:
    targets = np.array([0] * 20 + [1], dtype=np.int64)
    parts = split(Dataset("classification", replace(numbered(21), targets=targets)), 0.5, 0.5, 0)
    assert 1 in parts.train.targets


def test_the_seed_alone_decides() -> None:
    first, again, other = (numbers(split(Dataset("regression", _float(50)), 0.2, 0.2, s).test) for s in (0, 0, 1))
    assert first == again != other


def test_blocks_are_runs_of_neighbours_whatever_the_seed() -> None:
    """What belongs together and stands together is on one side, but for one cut."""
    data = Dataset("classification", numbered(100, 4))
    for seed in (0, 1):
        parts = split(data, 0.25, 0.2, seed, 1, "blocks")
        assert [numbers(part) for part in (parts.train, parts.validation, parts.test)] == [
            list(range(60)), list(range(60, 80)), list(range(80, 100))
        ]  # fmt: skip
    divisions = all_splits(data, 0.25, 0.2, 0, 3, "blocks")
    assert list(itertools.chain(*(numbers(parts.validation) for parts in divisions))) == list(range(80))
    for parts in divisions:
        own = numbers(parts.validation)
        assert own == list(range(own[0], own[-1] + 1))
        assert sorted(own + numbers(parts.train)) == list(range(80))
        assert numbers(parts.test) == list(range(80, 100))


def test_blocks_leave_something_to_train_on() -> None:
    parts = split(Dataset("regression", _float(20)), 0.9, 0.9, 0, 1, "blocks")
    assert [numbers(part) for part in (parts.train, parts.validation, parts.test)] == [[0], [1], list(range(2, 20))]
    with pytest.raises(InvalidInput, match="too small"):
        split(Dataset("regression", _float(3)), 0.9, 0.9, 0, 1, "blocks")


def _float(count: int) -> Sequences:
    return replace(numbered(count), targets=np.arange(count, dtype=np.float32))


def test_a_given_test_split_is_left_alone() -> None:
    test = numbered(7)
    parts = split(Dataset("classification", numbered(50), test=test), 0.2, 0.2, 0)
    assert parts.test is test
    assert (len(parts.train), len(parts.validation)) == (40, 10)


def test_a_given_validation_split_is_left_alone() -> None:
    validation = numbered(7)
    parts = split(Dataset("classification", numbered(50), validation=validation), 0.2, 0.2, 0)
    assert parts.validation is validation


def test_a_series_is_divided_by_time() -> None:
    series = np.arange(100, dtype=np.float32)[:, None]
    parts = split(forecast_dataset(series, 0, window=5, horizon=3, features=("x",)), 0.25, 0.2, 0)
    assert parts.train.targets.max() < parts.validation.targets.min()
    assert parts.validation.targets.max() < parts.test.targets.min()
    # the targets of a window follow its newest value, which is the naive guess
    newest = parts.train.inputs[:, -1]
    assert (parts.train.targets == newest + np.arange(1, 4)).all()
    assert (parts.train.baselines["naive"] == newest).all()


def test_a_part_without_sequences_is_refused() -> None:
    with pytest.raises(InvalidInput, match="validation split would be empty"):
        split(Dataset("classification", numbered(3), test=numbered(2)), 0.1, 0.1, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    sequences = numbered(20)
    sequences.inputs[7, 0, 0] = bad
    with pytest.raises(InvalidInput, match="missing or infinite value"):
        split(Dataset("classification", sequences), 0.2, 0.2, 0)


@pytest.mark.parametrize("window", [2, 7, 20])
def test_forecasts_of_any_window_are_held_to_the_same_targets(window: int) -> None:
    series = np.arange(100, dtype=np.float32)[:, None]
    parts = split(forecast_dataset(series, 0, window=window, horizon=3, features=("x",)), 0.25, 0.2, 0)
    assert parts.validation.targets[:, -1].tolist() == list(range(58, 78))
    assert parts.test.targets[:, -1].tolist() == list(range(80, 100))


@pytest.mark.parametrize("classes", [1, 3])
def test_each_sequence_is_validated_on_in_one_fold(classes: int) -> None:
    folds = all_splits(Dataset("classification", numbered(100, classes)), 0.2, 0.2, 0, 4)
    assert sorted(number for parts in folds for number in numbers(parts.validation)) == sorted(
        {number for parts in folds for number in numbers(parts.train)}
    )
    for parts in folds:
        assert numbers(parts.test) == numbers(folds[0].test)
        assert not set(numbers(parts.train)) & set(numbers(parts.validation))
        counts = np.bincount(parts.validation.targets)
        assert counts.max() - counts.min() <= 1


def test_the_folds_of_a_series_are_rolling_origins() -> None:
    series = np.arange(200, dtype=np.float32)[:, None]
    folds = all_splits(forecast_dataset(series, 0, window=5, horizon=3, features=("x",)), 0.3, 0.2, 0, 3)
    for earlier, later in itertools.pairwise(folds):
        assert len(earlier.train) < len(later.train)
        assert earlier.validation.targets[:, -1].max() < later.validation.targets[:, -1].min()
    for parts in folds:
        assert parts.train.targets.max() < parts.validation.targets.min()
        assert parts.validation.targets.max() < parts.test.targets.min()


def test_more_folds_than_sequences_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most"):
        all_splits(Dataset("classification", numbered(10, 2)), 0.2, 0.2, 0, 50)


@pytest.mark.parametrize("by", ["chance", "blocks"])
def test_without_validation_all_but_the_test_is_to_train_on(by: str) -> None:
    data = Dataset("classification", numbered(100, 4))
    parts, whole = split(data, 0.25, 0.2, 3, 1, by), without_validation(data, 0.2, 3, by)
    assert numbers(whole.test) == numbers(parts.test)
    assert numbers(whole.train) == sorted(numbers(parts.train) + numbers(parts.validation))
    assert whole.validation is None


def test_without_validation_a_series_is_trained_on_up_to_its_test() -> None:
    data = forecast_dataset(np.arange(100, dtype=np.float32)[:, None], 0, window=5, horizon=3, features=("x",))
    parts, whole = split(data, 0.25, 0.2, 0), without_validation(data, 0.2, 0)
    assert whole.test.targets.tolist() == parts.test.targets.tolist()
    assert whole.train.targets.max() == whole.test.targets.min() - 1


def test_a_validation_split_of_the_data_is_trained_on_after_the_rest() -> None:
    train, validation, test = (numbered(30).take(np.arange(start, start + 10)) for start in (0, 10, 20))
    whole = without_validation(Dataset("classification", train, validation, test), 0.2, 0)
    assert (numbers(whole.train), numbers(whole.test)) == (list(range(20)), list(range(20, 30)))


def test_joined_sequences_are_padded_to_one_length() -> None:
    def roll(count: int, steps: int, value: float) -> Sequences:
        return Sequences(
            np.full((count, steps, 3), value, dtype=np.float32),
            np.full(count, steps, dtype=np.int64),
            np.full((count, steps, 2), value, dtype=np.float32),
            {"naive": np.full((count, steps, 2), value, dtype=np.float32)},
            statics=np.full((count, 1), value, dtype=np.float32),
        )

    for first, second in ((roll(2, 5, 1), roll(1, 7, 2)), (roll(1, 7, 2), roll(2, 5, 1))):
        both = joined(first, second)
        assert both.lengths.tolist() == [*first.lengths, *second.lengths]
        assert both.statics is not None
        assert both.context is None
        for values, width in ((both.inputs, 3), (both.targets, 2), (both.baselines["naive"], 2)):
            assert values.shape == (3, 7, width)
            assert values.dtype == np.float32
            assert values.sum() == width * (2 * 5 * 1 + 7 * 2)
        steps = first.inputs.shape[1]
        assert np.array_equal(both.inputs[: len(first), :steps], first.inputs)
        assert not both.inputs[: len(first), steps:].any()
