"""Files of other trials, wanted by a trial that runs."""

from pathlib import Path

import pytest

from hpsearch.errors import ServerUnreachable
from hpsearch.trials import Trial, TrialState
from tests.waiting import wait_until
from tests.worker.conftest import Lab
from tests.worker.gateways import Failing, NoDownloads, SlowDownloads


def create_first(lab: Lab) -> None:
    """A study whose two trials keep a model each, the second the better one."""
    lab.create("save", name="first", trials=2)
    lab.service.enqueue("first", [{"x": 3.0}, {"x": 1.0}])
    with lab.agent():
        lab.wait_until_ended("first")


def ended(lab: Lab, study: str = "s") -> Trial:
    (trial,) = lab.wait_until_ended(study)
    return trial


@pytest.mark.parametrize(("number", "content"), [("best", "weights of 1"), ("0", "weights of 0")])
def test_a_trial_takes_over_another_studys_file(lab: Lab, number: str, content: str) -> None:
    create_first(lab)
    lab.create("fetch", source=f"first {number} model.safetensors")
    with lab.agent():
        trial = ended(lab)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)
    trace = lab.trace(fetched=...)
    assert trace["fetched"] == content
    path, workspace = Path(trace["path"]), Path(lab.traces(number=0, workspace=...)[-1]["workspace"])
    assert path.name == "model.safetensors"
    assert path.is_relative_to(workspace.parent)
    assert not path.is_relative_to(workspace)
    assert not path.exists()  # gone with the trial


MISSING = {
    "none best model.safetensors": "StudyNotFound: ",
    "first 7 model.safetensors": "TrialNotFound: study 'first' has no trial 7",
    "first best model": "ArtifactNotFound: trial 1 of study 'first' has no artifact 'model'",
    "begun best model": "TrialNotFound: study 'begun' has no complete trial yet",
    "first best ../../model": "NotFound: there can be no artifact '../../model' of study 'first'",
    "../first best model": "NotFound: there can be no artifact 'model' of study '../first'",
    "first -1 model": "NotFound: there can be no artifact 'model' of study 'first'",
}


def test_what_is_not_there_is_told_where_the_objective_waits(lab: Lab) -> None:
    create_first(lab)
    lab.create(name="begun")
    lab.service.pause_study("begun")
    for number, source in enumerate(MISSING):
        lab.create("fetch", name=f"s{number}", source=source)
    with lab.agent():
        trials = [ended(lab, f"s{number}") for number in range(len(MISSING))]
    assert {trial.state for trial in trials} == {TrialState.FAILED}
    for trial, reason in zip(trials, MISSING.values(), strict=True):
        assert str(trial.reason).startswith(reason)
    missed = sorted(trace["missed"] for trace in lab.traces(missed=...))
    assert missed == sorted(reason.split(":")[0] for reason in MISSING.values())


def test_an_outage_is_waited_for(lab: Lab) -> None:
    create_first(lab)
    lab.create("fetch", source="first best model.safetensors")
    gateway = Failing(lab.service, get_artifact=ServerUnreachable())
    with lab.agent(gateway):  # type: ignore[arg-type]
        trial = ended(lab)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)
    assert gateway.calls["get_artifact"] == 2


def test_a_wait_for_a_file_is_no_hang(lab: Lab) -> None:
    create_first(lab)
    lab.create("fetch", source="first best model.safetensors", max_attempts=1)
    with lab.agent(SlowDownloads(lab.service, 2.0), hang_seconds=1.0):  # type: ignore[arg-type]
        trial = ended(lab)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)


def test_a_full_disk_fails_the_trial(lab: Lab) -> None:
    create_first(lab)
    lab.create("fetch", source="first best model.safetensors")
    gateway = Failing(lab.service, get_artifact=OSError(28, "No space left on device"))
    with lab.agent(gateway):  # type: ignore[arg-type]
        trial = ended(lab)
    assert trial.state is TrialState.FAILED
    assert "'model.safetensors' cannot be written: [Errno 28]" in str(trial.reason)


def test_a_lease_lost_meanwhile_ends_the_wait(lab: Lab) -> None:
    create_first(lab)
    lab.create("fetch", source="first best model.safetensors")
    gateway = NoDownloads(lab.service)
    with lab.agent(gateway):  # type: ignore[arg-type]
        wait_until(lambda: gateway.calls["get_artifact"], "the file is on its way")
        lab.service.stop_study("s")
        assert lab.trace(missed=...)["missed"] == "LeaseLost"
        given_up_at = gateway.calls["get_artifact"]
        lab.create(name="next")  # in the same process: it was not killed
        ended(lab, "next")
    assert gateway.calls["get_artifact"] <= given_up_at + 1
    assert lab.trial().state is TrialState.CANCELLED
    assert len({trace["pid"] for trace in lab.traces(pid=...)[2:]}) == 1
