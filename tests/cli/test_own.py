"""`--objective`: which objectives a worker runs, and what is wrong with others."""

import importlib.metadata
from typing import Any

import pytest

from hpsearch.cli.worker import OBJECTIVES, choose
from hpsearch.errors import ConfigurationError
from tests.cli.conftest import Command

RNN = OBJECTIVES["rnn"]


@pytest.fixture(autouse=True)
def _a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings an objective is installed."""
    point = importlib.metadata.EntryPoint("plugged", "plug.inner:function", "hpsearch.objectives")

    def entry_points(**wanted: Any) -> list[importlib.metadata.EntryPoint]:
        return [point] if wanted == {"group": point.group} else []

    monkeypatch.setattr("hpsearch.cli.worker.entry_points", entry_points)


@pytest.mark.parametrize(
    ("wanted", "built_in", "own"),
    [
        ([], {"rnn": RNN}, {"plugged": "plug.inner:function"}),
        (["rnn"], {"rnn": RNN}, {}),
        (["plugged"], {}, {"plugged": "plug.inner:function"}),
        (["a.b:c"], {}, {"a.b.c": "a.b:c"}),
        (["a:C.method"], {}, {"a.C.method": "a:C.method"}),
        (["mine=a:b", "rnn", "other=a:b"], {"rnn": RNN}, {"mine": "a:b", "other": "a:b"}),
        (["plugged=a:b"], {}, {"plugged": "a:b"}),
    ],
)
def test_a_worker_runs_what_it_is_told(wanted: list[str], built_in: dict[str, str], own: dict[str, str]) -> None:
    chosen = choose(wanted)
    assert (dict(chosen.built_in), dict(chosen.own)) == (built_in, own)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (["rnm"], r"or a name; installed are plugged, rnn \(did you mean 'rnn'\?\)"),
        (["train.py"], r"must be package\.module:function, or a name"),
        (["src/train.py:f"], r"must be package\.module:function, not 'src/train\.py:f'"),
        (["mine=src/train.py"], "must be src.train:function, a module and what is in it"),
        (["mine="], r"must be package\.module:function"),
        (["=a:b"], "a name may hold letters"),
        (["my name=a:b"], "a name may hold letters"),
        (["a:b:c"], r"must be package\.module:function"),
        (["a:"], r"must be package\.module:function"),
        (["rnn=a:b"], "rnn is hpsearch's own"),
        (["a:b", "a.b=c:d"], "a.b is named twice"),
        (["é=a:b"], "a name may hold letters"),
        ([""], r"must be package\.module:function"),
    ],
)
def test_what_is_not_understood_is_told(wanted: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        choose(wanted)


def test_the_worker_ends_with_1_where_its_objective_is_none(hpsearch: Command) -> None:
    answer = hpsearch("worker", "--objective", "train.py")
    assert (answer.code, answer.output) == (1, "")
    assert answer.complaints.startswith("error: --objective train.py: ")
