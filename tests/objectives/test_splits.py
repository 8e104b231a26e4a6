"""Splits and standardisation."""

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.forecast import forecast_dataset
from hpsearch.objectives.rnn.scaling import fit
from hpsearch.objectives.rnn.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.splits import Splits, split


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
    # the target of a window is `horizon` after its newest value, which is the naive guess
    assert parts.train.naive is not None
    assert (parts.train.targets - parts.train.inputs[:, -1, 0] == 3).all()
    assert (parts.train.naive == parts.train.inputs[:, -1, 0]).all()


def test_a_part_without_sequences_is_refused() -> None:
    with pytest.raises(InvalidInput, match="validation split would be empty"):
        split(Dataset("classification", numbered(3), test=numbered(2)), 0.1, 0.1, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    sequences = numbered(20)
    sequences.inputs[7, 0, 0] = bad
    with pytest.raises(InvalidInput, match="missing or infinite value"):
        split(Dataset("classification", sequences), 0.2, 0.2, 0)


def test_standardisation_is_fitted_on_the_training_split_alone() -> None:
    generator = np.random.default_rng(0)
    sequences = Sequences(
        generator.normal(5, 3, size=(60, 4, 2)).astype(np.float32),
        np.full(60, 4, dtype=np.int64),
        generator.normal(9, 2, size=60).astype(np.float32),
    )
    parts = split(Dataset("regression", sequences), 0.25, 0.25, 0)
    scaling = fit(parts.train)
    steps = parts.train.inputs.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(scaling.mean, steps.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scaling.deviation, steps.std(axis=0), rtol=1e-5)
    scaled = scaling.inputs(parts.train)
    np.testing.assert_allclose(scaled.reshape(-1, 2).mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.reshape(-1, 2).std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(scaling.targets(parts.train).std(), 1, atol=1e-5)
    everything = np.concatenate([part.inputs for part in (parts.train, parts.validation, parts.test)]).reshape(-1, 2)
    assert not np.allclose(scaling.mean, everything.mean(axis=0), rtol=1e-4)


def test_a_wild_validation_split_changes_no_statistics() -> None:
    train, scale = numbered(20), fit(numbered(20))
    wild = Splits(train, replace(train, inputs=train.inputs * 1e6), train)
    assert fit(wild.train).mean == scale.mean


def test_padding_counts_for_no_statistics_and_stays_zero() -> None:
    inputs = np.array([[[2.0], [4.0], [0.0]], [[6.0], [0.0], [0.0]]], dtype=np.float32)
    sequences = Sequences(inputs, np.array([2, 1]), np.array([0, 1]))
    scaling = fit(sequences)
    assert scaling.mean.tolist() == [4.0]
    scaled = scaling.inputs(sequences)
    assert scaled[0, 2] == scaled[1, 1] == scaled[1, 2] == 0


def test_a_constant_feature_is_not_divided_by_nothing() -> None:
    inputs = np.full((10, 3, 1), 0.1, dtype=np.float32)
    scaling = fit(Sequences(inputs, np.full(10, 3), np.zeros(10, dtype=np.int64)))
    assert scaling.deviation.tolist() == [1.0]


@pytest.mark.parametrize("window", [2, 7, 20])
def test_forecasts_of_any_window_are_held_to_the_same_targets(window: int) -> None:
    series = np.arange(100, dtype=np.float32)[:, None]
    parts = split(forecast_dataset(series, 0, window=window, horizon=3, features=("x",)), 0.25, 0.2, 0)
    assert parts.validation.targets.tolist() == list(range(60, 80))
    assert parts.test.targets.tolist() == list(range(80, 100))
