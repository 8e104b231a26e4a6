"""Races over real connections: threads in several services on one database, which share nothing else."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from hpsearch.errors import StudyEnded
from hpsearch.service import Service
from hpsearch.studies import StudyState
from hpsearch.trials import Receipt, Result, TrialState
from tests.conftest import ServiceFactory, loop_study, toy_study
from tests.service.conftest import Worker

PARTIES = 4


def together(run: Callable[[int], Any], parties: int = PARTIES) -> list[Any]:
    """Start `run(0)`, `run(1)` … at one moment; their results in that order. Raises what one of them raised."""
    barrier = threading.Barrier(parties)
    results: list[Any] = [None] * parties
    errors: list[BaseException] = []

    def start(party: int) -> None:
        barrier.wait()
        try:
            results[party] = run(party)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(party,)) for party in range(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def test_no_waiting_trial_is_claimed_twice(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(toy_study(budget={"trials": 40}))
    services[0].enqueue("bowl", [{"x": float(number % 10)} for number in range(40)])
    workers = [Worker(service, f"w{number}") for number, service in enumerate(services)]

    def drain(party: int) -> list[int]:
        held: list[Any] = []
        while fresh := workers[party].claim(2, holding=held):
            held += fresh
        return [assignment.lease.number for assignment in held]

    claimed = [number for numbers in together(drain) for number in numbers]
    # a worker that found every candidate taken by others may have left while some waited: what counts is no double
    assert max(Counter(claimed).values()) == 1
    study = services[0].get_study("bowl")
    assert study.counts.running == len(claimed)
    assert study.counts.created == 40


def test_the_budget_holds_against_concurrent_asks(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(loop_study(budget={"trials": 30}))

    def work(party: int) -> list[int]:
        done = []
        while True:
            try:
                assignments = services[party].ask("bowl", 2)
            except StudyEnded:
                return done
            for assignment in assignments:
                services[party].tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(1.0,)))
                done.append(assignment.lease.number)

    numbers = [number for done in together(work) for number in done]
    assert sorted(numbers) == list(range(30))
    study = services[0].get_study("bowl")
    assert (study.state, study.counts.complete, study.counts.created) == (StudyState.COMPLETE, 30, 30)


def test_one_of_several_concurrent_tells_counts(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(loop_study(budget={"trials": 10}))
    for _ in range(10):
        (assignment,) = services[0].ask("bowl")

        def tell(party: int, lease: Any = assignment.lease) -> Receipt:
            result = Result(lease=lease, state=TrialState.COMPLETE, values=(float(party),))
            return services[party].tell([result])[0]

        assert Counter(together(tell)) == {Receipt.ACCEPTED: 1, Receipt.CONFLICT: PARTIES - 1}
    assert services[0].get_study("bowl").counts.complete == 10


def test_concurrent_asks_of_one_request_give_one_trial(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(loop_study())
    answers = together(lambda party: services[party].ask("bowl", 1, request_id="same"))
    assert len({answer[0].lease.token for answer in answers}) == 1
    assert services[0].get_study("bowl").counts.created == 1


def test_stopping_while_workers_work_leaves_nothing_running(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(toy_study(budget={"trials": 10_000}))

    def work(party: int) -> None:
        service = services[party]
        if party == 0:
            while service.get_study("bowl").counts.finished < 10:
                pass
            service.stop_study("bowl")
            return
        worker = Worker(service, f"w{party}")
        while service.get_study("bowl").state is StudyState.RUNNING:
            for assignment in worker.claim(2):
                worker.report(assignment, 1, 1.0)
                worker.complete(assignment, 1.0)

    together(work)
    counts = services[0].get_study("bowl").counts
    states = Counter(trial.state for trial in services[0].export("bowl"))
    assert states.keys() <= {TrialState.COMPLETE, TrialState.CANCELLED}
    assert (states[TrialState.COMPLETE], states[TrialState.CANCELLED]) == (counts.complete, counts.cancelled)


def test_reapers_in_every_server_hand_a_trial_back_once(make_service: ServiceFactory, clock: Any) -> None:
    services: list[Service] = [make_service() for _ in range(PARTIES)]
    services[0].create_study(toy_study())
    Worker(services[0]).claim(5)
    clock.advance(31)
    assert sum(together(lambda party: services[party].reap())) == 5
    assert {trial.attempt for trial in services[0].export("bowl")} == {1}
    assert services[0].get_study("bowl").counts.waiting == 5


def test_servers_that_suggest_at_the_same_time_never_suggest_the_same(make_service: ServiceFactory) -> None:
    """Each suggestion has its number's seed: one that was overtaken is drawn anew."""
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(loop_study(budget={"trials": 60}, sampler={"name": "random"}))

    def work(party: int) -> list[Any]:
        return [item for _ in range(15) for item in services[party].ask("bowl")]

    assignments = [item for found in together(work) for item in found]
    assert sorted(item.lease.number for item in assignments) == list(range(60))
    assert len({repr(item.parameters) for item in assignments}) == 60
    # and what one server alone would have suggested
    alone = make_service()
    alone.create_study(loop_study(name="alone", budget={"trials": 60}, sampler={"name": "random"}))
    expected = {item.lease.number: item.parameters for item in alone.ask("alone", 60)}
    assert {item.lease.number: item.parameters for item in assignments} == expected


def test_a_grid_is_swept_whole_by_several_servers(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    space = {"x": {"type": "int", "low": 0, "high": 19}, "y": {"type": "categorical", "choices": ["a", "b"]}}
    services[0].create_study(loop_study(space=space, sampler={"name": "grid"}, budget={}))

    def work(party: int) -> list[Any]:
        done = []
        while True:
            try:
                assignments = services[party].ask("bowl", 3)
            except StudyEnded:
                return done
            for item in assignments:
                services[party].tell_one(Result(lease=item.lease, state=TrialState.COMPLETE, values=(1.0,)))
                done.append((item.parameters["x"], item.parameters["y"]))

    points = [point for found in together(work) for point in found]
    assert sorted(points) == [(x, y) for x in range(20) for y in "ab"]
    assert services[0].get_study("bowl").reason == "all 40 trials are finished"
