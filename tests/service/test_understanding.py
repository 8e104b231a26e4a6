"""What is understood of a study, from the database to the answer, on both databases."""

import threading
from typing import Any

import pytest

from hpsearch.errors import InvalidInput, StudyNotFound
from hpsearch.insights import METHODS
from hpsearch.service import Service
from hpsearch.service.answers import Answers
from hpsearch.trials import Report, Result, TrialState
from tests.conftest import Clock, ServiceFactory, loop_study

UNIT = {"type": "float", "low": 0.0, "high": 1.0}


def told(service: Service, count: int, clock: Clock | None = None) -> None:
    """Trials of the study "bowl", told as 10 a + b; of ten, one is pruned, one fails, one diverges."""
    for assignment in service.ask("bowl", count, worker="laptop"):
        lease, given = assignment.lease, assignment.parameters
        service.report([Report(lease=lease, step=1, value=5.0), Report(lease=lease, step=2, value=4.0)])
        if clock:
            clock.advance(2.0)
        ended = {
            3: Result(lease=lease, state=TrialState.PRUNED, reason=f"rung 1: 4.0 is worse than {lease.number}"),
            5: Result(lease=lease, state=TrialState.FAILED, reason="out of memory"),
            7: Result(lease=lease, state=TrialState.FAILED, reason="diverged: loss is nan in epoch 2"),
        }
        value = 10 * float(given["a"] or 0) + float(given["b"] or 0)
        service.tell_one(ended.get(lease.number % 10, Result(lease=lease, state=TrialState.COMPLETE, values=(value,))))


@pytest.fixture
def study(service: Service) -> str:
    raw = loop_study(space={"a": UNIT, "b": UNIT, "c": UNIT}, budget={"trials": 1000})
    service.create_study(raw)
    return "bowl"


@pytest.mark.parametrize("method", METHODS)
def test_importances_follow_the_study(service: Service, study: str, method: str) -> None:
    assert "too few trials" in str(service.understanding.importances(study, method).note)
    told(service, 60)
    found = service.understanding.importances(study, method)
    assert found.importances[0].parameter == "a"
    assert (found.used, found.counts) == (54, {"complete": 42, "pruned": 6, "diverged": 6})
    assert found.revision == service.get_study(study).revision


def test_another_server_sees_what_this_one_does(make_service: ServiceFactory) -> None:
    one, other = make_service(), make_service()
    one.create_study(loop_study(space={"a": UNIT, "b": UNIT}, budget={"trials": 1000}))
    for service in (one, other, one):
        told(service, 20)
        assert one.understanding.importances("bowl") == other.understanding.importances("bowl")
        assert one.understanding.summary("bowl") == other.understanding.summary("bowl")


def test_the_summary_names_the_best_and_why_others_ended(service: Service, study: str, clock: Clock) -> None:
    told(service, 40, clock)
    found = service.understanding.summary(study, 3)
    complete = service.list_trials(study, [TrialState.COMPLETE]).items
    assert list(found.top) == sorted(complete, key=lambda trial: trial.value or 0)[:3]
    assert [(ending.state, ending.count) for ending in found.endings] == [("pruned", 4), ("failed", 4), ("failed", 4)]
    reasons = {ending.reason for ending in found.endings}
    assert reasons == {"rung 1: 4.0 is worse than 3", "out of memory", "diverged: loss is nan in epoch 2"}
    assert found.workers == 1
    assert found.compute_seconds == pytest.approx(sum(2.0 * (turn + 1) for turn in range(40)))


def test_a_deleted_study_leaves_nothing_behind(service: Service, study: str) -> None:
    told(service, 20)
    assert service.understanding.importances(study).used == 18
    service.delete_study(study)
    with pytest.raises(StudyNotFound):
        service.understanding.importances(study)
    service.create_study(loop_study(space={"a": UNIT, "b": UNIT}))
    assert service.understanding.importances(study).used == 0


def test_what_is_asked_wrongly_is_told(service: Service, study: str) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'fanova'"):
        service.understanding.importances(study, "fannova")
    for count in (0, 101, -1):
        with pytest.raises(InvalidInput, match="from 1 to 100"):
            service.understanding.summary(study, count)


def test_an_answer_is_found_once_a_revision_and_a_slow_one_less_often() -> None:
    clock = Clock()
    answers, found = Answers(clock), list[int]()

    def find(seconds: float) -> int:
        clock.advance(seconds)
        found.append(len(found))
        return found[-1]

    assert [answers.get("quick", revision, lambda: find(0.1)) for revision in (1, 1, 2)] == [0, 0, 1]
    assert [answers.get("slow", revision, lambda: find(1.0)) for revision in (1, 2, 3)] == [2, 2, 2]
    clock.advance(10.1)
    assert answers.get("slow", 3, lambda: find(1.0)) == 3


def test_two_who_ask_the_same_at_once_wait_for_one_finding() -> None:
    answers, asked, begun = Answers(), list[str](), threading.Event()

    def find() -> str:
        asked.append("once")
        begun.wait(5)
        return "found"

    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(answers.get("key", 1, find))) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join(10)
    assert (got, asked) == (["found"] * 3, ["once"])


def test_a_finding_that_fails_is_tried_again() -> None:
    answers = Answers()
    with pytest.raises(ZeroDivisionError):
        answers.get("key", 1, lambda: 1 // 0)
    assert answers.get("key", 1, lambda: "found") == "found"


def test_learning_curves_are_thinned_in_the_database(service: Service, study: str) -> None:
    (assignment,) = service.ask(study)
    (short,) = service.ask(study)
    service.report([Report(lease=assignment.lease, step=10 * step, value=float(step)) for step in range(1, 1002)])
    service.report([Report(lease=short.lease, step=step, value=0.0) for step in (1, 2)])
    service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(1.0,)))
    drawing = service.understanding.figure(study, "learning_curves", form="data")
    curves = {curve["number"]: curve["steps"] for curve in drawing.content["data"]["curves"]}
    assert 150 < len(curves[0]) <= 202
    assert (curves[0][0], curves[0][-1]) == (10, 10_010)
    assert not drawing.keeps


def test_learning_curves_show_what_was_reported_since(service: Service, study: str) -> None:
    """A report changes no revision."""
    (assignment,) = service.ask(study)

    def steps() -> list[int]:
        found = service.understanding.figure(study, "learning_curves", form="data").content["data"]["curves"]
        return [step for curve in found for step in curve["steps"]]

    assert steps() == []
    service.report([Report(lease=assignment.lease, step=1, value=1.0)])
    service.tell_one(Result(lease=service.ask(study)[0].lease, state=TrialState.COMPLETE, values=(1.0,)))
    service.report([Report(lease=assignment.lease, step=2, value=1.0)])
    assert steps() == [1, 2]


@pytest.fixture
def two(service: Service) -> str:
    """A study of two metrics, 40 trials told: the loss is of `a`, the size of `b`."""
    objective = {"metrics": {"loss": "minimize", "size": "maximize"}}
    raw = loop_study(space={"a": UNIT, "b": UNIT}, budget={"trials": 1000}) | {"objective": objective}
    service.create_study(raw)
    for assignment in service.ask("bowl", 40):
        service.report([Report(lease=assignment.lease, step=1, value=1.0)])
        values = float(assignment.parameters["a"] or 0), float(assignment.parameters["b"] or 0)
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=values))
    return "bowl"


def test_importances_are_of_the_metric_that_is_asked_for(service: Service, two: str) -> None:
    for metric, parameter in ((None, "a"), ("loss", "a"), ("size", "b"), (None, "a")):
        found = service.understanding.importances(two, metric=metric)
        assert (found.metric, found.importances[0].parameter) == (metric or "loss", parameter)


def test_figures_are_of_the_metric_that_is_asked_for(service: Service, two: str) -> None:
    def data(kind: str, metric: str | None = None, *parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = service.understanding.figure(two, kind, parameters, "data", metric).content["data"]
        return found

    for metric in (None, "loss", "size", None):
        name = metric or "loss"
        history = data("history", metric)
        assert (history["metric"], history["direction"]) == (name, {"loss": "minimize", "size": "maximize"}[name])
        assert data("importances", metric)["parameters"][0] == {"loss": "a", "size": "b"}[name]
        assert data("contour", metric)["parameters"][0]["name"] == {"loss": "a", "size": "b"}[name]
        assert data("slices", metric, "b")["metric"] == name
    assert len(data("learning_curves", "loss")["curves"]) == 40


def test_figures_go_by_the_importances_that_are_asked_for(service: Service, two: str) -> None:
    for method in (None, "fanova", "shapley", "ped_anova"):
        found = service.understanding.figure(two, "importances", form="data", method=method).content["data"]
        assert found["method"] == (method or "ped_anova")
        told = service.understanding.importances(two, method or "ped_anova")
        assert found["importances"] == [item.importance for item in told.importances]
    service.understanding.figure(two, "contour", method="fanova")


@pytest.mark.parametrize(
    ("kind", "method", "told"),
    [("importances", "fanvoa", "did you mean 'fanova'"), ("history", "fanova", "looks at no importances")],
)
def test_a_method_that_cannot_be_gone_by_is_told(service: Service, two: str, kind: str, method: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        service.understanding.figure(two, kind, method=method)
    assert [fault.path for fault in caught.value.faults] == ["method"]


def test_the_figure_of_the_front_is_the_front(service: Service, two: str) -> None:
    found = service.understanding.front(two, {})
    drawn = service.understanding.figure(two, "pareto", form="data").content["data"]["front"]
    assert drawn["numbers"] == [trial.number for trial in found.trials]
    assert list(zip(*drawn["values"], strict=True)) == [trial.values for trial in found.trials]


@pytest.mark.parametrize(
    ("kind", "metric", "told"),
    [
        ("history", "los", "did you mean 'loss'"),
        ("history", "", "known: loss, size"),
        ("learning_curves", "size", "of 'loss' alone"),
        ("timeline", "loss", "no metric in particular"),
        ("pareto", "loss", "no metric in particular"),
        ("hypervolume", "size", "no metric in particular"),
    ],
)
def test_a_metric_that_cannot_be_looked_at_is_told(
    service: Service, two: str, kind: str, metric: str, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        service.understanding.figure(two, kind, metric=metric)
    assert [fault.path for fault in caught.value.faults] == ["metric"]


def test_importances_of_a_metric_that_is_not_searched_are_refused(service: Service, two: str) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'size'"):
        service.understanding.importances(two, metric="sise")
