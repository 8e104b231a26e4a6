"""A study goes through a storm and keeps every promise; and a checker that would have seen it if it had not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import Call, History, complaints
from tests.chaos.databases import CannotMount
from tests.chaos.storm import run


def ride_out(database: str, folder: Path, **size: int) -> None:
    try:
        outcome = run(database, folder, **size)
    except CannotMount as reason:
        pytest.skip(str(reason))
    print(outcome)
    assert outcome.complaints == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_study_keeps_every_promise_in_a_storm(database: str, short_folder: Path) -> None:
    ride_out(database, short_folder, trials=40, faults=12, workers=8, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("database", "trials", "faults"), [("sqlite", 300, 60), ("postgresql", 1000, 200)], ids=["sqlite", "postgresql"]
)
def test_a_large_study_in_a_long_storm(database: str, trials: int, faults: int, short_folder: Path) -> None:
    ride_out(database, short_folder, trials=trials, faults=faults, workers=16, seed=0)


# --- the checker -----------------------------------------------------------------------------------------------------


def lease(attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"number": 0, "attempt": attempt, "token": f"t{attempt}"} | more


def good_history() -> History:
    """One trial: its first worker died after a step, the second one finished it."""
    study = dict.fromkeys(("waiting", "running", "paused", "pruned", "failed", "cancelled"), 0)
    metrics = {"nonce": 2.0}
    trial = {"number": 0, "state": "complete", "values": [5.0], "metrics": metrics, "attempt": 2, "lease_token": "t2"}
    lives = [("running", 1), ("waiting", 1), ("running", 2), ("complete", 2)]
    report = {"number": 0, "step": 1, "value": 0.5, "metrics": {}, "attempt": 2}
    told = lease(2, state="complete", values=[5.0], metrics=metrics)
    return History(
        study=study | {"complete": 1, "budget_trials": 1, "state": "complete", "best_value": 5.0},
        trials=[trial],
        reports=[report],
        events=[{"revision": n, "number": 0, "state": state, "attempt": a} for n, (state, a) in enumerate(lives)],
        artifacts=[{"number": 0, "attempt": 2, "sha256": "aa"}],
        calls=[
            Call("s", "claim", ["w"], 1, 2, [lease(1)]),
            Call("s", "report", [lease(1, step=1, value=0.75, metrics={})], 3, 4, ["continue"]),
            Call("s", "claim", ["w"], 10, 11, [lease(2)]),
            Call("s", "report", [lease(1, step=2, value=0.75, metrics={})], 12, 13, ["lost"]),
            Call("s", "report", [lease(2, step=1, value=0.5, metrics={})], 14, 15, ["continue"]),
            Call("s", "artifact", [lease(2)], 16, 17, ["aa"]),
            Call("s", "tell", [told], 18, 19, ["accepted"]),
            Call("s", "tell", [told], 20, 21, ["accepted"]),
        ],
    )


def test_a_good_history_is_without_complaint() -> None:
    assert complaints(good_history()) == []


def put(path: str, value: Any) -> Callable[[History], None]:
    """Change one thing: `trials.0.state`, say."""

    def change(history: History) -> None:
        name, *keys, last = path.split(".")
        place = getattr(history, name)
        for key in keys:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value

    return change


def add_call(what: str, item: dict[str, Any], answer: str, at: int = 30) -> Callable[[History], None]:
    return lambda history: history.calls.append(Call("s", what, [item], at, at + 1, [answer]))


def add_claim(**claimed: Any) -> Callable[[History], None]:
    return lambda history: history.calls.append(Call("s", "claim", ["w"], 30, 31, [lease(2) | claimed]))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("trials.0.number", 1), "numbers are not"),
        (put("study.budget_trials", 2), "the budget is 2"),
        (put("study.state", "running"), "the study is running"),
        (put("study.complete", 2), "2 trials are said to be complete"),
        (put("study.best_value", 4.0), "the best is said"),
        (put("events.3.state", "failed"), "its events say otherwise"),
        (put("events.1.state", "complete"), "finished twice"),
        (put("events.1.state", "cancelled"), "cannot become"),
        (put("events.2.attempt", 3), "attempts [1, 3]"),
        (put("trials.0.attempt", 3), "is at attempt 3"),
        (add_claim(token="other"), "given to two leases"),
        (add_claim(attempt=1), "a lease stands for two attempts"),
        (add_claim(attempt=3, token="t3"), "is not on record"),
        (put("reports.0.value", 0.1), "with another value"),
        (lambda history: history.reports.clear(), "was acknowledged and is lost"),
        (put("trials.0.values", [6.0]), "acknowledged and is not on record"),
        (put("trials.0.lease_token", "t3"), "under another lease than the last"),
        (lambda history: history.artifacts.clear(), "an artifact was acknowledged and is lost"),
        (put("artifacts.0.sha256", "bb"), "not what was sent"),
        (add_call("renew", lease(1), "continue"), "a renew of attempt 1 was accepted under a lost lease"),
        (add_call("release", lease(1), "accepted"), "a release of attempt 1 was accepted under a lost lease"),
    ],
)
def test_what_must_not_happen_is_seen(change: Callable[[History], None], complaint: str) -> None:
    history = good_history()
    change(history)
    assert any(complaint in found for found in complaints(history)), complaints(history)
