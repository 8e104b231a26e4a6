"""What numpy, torch, YAML and Python say, as JSON has it."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.parameters import ConstantParameter
from hpsearch.plain import MOST_VALUES, plain
from hpsearch.trials import TrialState


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(0.25), 0.25),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({"a": (1, None, "b"), "c": [True]}, {"a": [1, None, "b"], "c": [True]}),
        (Path("data") / "x.npz", "data/x.npz"),
        (TrialState.COMPLETE, "complete"),
        (ConstantParameter(type="constant", value=3), {"type": "constant", "value": 3, "when": None}),
    ],
)
def test_what_has_a_plain_value_is_that(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_tensor_is_its_number() -> None:
    torch = pytest.importorskip("torch")
    assert plain({"value": torch.tensor(0.5, requires_grad=True)}) == {"value": 0.5}


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": [1, math.nan]}, "a.1", "must be a finite number, not nan"),
        ({"a": np.float32(math.inf)}, "a", "not inf"),
        ({"a": {"b": date(2024, 1, 1)}}, "a.b", "not a date; as a text it needs quotes"),
        ({"a": {1: 2}}, "a.1", "put it in quotes"),
        ({"a": {"x", "y"}}, "a", "must be an object, a list"),
        ({"a": object()}, "a", "not a object"),
    ],
)
def test_what_has_none_is_a_fault_at_its_path(value: object, path: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plain(value)
    (fault,) = caught.value.faults
    assert fault.path == path
    assert problem in fault.problem


def test_a_number_that_nobody_writes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a: must be a smaller number"):
        plain({"a": 10**5000})


def test_what_contains_itself_has_no_end() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(InvalidInput, match="nested too deeply, or contains itself"):
        plain(ring)


def test_a_few_lines_that_mean_billions_are_refused() -> None:
    many: list[Any] = ["lol"] * 9
    for _ in range(9):
        many = [many] * 9
    with pytest.raises(InvalidInput, match=f"more than {MOST_VALUES:,} values"):
        plain({"description": many})
