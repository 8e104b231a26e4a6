"""Weights of metrics, as users write them."""

import pytest

from hpsearch.errors import InvalidInput
from hpsearch.insights import weights_of


@pytest.mark.parametrize("separator", ["=", ":"])
def test_weights_are_parted_at_the_last_separator(separator: str) -> None:
    texts = [f"loss{separator}2", f"f1{separator}macro{separator}0.5"]
    assert weights_of(texts, separator) == {"loss": 2.0, f"f1{separator}macro": 0.5}
    assert weights_of([], separator) == {}


@pytest.mark.parametrize(
    ("texts", "path", "problem"),
    [
        (["loss"], "weight.0", "must be METRIC=NUMBER, not 'loss'"),
        (["loss=1", "=2"], "weight.1", "must be METRIC=NUMBER, not '=2'"),
        (["loss=much"], "weight.0", "must be METRIC=NUMBER"),
        (["loss=nan"], "weight.0", "must be METRIC=NUMBER"),
        (["loss:1"], "weight.0", "must be METRIC=NUMBER"),
        (["loss=1", "loss=2"], "weight.1", "'loss' is weighted already"),
    ],
)
def test_what_is_no_weight_is_refused_at_its_place(texts: list[str], path: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        weights_of(texts, "=")
    (fault,) = caught.value.faults
    assert (fault.path, problem in fault.problem) == (path, True)
