"""Users' functions in a worker's slots: published, run, pruned, failed and resumed."""

from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import ConfigurationError, HpsearchError, InvalidSpec
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Trial, TrialState
from hpsearch.worker.alone import published
from hpsearch.worker.messages import Briefing
from tests.waiting import wait_until
from tests.worker.conftest import Lab

NAMES = ("bowl", "wrong", "diverging", "endless", "Patient", "Doomed", "surroundings", "several")
OWN = {name: f"tests.worker.own:{name}" for name in NAMES}


def study(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "s",
        "objective": {"name": name, "direction": "minimize"},
        "sampler": {"name": "random"},
        "budget": {"trials": 1},
    } | changes


def create(lab: Lab, name: str, **changes: Any) -> None:
    """A study of it, once a worker has made it known."""
    wait_until(lambda: name in [info.name for info in lab.service.objectives()], f"{name} is published")
    lab.service.create_study(study(name, **changes))


def run_one(lab: Lab, name: str) -> Trial:
    with lab.agent(objectives={}, own=OWN):
        create(lab, name)
        (trial,) = lab.wait_until_ended()
    return trial


def test_a_worker_publishes_its_own_objectives_and_runs_them(lab: Lab) -> None:
    with pytest.raises(InvalidSpec, match=r"hpsearch worker --objective bowl=package\.module:function"):
        lab.service.create_study(study("bowl"))
    with lab.agent(own=OWN, slots=2):
        create(lab, "bowl", budget={"trials": 5})
        trials = lab.wait_until_ended()
        lab.create(name="scripted")  # what hpsearch brings runs beside
        lab.wait_until_ended("scripted")
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.value == float(trial.parameters["x"]) ** 2 for trial in trials)  # type: ignore[arg-type]
    assert all(trial.parameters.keys() == {"x", "steps"} for trial in trials)
    (worker,) = lab.service.list_workers().items
    assert worker.objectives == ("scripted", *NAMES)


def test_a_trial_is_pruned_at_its_report(lab: Lab) -> None:
    with lab.agent(objectives={}, own=OWN):
        create(lab, "bowl", budget={"trials": 2}, pruner={"name": "median", "startup_trials": 1})
        lab.service.pause_study("s")
        lab.service.enqueue("s", [{"x": 1.0, "steps": 3}, {"x": 9.0, "steps": 3}])
        lab.service.resume_study("s")
        good, bad = lab.wait_until_ended()
    assert (good.state, bad.state, bad.last_step) == (TrialState.COMPLETE, TrialState.PRUNED, 1)
    assert bad.reason is not None


def test_an_exception_fails_its_trial_with_the_place_and_the_traceback(lab: Lab) -> None:
    trial = run_one(lab, "wrong")
    assert trial.state is TrialState.FAILED
    assert trial.reason == "KeyError: 'x' (own.py, line 19, in wrong)"
    _, path = lab.service.open_artifact("s", 0, "traceback.txt")
    assert 'return {"y": x}["x"]' in path.read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("diverging", "diverged: reported nan at step 1"), ("endless", "diverged: ended with the value inf")],
)
def test_what_diverges_fails(lab: Lab, name: str, reason: str) -> None:
    trial = run_one(lab, name)
    assert (trial.state, trial.reason) == (TrialState.FAILED, reason)


def test_a_trial_ends_with_a_value_for_each_metric_or_says_which_it_lacks(lab: Lab) -> None:
    objective = {"name": "several", "metrics": {"error": "minimize", "size": "minimize"}}
    with lab.agent(objectives={}, own=OWN):
        create(lab, "several", objective=objective, budget={"trials": 4})
        lab.service.pause_study("s")
        lab.service.enqueue("s", [{"x": 3.0}, {"x": -1.0}, {"x": 9.0}, {"x": -9.0}])
        lab.service.resume_study("s")
        by_order, by_name, forgotten, diverged = lab.wait_until_ended()
    assert (by_order.values, by_name.values) == ((9.0, 1.0), (1.0, 3.0))
    assert (forgotten.state, forgotten.diverged) == (TrialState.FAILED, False)
    assert forgotten.reason == "its end has no size, which the study searches"
    assert (diverged.state, diverged.diverged) == (TrialState.FAILED, True)
    assert diverged.reason == "diverged: size is not finite, which the study searches"


def test_a_paused_trial_loses_nothing_and_goes_on_elsewhere(lab: Lab) -> None:
    with lab.agent(objectives={}, own=OWN):
        create(lab, "Patient")
        lab.wait_until_running(step=2)
        lab.service.pause_study("s")
        wait_until(lambda: lab.trial().state is TrialState.WAITING, "the trial is handed back")
    assert [item.name for item in lab.service.list_artifacts("s", 0)] == ["checkpoint.tar"]
    lab.service.resume_study("s")
    with lab.agent(name="w2", objectives={}, own=OWN):
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt, trial.worker) == (TrialState.COMPLETE, 2, "w2")
    assert trial.metrics["start"] == 2
    reports = lab.service.list_reports("s", 0)
    assert [(report.step, report.attempt) for report in reports] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert {report.decision for report in reports} <= {Decision.CONTINUE, Decision.PAUSE}
    assert lab.service.get_study("s").state is StudyState.COMPLETE


def test_a_killed_process_goes_on_from_its_checkpoint(lab: Lab) -> None:
    trial = run_one(lab, "Doomed")
    assert (trial.state, trial.attempt, trial.metrics["start"]) == (TrialState.COMPLETE, 2, 3)
    reports = lab.service.list_reports("s", 0)
    assert [(report.step, report.attempt) for report in reports] == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_functions_find_the_workers_surroundings_but_not_its_secrets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    monkeypatch.setenv("HPSEARCH_TOKEN", "secret")
    run_one(lab, "surroundings")
    _, path = lab.service.open_artifact("s", 0, "environment")
    assert path.read_text() == f"/data None {Path.cwd()}"


def test_a_function_that_cannot_be_found_ends_the_worker_before_it_registers(lab: Lab) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"tests\.worker\.own has no 'bowls' \(did you mean 'bowl'\?\)"),
        lab.agent(objectives={}, own={"bowl": "tests.worker.own:bowls"}) as agent,
    ):
        agent.join()
    assert lab.service.list_workers().items == ()


def test_what_is_published_can_be_looked_at_without_a_worker(tmp_path: Path) -> None:
    (bowl,) = published(Briefing(objectives={}, own={"b": "tests.worker.own:bowl"}, threads=1, folder=tmp_path))
    assert (bowl.name, [item.name for item in bowl.parameters]) == ("b", ["x", "steps"])
    with pytest.raises(ConfigurationError, match="there is no module 'nowhere'"):
        published(Briefing(objectives={}, own={"b": "nowhere:f"}, threads=1, folder=tmp_path))
    with pytest.raises(HpsearchError, match="exit code 7"):
        published(Briefing(objectives={}, own={"b": "tests.worker.leaving:f"}, threads=1, folder=tmp_path))
