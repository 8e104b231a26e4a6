"""Studies of several metrics: what is told of a trial, the front, the choice by weights."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import InvalidInput, InvalidSpec, StudyExists, TrialNotFound
from hpsearch.insights import Outcome
from hpsearch.search.table import GrowingTable
from hpsearch.service import Service, ranking
from hpsearch.spec import parse_study
from hpsearch.studies import StudyState
from hpsearch.trials import Receipt, Result, TrialState
from tests.conftest import loop_study

METRICS = {"accuracy": "maximize", "size": "minimize"}
SPACE = {"x": {"type": "float", "low": 0, "high": 1}, "units": {"type": "int", "low": 1, "high": 64}}


def several(*, objective: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return loop_study(**({"space": SPACE} | changes)) | {"objective": {"metrics": METRICS} | (objective or {})}


def tell(service: Service, *values: tuple[float, ...], study: str = "bowl") -> None:
    for told in values:
        (asked,) = service.ask(study)
        service.tell([Result(lease=asked.lease, state=TrialState.COMPLETE, values=told)])


def front_of(service: Service, weights: dict[str, float] | None = None) -> tuple[list[int], int | None]:
    front = service.understanding.front("bowl", weights or {})
    return [trial.number for trial in front.trials], front.chosen


def test_a_trial_is_told_with_a_value_for_each_metric(service: Service) -> None:
    service.create_study(several())
    (asked,) = service.ask("bowl")
    for values in ((), (0.5,), (0.5, 10.0, 1.0)):
        with pytest.raises(InvalidInput) as caught:
            service.tell([Result(lease=asked.lease, state=TrialState.COMPLETE, values=values)])
        assert [fault.path for fault in caught.value.faults] == ["0.values"]
    assert "accuracy, size" in caught.value.faults[0].problem
    assert service.get_trial("bowl", 0).state is TrialState.RUNNING
    told = Result(lease=asked.lease, state=TrialState.COMPLETE, values=(0.5, 10.0))
    assert service.tell([told]) == service.tell([told]) == [Receipt.ACCEPTED]
    assert service.get_trial("bowl", 0).values == (0.5, 10.0)


def test_a_study_of_one_metric_wants_one_value(service: Service) -> None:
    service.create_study(loop_study())
    (asked,) = service.ask("bowl")
    with pytest.raises(InvalidInput, match="the one value of depth, not 2"):
        service.tell([Result(lease=asked.lease, state=TrialState.COMPLETE, values=(0.5, 1.0))])


def test_the_front_holds_what_no_other_beats(service: Service) -> None:
    service.create_study(several())
    assert front_of(service) == ([], None)
    tell(service, (0.9, 50), (0.8, 20), (0.85, 60), (0.8, 30), (0.95, 90), (0.9, 50))
    numbers, _ = front_of(service)
    assert numbers == [4, 0, 5, 1]  # the best by the first metric first; equals both stay
    front = service.understanding.front("bowl", {})
    assert (front.size, front.of, front.metrics) == (4, 6, METRICS)


def test_there_is_no_one_best(service: Service) -> None:
    service.create_study(several())
    tell(service, (0.9, 50), (0.8, 20))
    assert service.best("bowl").trial is None
    assert service.get_study("bowl").best_number is None
    with pytest.raises(TrialNotFound, match="several metrics"):
        service.open_artifact("bowl", None, "model.json")


def test_weights_choose_from_the_front(service: Service) -> None:
    service.create_study(several())
    tell(service, (1.0, 100), (0.9, 40), (0.0, 0))
    assert front_of(service)[1] == 1
    assert front_of(service, {"size": 0})[1] == 0
    assert front_of(service, {"accuracy": 0})[1] == 2
    assert front_of(service, {"accuracy": 1000})[1] == 0


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        ({"acuracy": 1.0}, "weight.acuracy"),
        ({"size": -1.0}, "weight.size"),
        ({"size": float("inf")}, "weight.size"),
        ({"size": float("nan")}, "weight.size"),
        ({"size": 0.0, "accuracy": 0.0}, "weight"),
    ],
)
def test_weights_that_make_no_sense_are_told(service: Service, weights: dict[str, float], path: str) -> None:
    service.create_study(several())
    with pytest.raises(InvalidInput) as caught:
        service.understanding.front("bowl", weights)
    assert [fault.path for fault in caught.value.faults] == [path]
    assert "acuracy" not in weights or caught.value.faults[0].suggestion == "accuracy"


def test_what_violates_a_constraint_is_not_on_the_front(service: Service) -> None:
    service.create_study(several(constraints=["size <= 60", "accuracy >= 0.5"]))
    tell(service, (0.99, 80), (0.9, 50), (0.4, 1))
    assert front_of(service) == ([1], 1)


def test_the_budget_of_several_metrics_is_exact(service: Service) -> None:
    service.create_study(several(budget={"trials": 4}))
    tell(service, *[(0.5, 1.0)] * 4)
    study = service.get_study("bowl")
    assert (study.state, study.counts.complete) == (StudyState.COMPLETE, 4)


def test_several_metrics_are_not_confirmed_unasked() -> None:
    named = {"objective": {"name": "toy", "metric": "depth", "direction": "minimize"}, "budget": {"trials": 40}}
    assert parse_study(loop_study(space=SPACE) | named).confirmation is not None
    assert parse_study(several(objective={"name": "toy"}, budget={"trials": 40})).confirmation is None


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"sampler": {"name": "cmaes"}}, "sampler.name"),
        ({"pruner": {"name": "asha"}}, "pruner.name"),
        ({"pruner": {"name": "median"}}, "pruner.name"),
        ({"budget": {"trials": 3, "target": 0.5}}, "budget.target"),
        ({"budget": {"no_improvement": 3}}, "budget.no_improvement"),
        ({"confirm": {"top": 1}}, "confirm"),
        ({"objective": {"metric": "size"}}, "objective.metric"),
        ({"objective": {"direction": "minimize"}}, "objective.direction"),
        ({"objective": {"metrics": {"size": "minimize"}}}, "objective.metrics"),
        ({"objective": {"metrics": {"size": "minimise", "accuracy": "maximize"}}}, "objective.metrics.size"),
        ({"objective": {"metrics": ["size"]}}, "objective.metrics"),
    ],
)
def test_what_means_nothing_for_several_metrics_is_refused(service: Service, changes: Any, path: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        service.create_study(several(**changes))
    assert [fault.path for fault in caught.value.faults] == [path]


def test_another_order_of_the_first_metric_is_another_study(service: Service) -> None:
    service.create_study(several())
    assert service.create_study(several())[1] is False
    turned = several() | {"objective": {"metrics": dict(reversed(METRICS.items()))}}
    with pytest.raises(StudyExists):
        service.create_study(turned)


def test_a_clone_keeps_the_values_and_other_metrics_are_refused(service: Service) -> None:
    service.create_study(several())
    tell(service, (0.9, 50), (0.8, 20))
    clone = service.clone_study("bowl", "again")
    assert clone.copied == 2
    assert [trial.values for trial in service.export("again")] == [(0.9, 50.0), (0.8, 20.0)]
    for objective in ({"metric": "accuracy", "direction": "maximize"}, {"metrics": dict(reversed(METRICS.items()))}):
        with pytest.raises(InvalidSpec) as caught:
            service.clone_study("bowl", "other", several() | {"objective": objective})
        assert [fault.path for fault in caught.value.faults] == ["objective.metrics"]


def test_the_best_of_several_metrics_to_begin_with_are_the_front(service: Service) -> None:
    service.create_study(several())
    tell(service, (0.1, 90), (0.9, 50), (0.8, 20), (0.2, 80))
    service.create_study(loop_study(name="next", space=SPACE))
    wanted = [dict(service.get_trial("bowl", number).parameters) for number in (1, 2)]
    assert [dict(trial.parameters) for trial in service.enqueue_best("next", "bowl", 2)] == wanted


def test_events_have_the_value_of_every_metric(service: Service) -> None:
    service.create_study(several())
    tell(service, (0.1, 90))
    service.create_study(loop_study(name="single"))
    tell(service, (5.0,), study="single")
    (failing,) = service.ask("single")
    service.tell([Result(lease=failing.lease, state=TrialState.FAILED, reason="broke")])
    seen = {name: [(event.value, event.values) for event in service.events(name)] for name in ("bowl", "single")}
    nothing = (None, None)
    assert seen["bowl"] == [nothing, nothing, (0.1, (0.1, 90))]
    assert seen["single"] == [nothing, nothing, (5.0, (5.0,)), nothing, nothing]


def test_of_a_long_study_as_many_trials_are_ranked_as_may_be_wanted() -> None:
    growing = GrowingTable(parse_study(several()))
    chances = random.Random(3)
    told = [(chances.random(), float(chances.randrange(100))) for _ in range(ranking.MOST_RANKED + 500)]
    growing.update(
        Outcome(number, TrialState.COMPLETE, {"x": 0.5}, item, None, None, 1.0, 2.0, None, None, number + 1)
        for number, item in enumerate(told)
    )
    table = growing.table()
    found = ranking.ranked(table)
    assert len(set(found.tolist())) == ranking.MOST_RANKED
    front = table.front()
    assert set(found[: len(front)].tolist()) == set(front.tolist())


values = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


@given(st.lists(values, min_size=1, max_size=12))
def test_the_front_is_what_dominance_says(told: list[tuple[int, int, int]]) -> None:
    metrics = {"up": "maximize", "down": "minimize", "low": "minimize"}
    growing = GrowingTable(parse_study(loop_study() | {"objective": {"metrics": metrics}}))
    growing.update(
        Outcome(number, TrialState.COMPLETE, {"x": 0.0}, item, None, None, 1.0, 2.0, None, None, number + 1)
        for number, item in enumerate(told)
    )

    def beats(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
        return one != other and one[0] >= other[0] and one[1] <= other[1] and one[2] <= other[2]

    expected = {number for number, item in enumerate(told) if not any(beats(other, item) for other in told)}
    assert set(growing.table().front().tolist()) == expected
