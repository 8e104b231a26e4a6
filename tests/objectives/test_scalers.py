"""Scaling, beside scikit-learn's."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import preprocessing

from hpsearch.objectives.rnn.data.forecast import forecast_dataset
from hpsearch.objectives.rnn.data.scalers import Scaler, fit
from hpsearch.objectives.rnn.data.sequences import AnyArray, Sequences

SKLEARN: dict[str, Any] = {
    "none": preprocessing.FunctionTransformer,
    "standard": preprocessing.StandardScaler,
    "min_max": preprocessing.MinMaxScaler,
    "min_max_symmetric": lambda: preprocessing.MinMaxScaler((-1, 1)),
    "robust": preprocessing.RobustScaler,
}
METHODS = [name for name in SKLEARN if name != "none"]
SCOPES = ("training_set", "series")


def made(count: int = 20, seed: int = 0) -> Sequences:
    """Sequences of 3 to 9 steps and three features of very different size; regression targets; a second sequence."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 10, size=count)
    sizes, offsets = np.array([1e-8, 1.0, 1e6]), np.array([0.0, -5.0, 3e6])
    inputs = generator.normal(size=(count, 9, 3)) ** 3 * sizes + offsets
    context_lengths = generator.integers(2, 5, size=count)
    context = 50 + generator.normal(size=(count, 4, 2))
    return Sequences(
        _padded(inputs, lengths),
        lengths,
        (1000 + 50 * generator.normal(size=count)).astype(np.float32),
        statics=(7 + 3 * generator.normal(size=(count, 2))).astype(np.float32),
        context=_padded(context, context_lengths),
        context_lengths=context_lengths,
    )


def _padded(values: AnyArray, lengths: AnyArray) -> AnyArray:
    counted = np.arange(values.shape[1]) < lengths[:, None]
    return np.where(counted[:, :, None], values, 0).astype(np.float32)


def steps(values: AnyArray, lengths: AnyArray) -> AnyArray:
    """[steps, features]: all that count."""
    return np.concatenate([row[:length] for row, length in zip(values, lengths, strict=True)]).astype(np.float64)


def is_padded_with_zeros(values: AnyArray, lengths: AnyArray) -> bool:
    return not any(row[length:].any() for row, length in zip(values, lengths, strict=True))


class TestTrainingSet:
    @pytest.mark.parametrize("method", SKLEARN)
    def test_is_as_scikit_learn_has_it(self, method: str) -> None:
        train, other = made(), made(seed=1)
        theirs, ours = SKLEARN[method](), fit(train, method, "training_set", "regression")
        theirs.fit(steps(train.inputs, train.lengths))
        for part in (train, other):
            found = ours.inputs(part)
            assert found.dtype == np.float32
            expected = theirs.transform(steps(part.inputs, part.lengths))
            np.testing.assert_allclose(steps(found, part.lengths), expected, rtol=1e-4, atol=1e-5)
            assert is_padded_with_zeros(found, part.lengths)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("constant", [0.0, 0.1, -3e7])
    def test_a_constant_feature_is_left_at_one_number(self, method: str, constant: float) -> None:
        train = made()
        train.inputs[:, :, 1] = np.where(train.inputs[:, :, 1] != 0, np.float32(constant), 0)
        scaler = fit(train, method, "training_set", "regression")
        assert not np.abs(scaler.inputs(train)[:, :, 1]).any()
        # and what differs later is not blown up
        later = replace(train, inputs=train.inputs + np.float32(2))
        assert np.abs(scaler.inputs(later)[:, :, 1]).max() <= 4

    @pytest.mark.parametrize("scope", SCOPES)
    @pytest.mark.parametrize("method", METHODS)
    def test_a_last_bit_that_flips_is_not_blown_up(self, method: str, scope: str) -> None:
        train = made()
        flips = np.where(np.arange(9) % 2 == 0, np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1)))
        train.inputs[:, :, 1] = np.where(train.inputs[:, :, 1] != 0, flips, 0)
        assert np.abs(fit(train, method, scope, "regression").inputs(train)[:, :, 1]).max() < 1e-6

    def test_a_sparse_feature_is_scaled_by_its_deviation_where_its_quartiles_are_one(self) -> None:
        values = np.zeros((1, 100, 1), dtype=np.float32)
        values[0, :10] = 1e6
        sequences = Sequences(values, np.array([100]), np.zeros(1, dtype=np.float32))
        found = fit(sequences, "robust", "training_set", "classification").inputs(sequences)
        assert found.max() == pytest.approx(1e6 / values.std())
        assert found.min() == 0


class TestSeries:
    @pytest.mark.parametrize("method", SKLEARN)
    def test_each_sequence_is_scaled_by_itself(self, method: str) -> None:
        train, other = made(), made(seed=1)
        found = fit(train, method, "series", "regression").inputs(other)
        for row, values, length in zip(found, other.inputs, other.lengths, strict=True):
            expected = SKLEARN[method]().fit_transform(values[:length].astype(np.float64))
            np.testing.assert_allclose(row[:length], expected, rtol=1e-4, atol=1e-4)
        assert is_padded_with_zeros(found, other.lengths)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_constant_one_has_the_spread_of_the_training_set(self, method: str) -> None:
        train = made()
        constant = replace(train.take(np.array([0])), inputs=np.full((1, 9, 3), 5, dtype=np.float32))
        scaler = fit(train, method, "series", "forecast", 1)
        assert not scaler.inputs(constant).any()
        target = replace(constant, targets=np.array([[6.0]], dtype=np.float32))
        whole = fit(train, method, "training_set", "forecast", 1)
        one = whole.targets(target) - whole.targets(replace(target, targets=target.targets - 1))
        np.testing.assert_allclose(np.abs(scaler.targets(target)), np.abs(one), rtol=1e-4)


class TestTargets:
    @pytest.mark.parametrize("method", SKLEARN)
    @pytest.mark.parametrize("scope", SCOPES)
    def test_of_regression_are_scaled_by_the_training_splits(self, method: str, scope: str) -> None:
        train, other = made(), made(seed=1)
        scaler = fit(train, method, scope, "regression")
        theirs = SKLEARN[method]().fit(train.targets[:, None].astype(np.float64))
        found = scaler.targets(other)
        assert (found.dtype, found.shape) == (np.float32, (20, 1))
        np.testing.assert_allclose(found, theirs.transform(other.targets[:, None]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scaler.unscale(found, other)[:, 0], other.targets, rtol=1e-6)

    def test_that_never_vary_come_back(self) -> None:
        train = replace(made(), targets=np.full(20, 0.1, dtype=np.float32))
        scaler = fit(train, "standard", "training_set", "regression")
        assert not scaler.targets(train).any()
        np.testing.assert_allclose(scaler.unscale(scaler.targets(train), train), 0.1, rtol=1e-6)

    @pytest.mark.parametrize("method", SKLEARN)
    @pytest.mark.parametrize("scope", SCOPES)
    def test_of_forecasts_are_scaled_as_the_feature_that_is_told(self, method: str, scope: str) -> None:
        series = np.random.default_rng(0).normal(size=(80, 3)).cumsum(axis=0).astype(np.float32) + 100
        train = forecast_dataset(series, 1, 6, 6, ("a", "b", "c")).train
        scaler = fit(train, method, scope, "forecast", 1)
        inputs, targets = scaler.inputs(train), scaler.targets(train)
        assert targets.shape == (len(train), 6)
        np.testing.assert_allclose(scaler.unscale(targets, train), train.targets, rtol=1e-5)
        if scope == "training_set":  # six examples later what was told is the window
            np.testing.assert_allclose(targets[:-6], inputs[6:, :, 1], rtol=1e-5, atol=1e-5)
        for row, told, window in zip(targets, train.targets, train.inputs[:, :, 1], strict=True):
            if scope == "series":
                theirs = SKLEARN[method]().fit(window[:, None].astype(np.float64))
                np.testing.assert_allclose(row, theirs.transform(told[:, None])[:, 0], rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("method", METHODS)
    def test_by_series_a_forecast_does_not_see_its_level(self, method: str) -> None:
        series = np.random.default_rng(0).normal(size=(40, 1)).cumsum(axis=0).astype(np.float32)
        train = forecast_dataset(series, 0, 6, 2, ("a",)).train
        shifted = replace(train, inputs=train.inputs + 64, targets=train.targets + 64)
        scaler = fit(train, method, "series", "forecast")
        np.testing.assert_allclose(scaler.inputs(shifted), scaler.inputs(train), atol=1e-3)
        np.testing.assert_allclose(scaler.targets(shifted), scaler.targets(train), atol=1e-3)
        outputs = scaler.targets(train)
        np.testing.assert_allclose(scaler.unscale(outputs, shifted) - 64, scaler.unscale(outputs, train), atol=1e-3)


@pytest.mark.parametrize("method", SKLEARN)
def test_static_features_are_standardised(method: str) -> None:
    train, other = made(), made(seed=1)
    assert train.statics is not None
    assert other.statics is not None
    theirs = SKLEARN["none" if method == "none" else "standard"]().fit(train.statics)
    for scope in SCOPES:
        found = fit(train, method, scope, "regression").statics(other)
        assert found is not None
        np.testing.assert_allclose(found, theirs.transform(other.statics), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", SKLEARN)
@pytest.mark.parametrize("has_lengths", [True, False])
def test_a_second_sequence_has_figures_of_its_own(method: str, has_lengths: bool) -> None:
    train = made()
    if not has_lengths:
        train = replace(train, context_lengths=None)
    assert train.context is not None
    lengths = np.full(20, 4) if train.context_lengths is None else train.context_lengths
    found = fit(train, method, "training_set", "regression").context(train)
    assert found is not None
    expected = SKLEARN[method]().fit_transform(steps(train.context, lengths))
    np.testing.assert_allclose(steps(found, lengths), expected, rtol=1e-4, atol=1e-4)
    assert is_padded_with_zeros(found, lengths)
    alone = fit(train, method, "series", "regression").context(train)
    assert alone is not None
    first = SKLEARN[method]().fit_transform(train.context[0, : lengths[0]].astype(np.float64))
    np.testing.assert_allclose(alone[0, : lengths[0]], first, rtol=1e-3, atol=1e-3)


def test_tokens_stay_and_what_is_not_there_is_not_made() -> None:
    tokens = Sequences(np.array([[3, 1, 0], [2, 2, 2]]), np.array([2, 3]), np.array([0, 1]))
    for scope in SCOPES:
        scaler = fit(tokens, "standard", scope, "classification")
        assert scaler.inputs(tokens) is tokens.inputs
        assert scaler.statics(tokens) is None
        assert scaler.context(tokens) is None


@pytest.mark.parametrize("task", ["classification", "regression", "forecast"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("method", SKLEARN)
def test_a_scaler_survives_json(method: str, scope: str, task: str) -> None:
    targets = {"classification": np.arange(20) % 2, "forecast": np.ones((20, 2), dtype=np.float32)}
    train = replace(made(), targets=targets.get(task, made().targets))
    for sequences in (train, replace(train, statics=None, context=None, context_lengths=None)):
        scaler = fit(sequences, method, scope, task, 2)
        values = scaler.as_json()
        text = json.dumps(values, allow_nan=False)
        assert json.loads(text) == values
        assert Scaler.from_json(json.loads(text)) == scaler
        assert np.array_equal(Scaler.from_json(values).inputs(train), scaler.inputs(train))
