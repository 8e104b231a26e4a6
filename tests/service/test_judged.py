"""Who claims a trial is told at which steps its pruner may answer, and may send the reports of others together."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from hpsearch.gateway import Assignment
from hpsearch.service import Service
from hpsearch.trials import Decision, Report, TrialState
from tests.conftest import toy_study
from tests.service.conftest import Worker

RUNGS = {"name": "asha", "min_resource": 2, "reduction_factor": 2, "max_resource": 10}


@pytest.mark.parametrize(
    ("pruner", "judged"),
    [({"name": "none"}, ()), (RUNGS, (2, 4, 8)), ({"name": "median"}, None)],
)
def test_a_claim_says_at_which_steps_the_pruner_may_answer(
    service: Service, worker: Worker, pruner: dict[str, Any], judged: tuple[int, ...] | None
) -> None:
    service.create_study(toy_study(pruner=pruner))
    (assignment,) = worker.claim()
    assert assignment.judged_steps == judged
    (asked,) = service.ask("bowl")
    assert asked.judged_steps == judged


def test_of_what_confirms_no_step_is_judged(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner=RUNGS, budget={"trials": 1}, confirm={"top": 1, "seeds": 2}))
    (searched,) = worker.claim()
    worker.complete(searched, 1.0)
    (confirming,) = worker.claim()
    assert (searched.judged_steps, confirming.judged_steps) == ((2, 4, 8), ())


def test_several_reports_of_a_trial_in_one_call_are_recorded_and_judged_as_in_calls_of_their_own(
    service: Service, worker: Worker
) -> None:
    service.create_study(toy_study(pruner=RUNGS, budget={"trials": 8}))
    (good,) = worker.claim()
    (bad,) = worker.claim(holding=[good])

    def reports(assignment: Assignment, value: float) -> list[Report]:
        return [Report(lease=assignment.lease, step=step, value=value + 1 / step) for step in (1, 2)]

    assert service.report(reports(good, 1.0)) == [Decision.CONTINUE] * 2
    assert service.report(reports(bad, 5.0)) == [Decision.CONTINUE, Decision.PRUNE]
    assert service.report(reports(bad, 5.0)) == [Decision.CONTINUE, Decision.PRUNE]  # as it was answered before
    assert [(found.step, found.value) for found in service.list_reports("bowl", 1)] == [(1, 6.0), (2, 5.5)]
    trial = service.get_trial("bowl", 1)
    assert (trial.last_step, trial.pruning and trial.pruning.step) == (2, 2)


@pytest.mark.parametrize("promote", [False, True])
def test_a_verdict_stands_whatever_is_still_on_its_way(service: Service, worker: Worker, promote: bool) -> None:
    """A trial that does not wait for its answer has reported more by the time it hears: the reason is that of its
    rung, and what pauses pauses there."""
    service.create_study(toy_study(pruner=RUNGS | {"promote": promote}, budget={"trials": 8}))
    (good,) = worker.claim()
    assert worker.report(good, 2, 1.0) is Decision.CONTINUE
    (bad,) = worker.claim(holding=[good])
    told = Decision.PAUSE if promote else Decision.PRUNE
    assert worker.report(bad, 2, 5.0) is told
    before = service.get_trial("bowl", 1)
    assert [worker.report(bad, step, 0.0) for step in (3, 4)] == [told, told]
    trial = service.get_trial("bowl", 1)
    assert (trial.reason, trial.pruning) == (before.reason, before.pruning)
    if promote:
        worker.release(bad)
        assert service.get_trial("bowl", 1).state is TrialState.PAUSED
    else:
        worker.end(bad, TrialState.PRUNED)
    trial = service.get_trial("bowl", 1)
    assert (trial.reason, trial.pruning, trial.last_step) == (before.reason, before.pruning, 4)


def test_an_older_server_says_nothing_of_it_and_an_older_worker_takes_it(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner=RUNGS))
    adapter = TypeAdapter(Assignment)
    (assignment,) = worker.claim()
    told = adapter.dump_python(assignment, mode="json")
    assert told["judged_steps"] == [2, 4, 8]
    assert adapter.validate_python(told | {"of_a_later_version": 1}) == assignment
    del told["judged_steps"]
    assert adapter.validate_python(told).judged_steps is None
