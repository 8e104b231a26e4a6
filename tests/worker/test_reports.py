"""Reports on their way: who waits for their answers, and what waits for them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.errors import InvalidInput
from hpsearch.gateway import Assignment, Gateway
from hpsearch.trials import Decision, Report, TrialState
from hpsearch.worker.slot import MOST_UNANSWERED
from tests.waiting import wait_until
from tests.worker.conftest import Lab
from tests.worker.gateways import Wrapped

pytestmark = pytest.mark.parametrize("lab", [30.0], indirect=True)  # no lease ends, however slow the machine is
NONE, RUNGS = {"name": "none"}, {"name": "asha", "min_resource": 2, "reduction_factor": 2}
EACH = {"name": "median", "startup_trials": 100}


class Recording(Wrapped):
    """Notes the steps of each call of `report`, and the other calls between; no report goes through while it holds
    them."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.said: list[str | list[int]] = []
        self.may_report = threading.Event()
        self.may_report.set()

    def report(self, reports: Sequence[Report]) -> list[Decision]:
        assert self.may_report.wait(60)
        answer: list[Decision] = self._gateway.report(reports)
        self.said.append([report.step for report in reports])
        return answer

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        if name != "renew":
            self.said.append(name)
        return call()

    @property
    def batches(self) -> list[list[int]]:
        return [said for said in self.said if isinstance(said, list)]

    @property
    def steps(self) -> list[int]:
        return [step for steps in self.batches for step in steps]


class Refusing(Wrapped):
    """Refuses the report of a step, whenever it comes."""

    def __init__(self, gateway: Gateway, step: int) -> None:
        super().__init__(gateway)
        self._step = step

    def report(self, reports: Sequence[Report]) -> list[Decision]:
        if any(report.step == self._step for report in reports):
            raise InvalidInput("not like this")
        return self._gateway.report(reports)


class Pruning(Wrapped):
    """Prunes at a step, whatever the trial was told when it was claimed: its study was extended meanwhile, say."""

    def __init__(self, gateway: Gateway, step: int) -> None:
        super().__init__(gateway)
        self._step = step

    def report(self, reports: Sequence[Report]) -> list[Decision]:
        answers = self._gateway.report(reports)
        return [
            Decision.PRUNE if report.step == self._step else answer
            for report, answer in zip(reports, answers, strict=True)
        ]


class Older(Recording):
    """A server that does not say which steps are judged."""

    def claim(self, *arguments: Any) -> list[Assignment]:
        return [replace(assignment, judged_steps=None) for assignment in self._gateway.claim(*arguments)]


def test_what_nothing_can_prune_trains_to_its_end_and_is_told_after_its_reports(lab: Lab) -> None:
    lab.create("descend_and_say_so", steps=5)
    gateway = Recording(lab.service)
    gateway.may_report.clear()
    with lab.agent(gateway):
        lab.trace(ended=True)
        assert lab.service.list_reports("s", 0) == []
        assert "tell" not in gateway.said
        gateway.may_report.set()
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)
    assert [report.step for report in lab.service.list_reports("s", 0)] == [1, 2, 3, 4, 5]
    assert gateway.steps == [1, 2, 3, 4, 5]
    told = gateway.said.index("tell")
    assert sum(len(said) for said in gateway.said[:told] if isinstance(said, list)) == 5


@pytest.mark.parametrize(("pruner", "judged"), [(RUNGS, {2, 4, 8}), (EACH, set(range(1, 10)))])
def test_where_the_pruner_may_answer_the_trial_waits(lab: Lab, pruner: Mapping[str, Any], judged: set[int]) -> None:
    lab.create(steps=9, pruner=pruner)
    gateway = Recording(lab.service)
    with lab.agent(gateway):
        lab.wait_until_ended()
    assert gateway.steps == list(range(1, 10))
    assert not any(judged & set(steps[:-1]) for steps in gateway.batches)  # else it went on without an answer


def test_an_older_server_is_waited_for_at_each_step(lab: Lab) -> None:
    lab.create(steps=4)
    gateway = Older(lab.service)
    with lab.agent(gateway):
        lab.wait_until_ended()
    assert gateway.batches == [[1], [2], [3], [4]]


def test_few_reports_of_a_trial_are_on_their_way_at_once(lab: Lab) -> None:
    lab.create(steps=3 * MOST_UNANSWERED)
    gateway = Recording(lab.service)
    with lab.agent(gateway):
        (trial,) = lab.wait_until_ended()
    assert trial.last_step == 3 * MOST_UNANSWERED
    assert max(map(len, gateway.batches)) <= MOST_UNANSWERED + 1


def test_a_checkpoint_is_kept_after_the_reports_before_it(lab: Lab) -> None:
    lab.create("resume", steps=4, attempts=2)
    gateway = Recording(lab.service)
    with lab.agent(gateway):
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)
    assert lab.traces(start=...)[1]["start"] == 2
    said = [what for what in gateway.said if isinstance(what, list) or what == "put_artifact"]
    assert said == [[1], "put_artifact", [2], "put_artifact", [3], "put_artifact", [4], "put_artifact"]


def test_a_model_is_kept_whether_the_reports_are_answered_or_not(lab: Lab) -> None:
    lab.create("save_at_the_end")
    gateway = Recording(lab.service)
    gateway.may_report.clear()
    with lab.agent(gateway):  # the two go at once, and the end after both
        wait_until(lambda: "put_artifact" in gateway.said, "the model is sent")
        gateway.may_report.set()
        lab.wait_until_ended()
    assert gateway.said.count("put_artifact") == 1
    last = max(place for place, said in enumerate(gateway.said) if isinstance(said, list))
    assert gateway.said.index("put_artifact") < last < gateway.said.index("tell")


def test_a_decision_that_was_not_expected_is_heeded_at_the_next_report(lab: Lab) -> None:
    lab.create(steps=400, seconds=0.05)
    with lab.agent(Pruning(lab.service, 3)):
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.reason) == (TrialState.PRUNED, "told to")
    assert 3 < (trial.last_step or 0) < 400


def test_a_pause_reaches_a_trial_that_does_not_wait(lab: Lab) -> None:
    lab.create(steps=400, seconds=0.05)
    with lab.agent():
        lab.wait_until_running(step=1)
        lab.service.pause_study("s")
        assert lab.trace(decision=...)["decision"] == "pause"
    trial = lab.trial()
    assert (trial.state, trial.reason) == (TrialState.WAITING, "told to pause")
    steps = [report.step for report in lab.service.list_reports("s", 0)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) < 400


def test_a_stopped_study_ends_a_trial_that_does_not_wait(lab: Lab) -> None:
    lab.create(steps=400, seconds=0.05)
    with lab.agent():
        lab.wait_until_running(step=1)
        lab.service.stop_study("s")
        assert lab.trace(decision=...)["decision"] == "lost"
    assert lab.trial().state is TrialState.CANCELLED


@pytest.mark.parametrize("pruner", [NONE, EACH])
@pytest.mark.parametrize("step", [1, 3])
def test_a_refused_report_fails_its_trial(lab: Lab, pruner: Mapping[str, Any], step: int) -> None:
    lab.create(pruner=pruner)
    with lab.agent(Refusing(lab.service, step)):
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.reason) == (TrialState.FAILED, "InvalidInput: not like this")
