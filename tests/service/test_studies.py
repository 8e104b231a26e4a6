"""Studies: made once, moved, ended, deleted."""

import threading
from typing import Any

import pytest

from hpsearch.errors import IllegalTransition, InvalidInput, InvalidSpec, StudyEnded, StudyExists, StudyNotFound
from hpsearch.service import Service
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Receipt, TrialState
from tests.conftest import Clock, ServiceFactory, loop_study, toy_study
from tests.service.conftest import Worker
from tests.spaces import LAYERED


def test_creating_again_answers_with_the_study_that_exists(service: Service) -> None:
    first, new = service.create_study(toy_study())
    again, new_again = service.create_study(toy_study(description=""))
    assert (new, new_again) == (True, False)
    assert again == first


def test_another_description_under_the_name_is_refused(service: Service) -> None:
    service.create_study(toy_study())
    with pytest.raises(StudyExists, match="budget, seed would change"):
        service.create_study(toy_study(seed=1, budget={"trials": 11}))


def test_a_wrong_study_leaves_nothing(service: Service) -> None:
    with pytest.raises(InvalidSpec):
        service.create_study(toy_study(budget={}))
    assert service.list_studies().items == ()


def test_concurrent_creations_make_one_study(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(4)]
    barrier, made = threading.Barrier(4), []

    def create(service: Service) -> None:
        barrier.wait()
        made.append(service.create_study(toy_study())[1])

    threads = [threading.Thread(target=create, args=(service,)) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]


def test_an_unknown_study_is_told_with_a_near_name(service: Service) -> None:
    service.create_study(toy_study(name="digits"))
    with pytest.raises(StudyNotFound, match="'digits'"):
        service.get_study("digit")


def test_lists_are_paged_by_cursor(service: Service) -> None:
    for number in range(5):
        service.create_study(toy_study(name=f"s{number}"))
    names, after = [], None
    while True:
        page = service.list_studies(after, limit=2)
        names += [study.name for study in page.items]
        after = page.next
        if after is None:
            break
    assert names == ["s0", "s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(("after", "limit"), [("x", 1), ("-1", 1), ("9" * 30, 1), (None, 0), (None, 10**9)])
def test_a_cursor_or_limit_that_is_none_is_refused(service: Service, after: Any, limit: int) -> None:
    with pytest.raises(InvalidInput):
        service.list_studies(after, limit)


def test_a_paused_study_hands_out_nothing_and_gets_its_trials_back(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    service.pause_study("bowl")
    assert worker.claim(holding=[assignment]) == []
    assert worker.report(assignment, 1, 3.0) is Decision.PAUSE
    assert service.renew([assignment.lease]) == [Decision.PAUSE]
    assert worker.release(assignment) is Receipt.ACCEPTED
    assert service.get_trial("bowl", 0).state is TrialState.WAITING
    assert worker.claim() == []
    service.resume_study("bowl")
    (again,) = worker.claim()
    assert again.lease.number == 0
    assert again.parameters == assignment.parameters


def test_pausing_twice_is_as_good_as_once(service: Service) -> None:
    service.create_study(toy_study())
    assert service.pause_study("bowl").revision == service.pause_study("bowl").revision


def test_stopping_reaches_a_running_trial_with_its_next_report(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    first, second = worker.claim(2)
    worker.complete(first, 1.0)
    study = service.stop_study("bowl")
    assert (study.state, study.reason) == (StudyState.STOPPED, "stopped by a user")
    assert worker.report(second, 1, 3.0) is Decision.LOST
    assert worker.complete(second, 3.0) is Receipt.LOST
    assert service.get_trial("bowl", 1).state is TrialState.CANCELLED
    assert service.best("bowl").trial == service.get_trial("bowl", 0)


def test_an_ended_study_cannot_be_resumed(service: Service) -> None:
    service.create_study(toy_study())
    service.stop_study("bowl")
    assert service.stop_study("bowl").state is StudyState.STOPPED
    with pytest.raises(IllegalTransition, match="a stopped study cannot become running"):
        service.resume_study("bowl")


def test_deleting_reaches_a_running_trial_and_frees_the_name(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    service.delete_study("bowl")
    assert worker.report(assignment, 1, 3.0) is Decision.LOST
    with pytest.raises(StudyNotFound):
        service.get_study("bowl")
    service.create_study(toy_study())
    assert worker.complete(assignment, 3.0) is Receipt.LOST  # another study of the same name
    assert service.get_study("bowl").counts.created == 0


def test_a_study_ends_when_its_target_is_reached(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 10, "target": 0.5}))
    first, second = worker.claim(2)
    worker.complete(first, 0.6)
    assert service.get_study("bowl").state is StudyState.RUNNING
    (third,) = worker.claim(holding=[second])
    worker.complete(third, 0.5)
    study = service.get_study("bowl")
    assert (study.state, study.reason) == (StudyState.COMPLETE, "trial 2 reached the target: 0.5")
    assert worker.complete(second, 0.1) is Receipt.LOST


def test_a_study_ends_when_its_time_is_up(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(toy_study(budget={"wall_clock": 60}))
    clock.advance(3600)  # nothing runs out before the first claim
    (assignment,) = worker.claim()
    clock.advance(59)
    service.renew([assignment.lease])
    service.reap()
    assert service.get_study("bowl").state is StudyState.RUNNING
    clock.advance(1)
    assert worker.claim(holding=[assignment]) == []
    service.reap()
    assert service.get_study("bowl").reason == "its wall clock has run out"
    assert worker.report(assignment, 1, 1.0) is Decision.LOST


def test_configurations_of_a_user_go_first_and_are_filled_in(service: Service, worker: Worker) -> None:
    space = {"x": {"type": "float", "low": -10, "high": 10}, "size": {"type": "int", "low": 1, "high": 8}}
    service.create_study(toy_study(space=space))
    made = service.enqueue("bowl", [{"x": 1.5, "size": 3}, {"x": 2.5}])
    assert [trial.state for trial in made] == [TrialState.WAITING] * 2
    assert made[0].parameters == {"x": 1.5, "size": 3}
    assert made[1].parameters["x"] == 2.5
    assert 1 <= made[1].parameters["size"] <= 8  # type: ignore[operator]
    claimed = worker.claim(3)
    assert [item.lease.number for item in claimed] == [0, 1, 2]
    assert claimed[0].parameters == made[0].parameters


@pytest.mark.parametrize(
    "configuration",
    [{"y": 1.0}, {"x": 11.0}, {"x": float("nan")}, {"x": float("inf")}, {"x": "1"}, {"x": True}, {"x": None}],
)
def test_a_wrong_configuration_enqueues_none(service: Service, configuration: dict[str, Any]) -> None:
    service.create_study(loop_study())
    with pytest.raises(InvalidInput) as caught:
        service.enqueue("bowl", [{"x": 1.0}, configuration])
    assert caught.value.faults[0].path == f"configurations.1.{next(iter(configuration))}"
    assert service.list_trials("bowl").items == ()


def test_an_ended_study_takes_no_configuration(service: Service) -> None:
    service.create_study(loop_study())
    service.stop_study("bowl")
    with pytest.raises(StudyEnded):
        service.enqueue("bowl", [{"x": 1.0}])


def test_a_study_whose_first_trials_all_fail_alike_pauses_itself(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    for _ in range(5):
        worker.end(worker.claim()[0], TrialState.FAILED, "no such file: data.csv")
    study = service.get_study("bowl")
    assert study.state is StudyState.PAUSED
    assert study.reason == "its first 5 trials all failed alike: no such file: data.csv"
    assert worker.claim() == []


@pytest.mark.parametrize("last", ["another reason", None])
def test_a_study_with_one_success_or_other_reasons_goes_on(service: Service, worker: Worker, last: str | None) -> None:
    service.create_study(toy_study())
    for _ in range(4):
        worker.end(worker.claim()[0], TrialState.FAILED, "the same")
    if last is None:
        worker.complete(worker.claim()[0], 1.0)
        last = "the same"
    worker.end(worker.claim()[0], TrialState.FAILED, last)
    assert service.get_study("bowl").state is StudyState.RUNNING


def test_failed_trials_are_tried_again_and_not_counted_twice(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 4}))
    claimed = worker.claim(4)
    for assignment in claimed[:2]:
        worker.complete(assignment, 1.0)
    for assignment in claimed[2:]:
        worker.end(assignment, TrialState.FAILED, "the node broke")
    assert service.get_study("bowl").state is StudyState.COMPLETE
    again = service.retry_failed("bowl")
    assert [(trial.number, trial.state) for trial in again] == [(2, TrialState.WAITING), (3, TrialState.WAITING)]
    assert service.get_study("bowl").state is StudyState.RUNNING
    for assignment, before in zip(worker.claim(9), claimed[2:], strict=True):
        assert assignment.parameters == before.parameters
        assert assignment.lease.attempt == 2
        worker.complete(assignment, 2.0)
    study = service.get_study("bowl")
    assert (study.state, study.counts.complete, study.counts.created) == (StudyState.COMPLETE, 4, 4)


def test_only_failed_trials_of_an_unstopped_study_are_tried_again(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    first, second = worker.claim(2)
    worker.end(first, TrialState.FAILED, "broken")
    worker.complete(second, 1.0)
    for number in (1, 2):
        with pytest.raises(InvalidInput, match=rf"numbers\.{number}: is not a failed trial"):
            service.retry_failed("bowl", [0, number])
    assert service.get_trial("bowl", 0).state is TrialState.FAILED
    for _ in range(2):  # the same call again is safe
        assert [(trial.number, trial.state) for trial in service.retry_failed("bowl", [0, 0])] == [
            (0, TrialState.WAITING)
        ]
    assert second.lease.number == 1
    service.stop_study("bowl")
    with pytest.raises(StudyEnded):
        service.retry_failed("bowl")


def test_an_enqueue_repeated_after_a_lost_answer_gives_the_same_trials(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    first = service.enqueue("bowl", [{"x": 1.0}, {"x": 2.0}], request_id="r")
    assert service.enqueue("bowl", [{"x": 1.0}, {"x": 2.0}], request_id="r") == first
    worker.claim()
    assert [trial.number for trial in service.enqueue("bowl", [{"x": 1.0}, {"x": 2.0}], request_id="r")] == [0, 1]
    assert service.get_study("bowl").counts.created == 2


def test_enqueued_configurations_are_held_against_the_conditions(service: Service) -> None:
    service.create_study(loop_study(space=LAYERED))
    with pytest.raises(InvalidInput) as caught:
        service.enqueue("bowl", [{"cell": "gru", "forget": 0.0}, {"units[1]": 8}])
    assert {fault.path for fault in caught.value.faults} == {"configurations.0.forget", "configurations.1.units[1]"}
    (made,) = service.enqueue("bowl", [{"cell": "gru", "layers": 1}])
    assert list(made.parameters) == ["rate", "cell", "layers", "units[0]"]
    assert list(service.get_trial("bowl", 0).parameters) == list(made.parameters)
