"""Importances, summaries and figures over HTTP."""

from typing import Any

import httpx
import pytest

from hpsearch.service import Service
from hpsearch.trials import Result, TrialState
from tests.conftest import loop_study

STUDY = "/api/v1/studies/bowl"
UNIT = {"type": "float", "low": 0.0, "high": 1.0}


def tell(service: Service, count: int) -> None:
    for assignment in service.ask("bowl", count):
        value = float(assignment.parameters["a"] or 0)
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))


@pytest.fixture
def http(http: httpx.Client) -> httpx.Client:
    """The same with more patience: the first forest imports scikit-learn."""
    http.timeout = httpx.Timeout(120)
    return http


@pytest.fixture
def study(live_service: Service) -> Service:
    live_service.create_study(loop_study(space={"a": UNIT, "b": UNIT}, budget={"trials": 100}))
    tell(live_service, 30)
    return live_service


def test_importances_are_json(http: httpx.Client, study: Service) -> None:
    answer = http.get(f"{STUDY}/importances")
    assert (answer.status_code, answer.json()["method"]) == (200, "ped_anova")
    found: dict[str, Any] = http.get(f"{STUDY}/importances", params={"method": "fanova"}).json()
    assert [item["parameter"] for item in found["importances"]] == ["a", "b"]
    assert found["interactions"][0]["parameters"] == ["a", "b"]
    assert (found["used"], found["of"]) == (30, 30)
    assert "complete trials count" in found["rule"]


@pytest.mark.parametrize("path", ["importances", "summary"])
def test_an_answer_is_sent_once_until_the_study_changes(http: httpx.Client, study: Service, path: str) -> None:
    first = http.get(f"{STUDY}/{path}")
    again = http.get(f"{STUDY}/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    tell(study, 1)
    changed = http.get(f"{STUDY}/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("bowl/importances?method=pedanova", 422, "did you mean 'ped_anova'?"),
        ("bowl/importances?method=", 422, "known: ped_anova, fanova, shapley"),
        ("bowl/importances?metric=dept", 422, "did you mean 'depth'?"),
        ("bowl/summary?count=0", 422, "count"),
        ("bowl/summary?count=many", 422, "count"),
        ("bowls/importances", 404, "did you mean 'bowl'?"),
        ("bowls/summary", 404, "did you mean 'bowl'?"),
    ],
)
def test_wrong_questions_are_told_what_would_be_right(
    http: httpx.Client, study: Service, path: str, status: int, told: str
) -> None:
    answer = http.get(f"/api/v1/studies/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert told in answer.json()["detail"]


def test_the_summary_keeps_what_is_internal_to_itself(http: httpx.Client, study: Service) -> None:
    found = http.get(f"{STUDY}/summary", params={"count": 2}).json()
    best = study.best("bowl").trial
    assert best is not None
    assert found["top"][0]["number"] == best.number
    assert len(found["top"]) == 2
    assert "sampler_attributes" not in found["top"][0]


def test_every_kind_of_plot_is_listed_and_drawn(http: httpx.Client, study: Service) -> None:
    kinds = http.get(f"{STUDY}/plots").json()
    assert {"history", "slices", "timeline"} <= kinds.keys()
    for kind in kinds:
        answer = http.get(f"{STUDY}/plots/{kind}")
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"data", "layout"}
        assert answer.json()["layout"]["meta"] == {
            "study": "bowl",
            "kind": kind,
            "revision": study.get_study("bowl").revision,
        }
        numbers = http.get(f"{STUDY}/plots/{kind.replace('_', '-')}", params={"form": "data"}).json()
        assert numbers["kind"] == kind
        again = http.get(f"{STUDY}/plots/{kind}", headers={"If-None-Match": answer.headers.get("ETag", '"none"')})
        assert again.status_code == (200 if kind == "learning_curves" else 304)


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("plots/histroy", 422, "did you mean 'history'?"),
        ("plots/history?form=svg", 422, "known: figure, data"),
        ("plots/history?parameter=a", 422, "no parameters to choose from"),
        ("plots/slices?parameter=aa&parameter=b", 422, "known: a, b"),
        ("plots/slices?parameter=a&parameter=a", 422, "there already"),
        ("plots/contour?parameter=a", 422, "needs two"),
        ("plots/contour?parameter=a&parameter=b&parameter=c", 422, "at most 2"),
        ("plots/%3Cscript%3E", 422, "known: history"),
        ("plots/history?metric=dept", 422, "did you mean 'depth'?"),
        ("plots/timeline?metric=depth", 422, "no metric in particular"),
    ],
)
def test_wrong_plots_are_told_what_would_be_right(
    http: httpx.Client, study: Service, path: str, status: int, told: str
) -> None:
    answer = http.get(f"{STUDY}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert told in answer.json()["detail"]


def test_a_plot_of_no_study_is_told_the_near_one(http: httpx.Client, study: Service) -> None:
    assert "did you mean 'bowl'?" in http.get("/api/v1/studies/bowls/plots/history").json()["detail"]


def test_each_metric_has_its_importances_and_its_figures(http: httpx.Client, live_service: Service) -> None:
    objective = {"metrics": {"loss": "minimize", "size": "minimize"}}
    live_service.create_study(
        loop_study(space={"a": UNIT, "b": UNIT}, budget={"trials": 40}) | {"objective": objective}
    )
    for assignment in live_service.ask("bowl", 40):
        values = float(assignment.parameters["a"] or 0), float(assignment.parameters["b"] or 0)
        live_service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=values))
    for metric, parameter in (("loss", "a"), ("size", "b")):
        found = http.get(f"{STUDY}/importances", params={"metric": metric})
        assert (found.json()["metric"], found.json()["importances"][0]["parameter"]) == (metric, parameter)
        figure = http.get(f"{STUDY}/plots/history", params={"metric": metric}).json()
        assert figure["layout"]["yaxis"]["title"]["text"] == metric
    refused = http.get(f"{STUDY}/plots/learning_curves", params={"metric": "size"})
    assert refused.status_code == 422
    assert "of 'loss' alone" in refused.json()["detail"]
    front = http.get(f"{STUDY}/plots/pareto", params={"form": "data"}).json()["data"]["front"]
    assert front["numbers"] == [trial["number"] for trial in http.get(f"{STUDY}/pareto").json()["trials"]]
