"""Studies whose budget is raised, and studies made of others."""

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hpsearch.errors import BudgetExceeded, Conflict, InvalidInput, InvalidSpec, StudyEnded, StudyExists, StudyNotFound
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.studies import StudyState
from hpsearch.trials import Result, TrialState
from tests.conftest import TOY, Clock, ServiceFactory, new_sqlite_database, toy_study
from tests.service.conftest import Worker


def work(worker: Worker, trials: int = 100) -> int:
    """Complete what there is, at most so many; how many there were."""
    done = 0
    while done < trials and (found := worker.claim()):
        x = float(found[0].parameters["x"])  # type: ignore[arg-type]
        worker.report(found[0], 1, x * x)
        worker.complete(found[0], x * x)
        done += 1
    return done


# --- extended --------------------------------------------------------------------------------------------------------


def test_a_study_that_its_budget_ended_goes_on_to_the_larger_one_exactly(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    assert work(worker) == 10
    assert service.get_study("bowl").state is StudyState.COMPLETE
    study = service.extend_study("bowl", 13)
    assert (study.state, study.reason, study.spec.budget_trials) == (StudyState.RUNNING, None, 13)
    assert service.extend_study("bowl", 13) == study  # the same again, after a lost answer
    assert work(worker) == 3
    study = service.get_study("bowl")
    assert (study.state, study.reason) == (StudyState.COMPLETE, "all 13 trials are finished")
    assert [trial.number for trial in service.export("bowl")] == list(range(13))
    assert "its budget was raised from 10 to 13 trials" in [event.reason for event in service.events("bowl")]


def test_a_running_study_is_extended_as_it_runs(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 1}))
    (held,) = worker.claim()
    with pytest.raises(BudgetExceeded):
        service.enqueue("bowl", [{"x": 1.0}])
    assert service.extend_study("bowl", 3).state is StudyState.RUNNING
    service.enqueue("bowl", [{"x": 1.0}])
    worker.complete(held, 0.5)
    assert work(worker) == 2
    assert service.get_study("bowl").counts.finished == 3


CONFIRM = {"top": 2, "seeds": 2}


def test_a_study_that_has_confirmed_its_best_searches_on_and_confirms_what_is_missing(
    service: Service, make_service: ServiceFactory, worker: Worker
) -> None:
    """The numbers of the runs that confirm lie between the search's; the budget is exact all the same."""
    service.create_study(toy_study(budget={"trials": 4}, confirm=CONFIRM, sampler={"name": "tpe", "startup_trials": 3}))
    assert work(worker) == 8
    before = service.confirmation("bowl")
    assert (before.planned, before.finished) == (4, 4)
    study = service.extend_study("bowl", 7)
    assert (study.state, study.ended_because, study.searched_at) == (StudyState.RUNNING, None, None)
    other = Worker(make_service(), "w2")  # a server whose history is read anew
    for someone in (worker, other, worker):
        (assignment,) = someone.claim()
        someone.complete(assignment, -1.0 if someone is other else 100.0)
    assert [trial.number for trial in service.export("bowl")] == [0, 1, 2, 3, 8, 9, 10]
    study = service.get_study("bowl")
    assert (study.state, study.counts.finished, study.best_number) == (StudyState.CONFIRMING, 7, 9)
    assert work(worker) == 2  # of the new best; the second best is confirmed already
    after = service.confirmation("bowl")
    confirmed = {item.trial: item.n for item in after.configurations}
    assert confirmed[9] == 2
    assert len(confirmed) == 3
    assert service.get_study("bowl").state is StudyState.COMPLETE
    assert len(service.understanding.summary("bowl", 100).top) == 7


def test_what_confirms_and_has_not_begun_makes_way_for_the_search(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 2}, confirm=CONFIRM))
    assert work(worker, 3) == 3
    (running,) = worker.claim()
    study = service.extend_study("bowl", 3)
    assert (study.state, study.confirm_counts.waiting, study.confirm_counts.running) == (StudyState.RUNNING, 0, 1)
    worker.complete(running, 1.0)
    (fresh,) = worker.claim()
    assert fresh.lease.number == 6
    worker.complete(fresh, 1e9)
    assert work(worker) == 2  # those that made way
    study = service.get_study("bowl")
    assert (study.state, study.confirm_counts.complete, study.confirm_counts.cancelled) == (StudyState.COMPLETE, 4, 2)


def test_a_grid_that_confirmed_its_first_points_visits_all_others(service: Service, worker: Worker) -> None:
    space = {"x": {"type": "float", "low": 0, "high": 5, "step": 1}}
    service.create_study(
        toy_study(space=space, sampler={"name": "grid"}, budget={"trials": 3}, confirm={"top": 1, "seeds": 2})
    )
    assert work(worker) == 5
    service.extend_study("bowl", 100)
    work(worker)
    assert sorted(trial.parameters["x"] for trial in service.export("bowl")) == [0, 1, 2, 3, 4, 5]  # type: ignore[type-var]


def test_a_file_that_says_more_trials_is_told_how(service: Service) -> None:
    service.create_study(toy_study())
    with pytest.raises(StudyExists, match="hpsearch study extend bowl --trials 20"):
        service.create_study(toy_study(budget={"trials": 20}))
    service.extend_study("bowl", 20)
    assert service.create_study(toy_study(budget={"trials": 20}))[1] is False
    with pytest.raises(StudyExists, match=r"budget would change$"):
        service.create_study(toy_study())


def test_a_paused_study_stays_paused(service: Service) -> None:
    service.create_study(toy_study())
    service.pause_study("bowl")
    assert service.extend_study("bowl", 20).state is StudyState.PAUSED


def test_what_cannot_be_extended_is_told(make_service: ServiceFactory, clock: Clock) -> None:
    service = make_service()
    worker = Worker(service)
    service.create_study(toy_study())
    for trials in (9, 0, -1, 10_000_001):
        with pytest.raises(InvalidInput, match="must be in all, from 10"):
            service.extend_study("bowl", trials)
    with pytest.raises(StudyNotFound):
        service.extend_study("bawl", 20)
    service.create_study(toy_study(name="timed", budget={"wall_clock": 60}))
    with pytest.raises(Conflict, match="sets no number of trials"):
        service.extend_study("timed", 20)
    grid = {"size": {"type": "int", "low": 1, "high": 3}}
    service.create_study(toy_study(name="grid", space=grid, sampler={"name": "grid"}, budget={"trials": 5}))
    with pytest.raises(Conflict, match="has 3 points"):
        service.extend_study("grid", 20)
    service.delete_study("grid")
    service.delete_study("timed")
    service.stop_study("bowl")
    with pytest.raises(StudyEnded):
        service.extend_study("bowl", 20)
    for name, budget in (("target", {"trials": 5, "target": 1000.0}), ("late", {"trials": 1, "wall_clock": 60})):
        service.create_study(toy_study(name=name, budget=budget))
        work(worker, 1)
        assert service.get_study(name).state is StudyState.COMPLETE
        clock.advance(61)
        with pytest.raises(Conflict, match="ended otherwise"):
            service.extend_study(name, 20)
        assert service.get_study(name).spec.budget.trials == budget["trials"]


def test_extensions_and_tells_at_once_leave_an_exact_study(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(3)]
    services[0].create_study(toy_study(budget={"trials": 4}))
    barrier = threading.Barrier(3)

    def run(number: int) -> None:
        barrier.wait()
        if number == 0:
            for trials in range(5, 13):
                services[0].extend_study("bowl", trials)
        else:
            work(Worker(services[number], f"w{number}"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work(Worker(services[0], "last"))
    study = services[0].get_study("bowl")
    assert (study.state, study.counts.finished, study.counts.created) == (StudyState.COMPLETE, 12, 12)


# --- cloned ----------------------------------------------------------------------------------------------------------


def source(service: Service, worker: Worker) -> None:
    """A study `bowl` with trials at 1 … 6: four complete, one pruned, one failed; and a seventh that waits."""
    service.create_study(toy_study(budget={"trials": 20}))
    service.enqueue("bowl", [{"x": float(x)} for x in range(1, 8)])
    for position, assignment in enumerate(worker.claim(6)):
        worker.report(assignment, 1, 10.0 + position)
        if position == 4:
            worker.end(assignment, TrialState.PRUNED, "no hope")
        elif position == 5:
            worker.end(assignment, TrialState.FAILED, "broken")
        else:
            worker.complete(assignment, float(position + 1) ** 2)


def within(low: float, high: float, **changes: Any) -> dict[str, Any]:
    return toy_study(space={"x": {"type": "float", "low": low, "high": high}}, budget={"trials": 3}, **changes)


def test_a_clone_keeps_the_trials_that_are_of_its_space(service: Service, worker: Worker) -> None:
    source(service, worker)
    made = service.clone_study("bowl", "near", within(2, 5, sampler={"name": "tpe"}))
    assert (made.copied, made.outside, made.unfinished) == (4, 1, 2)
    study = service.get_study("near")
    assert made.study == study
    assert (study.counts.complete, study.counts.pruned, study.spec.budget_trials) == (3, 1, 7)
    assert (study.best_number, study.best_value) == (0, 4.0)
    first, *_, pruned = service.export("near")
    assert (first.parameters, first.value, first.reason) == ({"x": 2.0}, 4.0, "copied from trial 1 of bowl")
    assert (pruned.state, pruned.value, pruned.last_step) == (TrialState.PRUNED, 14.0, 1)
    service.stop_study("bowl")
    assert work(worker) == 3  # the budget is of new trials
    assert service.get_study("near").reason == "all 7 trials are finished"
    assert [trial.number for trial in service.export("near")] == list(range(7))


def test_a_clones_budget_may_count_the_copies(service: Service, worker: Worker) -> None:
    source(service, worker)
    made = service.clone_study("bowl", "near", within(2, 5), counted=True)
    assert (made.copied, made.study.state, made.study.counts.finished) == (4, StudyState.COMPLETE, 4)
    assert (made.study.spec.budget_trials, made.study.reason) == (4, "all 4 trials are finished")  # not "4 of 3"
    assert service.clone_study("bowl", "near", within(2, 5), counted=True) == made
    made = service.clone_study("bowl", "wide", within(-9, 9) | {"budget": {"trials": 6}}, counted=True)
    assert (made.copied, made.study.state, made.study.counts.finished) == (5, StudyState.RUNNING, 5)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("diverged", "diverged: copied from trial 1 of bowl"),
        ("diverged: loss is inf", "diverged: loss is inf; copied from trial 1 of bowl"),
    ],
)
def test_a_clone_knows_what_diverged(service: Service, worker: Worker, reason: str, kept: str) -> None:
    service.create_study(toy_study(budget={"trials": 20}))
    service.enqueue("bowl", [{"x": float(x)} for x in range(1, 4)])
    good, bad, broken = worker.claim(3)
    worker.complete(good, 1.0)
    worker.end(bad, TrialState.FAILED, reason)
    worker.end(broken, TrialState.FAILED, "out of memory")
    made = service.clone_study("bowl", "near", within(2, 5))
    assert (made.copied, made.outside, made.unfinished) == (1, 1, 1)
    (copy,) = service.export("near")
    assert (copy.state, copy.diverged, copy.reason) == (TrialState.FAILED, True, kept)
    assert (made.study.counts.finished, made.study.spec.budget_trials, made.study.best_number) == (1, 4, None)
    service.stop_study("bowl")
    assert work(worker) == 3
    again = service.clone_study("near", "again")  # a copy of a copy says whence it came
    assert again.copied == 4
    assert next(iter(service.export("again"))).diverged


def test_a_clone_without_a_description_is_the_same_study_under_another_name(service: Service, worker: Worker) -> None:
    source(service, worker)
    made = service.clone_study("bowl", "again")
    assert (made.copied, made.outside, made.study.spec.budget_trials) == (5, 0, 25)
    assert made.study.spec.space == service.get_study("bowl").spec.space


def test_the_same_clone_again_is_the_study_that_was_made(service: Service, worker: Worker) -> None:
    source(service, worker)
    first = service.clone_study("bowl", "near", within(2, 5))
    work(worker, 2)
    assert service.clone_study("bowl", "near", within(2, 5)).study.id == first.study.id
    for other in (within(2, 6), within(2, 5, seed=1)):
        with pytest.raises(StudyExists):
            service.clone_study("bowl", "near", other)
    with pytest.raises(InvalidSpec, match="name: must be another"):
        service.clone_study("bowl", "bowl")


def test_parameters_move_between_space_and_settings(service: Service, worker: Worker) -> None:
    """What was fixed may be searched, and what was searched may be fixed: the trials that had it so are kept."""
    objective = toy_study()["objective"]
    space = toy_study()["space"] | {"size": {"type": "int", "low": 1, "high": 9}}
    service.create_study(toy_study(space=space))
    service.enqueue("bowl", [{"x": 1.0, "size": 2}, {"x": 2.0, "size": 3}])
    for assignment in worker.claim(2):
        worker.complete(assignment, 1.0)
    fixed = service.clone_study("bowl", "fixed", toy_study(objective=objective | {"settings": {"size": 3}}))
    assert (fixed.copied, fixed.outside) == (1, 1)
    assert next(iter(service.export("fixed"))).parameters == {"x": 2.0}
    kinds = {"kind": {"type": "categorical", "choices": ["flat", "round"]}}
    freed = service.clone_study("fixed", "freed", toy_study(space=space | kinds))
    assert freed.copied == 1
    assert next(iter(service.export("freed"))).parameters == {"x": 2.0, "size": 3, "kind": "round"}  # its default
    none = service.clone_study("bowl", "none", toy_study(objective=objective | {"settings": {"size": 7}}))
    assert (none.copied, none.outside) == (0, 2)


def test_trials_of_another_task_are_not_taken(service: Service, worker: Worker) -> None:
    source(service, worker)
    objective = toy_study()["objective"]
    with pytest.raises(InvalidSpec) as caught:
        service.clone_study(
            "bowl", "other", toy_study(objective=objective | {"settings": {"kind": "flat", "file": "a.csv"}})
        )
    assert {fault.path for fault in caught.value.faults} == {"objective.settings.kind", "objective.settings.file"}
    with pytest.raises(InvalidSpec, match=r"objective\.direction: must be") as caught:
        service.clone_study(
            "bowl",
            "an other",
            toy_study(objective=objective | {"direction": "maximize"}, sampler={"name": "grid"}, budget={"trails": 3}),
        )
    assert {"name", "sampler.name", "budget.trails", "objective.direction"} <= {f.path for f in caught.value.faults}
    for nonsense in ([], "text", 5, {"space": 3, "objective": []}):
        with pytest.raises(InvalidSpec):
            service.clone_study("bowl", "other", nonsense)
    assert len(service.list_studies().items) == 1


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_finished_trial_is_copied_or_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    service = Service(Settings(home=new_sqlite_database(tmp_path_factory.mktemp("home"))), [TOY])
    service.open(reaper=False)
    worker = Worker(service)
    xs = data.draw(st.lists(st.floats(-10, 10), min_size=1, max_size=8))
    low, high = sorted(data.draw(st.tuples(st.floats(-10, 10), st.floats(-10, 10))))
    service.create_study(toy_study(budget={"trials": len(xs)}))
    service.enqueue("bowl", [{"x": x} for x in xs])
    for assignment in worker.claim(len(xs)):
        worker.complete(assignment, 1.0)
    made = service.clone_study("bowl", "new", within(low, high))
    kept = [trial.parameters["x"] for trial in service.export("new")]
    assert kept == [x for x in xs if low <= x <= high]
    assert (made.copied, made.outside, made.unfinished) == (len(kept), len(xs) - len(kept), 0)
    assert made.study.spec.budget_trials == 3 + len(kept)
    service.close()


# --- begun where another came to -------------------------------------------------------------------------------------


def test_a_studys_best_configurations_are_tried_first_in_another(service: Service, worker: Worker) -> None:
    source(service, worker)  # at 1, 2, 3, 4: the best is 1, which is outside of the other space
    space = {"x": {"type": "float", "low": 2, "high": 5}, "size": {"type": "int", "low": 1, "high": 9}}
    service.create_study(toy_study(name="other", space=space))
    waiting = service.enqueue_best("other", "bowl", 2, request_id="once")
    assert [trial.parameters["x"] for trial in waiting] == [2.0, 3.0]
    assert all(trial.enqueued and 1 <= trial.parameters["size"] <= 9 for trial in waiting)  # type: ignore[operator]
    assert service.enqueue_best("other", "bowl", 2, request_id="once") == waiting
    assert service.get_study("other").counts.waiting == 2
    assert len(service.enqueue_best("other", "bowl", 100)) == 3


def infeasible_best(service: Service) -> None:
    """A study whose best value violates a constraint over what was measured."""
    service.create_study(toy_study(constraints=["weights <= 100"]))
    for x, weights in ((1.0, 130.0), (2.0, 90.0), (3.0, 80.0)):
        service.enqueue("bowl", [{"x": x}])
        (assignment,) = service.ask("bowl")
        service.tell_one(
            Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(x,), metrics={"weights": weights})
        )


def test_what_violates_a_measured_constraint_is_nobodys_best(service: Service) -> None:
    infeasible_best(service)
    assert [trial.number for trial in service.understanding.summary("bowl", 3).top] == [1, 2, 0]
    history = service.understanding.figure("bowl", "history", form="data").content["data"]
    assert history["best"] == {"numbers": [1, 2], "values": [2.0, 2.0]}
    assert service.clone_study("bowl", "copy").study.best_number == 1
    service.create_study(toy_study(name="other"))
    assert [trial.parameters["x"] for trial in service.enqueue_best("other", "bowl", 3)] == [2.0, 3.0]


def test_a_clone_that_ends_at_once_confirms_nothing(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 2}, confirm=CONFIRM))
    work(worker, 2)
    made = service.clone_study("bowl", "copy", counted=True)
    assert (made.copied, made.study.state) == (2, StudyState.COMPLETE)
    assert made.study.confirm_counts.created == 0


def test_of_equal_configurations_one_is_tried_and_the_direction_counts(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(objective={"metric": "depth", "direction": "maximize"}))
    for x in (1.0, 4.0, 4.0, 2.0):
        service.enqueue("bowl", [{"x": x}])
        (assignment,) = service.ask("bowl")
        worker.complete(assignment, x)
    service.create_study(toy_study(name="other", objective={"direction": "minimize"}))
    assert [trial.parameters["x"] for trial in service.enqueue_best("other", "bowl", 2)] == [4.0, 2.0]


def test_a_study_that_says_nothing_of_the_space_is_told(service: Service, worker: Worker) -> None:
    source(service, worker)
    service.create_study(toy_study(name="other", space={"size": {"type": "int", "low": 1, "high": 9}}))
    with pytest.raises(InvalidInput, match="has no complete trial with a parameter that is of the space of 'other'"):
        service.enqueue_best("other", "bowl", 2)
    with pytest.raises(StudyNotFound):
        service.enqueue_best("other", "bawl", 2)
    for count in (0, -1, 1001):
        with pytest.raises(InvalidInput, match="limit"):
            service.enqueue_best("other", "bowl", count)
    service.create_study(toy_study(name="small", budget={"trials": 1}))
    with pytest.raises(BudgetExceeded):
        service.enqueue_best("small", "bowl", 2)


@pytest.mark.parametrize("budget", [{"trials": 5, "target": 1000.0}, {"trials": 5, "wall_clock": 60}])
def test_failed_trials_do_not_run_again_where_the_search_has_ended_otherwise(
    service: Service, worker: Worker, clock: Clock, budget: dict[str, Any]
) -> None:
    service.create_study(toy_study(budget=budget))
    failed, good = worker.claim(2)
    worker.end(failed, TrialState.FAILED, "out of memory")
    worker.complete(good, 1.0)
    clock.advance(61)
    service.reap()
    before = service.get_study("bowl")
    assert before.state.has_ended
    with pytest.raises(Conflict, match="failed trials run again would not let it go on"):
        service.retry_failed("bowl")
    assert service.get_study("bowl") == before
    assert service.get_trial("bowl", failed.lease.number).state is TrialState.FAILED
