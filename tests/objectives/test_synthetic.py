"""Data that are made up."""

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.parameters import INFO


def adding(**settings: int) -> Dataset:
    return read_dataset(with_defaults(INFO, {"dataset": "adding", **settings}), ())


def parts_of(data: Dataset) -> tuple[Sequences, Sequences, Sequences]:
    assert data.validation is not None
    assert data.test is not None
    return data.train, data.validation, data.test


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_the_marked_values_are_added(steps: int) -> None:
    data = adding(window=steps)
    assert (data.task, data.features) == ("regression", ("value", "mark"))
    for part, size in zip(parts_of(data), (10_000, 1_000, 1_000), strict=True):
        assert (part.inputs.shape, part.inputs.dtype) == ((size, steps, 2), np.float32)
        assert (part.lengths == steps).all()
        values, marks = part.inputs[:, :, 0], part.inputs[:, :, 1]
        np.testing.assert_allclose((values * marks).sum(axis=1), part.targets, rtol=1e-6)
        assert values.min() >= 0
        assert values.max() <= 1
        assert set(np.unique(marks)) <= {0, 1}
        assert (marks[:, : steps // 2].sum(axis=1) == 1).all()
        assert (marks[:, steps // 2 :].sum(axis=1) == 1).all()


def test_every_step_may_be_marked() -> None:
    marked = adding(window=7).train.inputs[:, :, 1].mean(axis=0)
    np.testing.assert_allclose(marked[:3], 1 / 3, atol=0.03)
    np.testing.assert_allclose(marked[3:], 1 / 4, atol=0.03)


def test_to_guess_one_is_wrong_by_a_sixth() -> None:
    assert np.mean((adding(window=50).train.targets - 1) ** 2) == pytest.approx(1 / 6, abs=0.01)


def test_the_seed_alone_decides() -> None:
    first, again, other = (adding(window=10, split_seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    assert (first.train.targets != other.train.targets).any()
    assert not np.isin(parts_of(first)[2].targets, first.train.targets).all()


@pytest.mark.parametrize("steps", [1, 2001])
def test_other_lengths_are_refused(steps: int) -> None:
    with pytest.raises(InvalidInput, match="window: must be from 2 to 2000"):
        adding(window=steps)
