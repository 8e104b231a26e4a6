"""Earlier studies: looked up, checked and kept when a study is created, whatever becomes of them then."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from hpsearch.earlier import Found
from hpsearch.errors import InvalidSpec, StudyExists
from hpsearch.search.earlier import MOST_BEST, MOST_OTHERS
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.service import Service
from hpsearch.spec import StudySpec
from hpsearch.store import earlier
from hpsearch.studies import EndReason, Event, Study
from hpsearch.trials import Parameters, Report, Result, Trial, TrialState
from tests.conftest import ServiceFactory, loop_study
from tests.service.test_races import PARTIES, together
from tests.service.test_suggestions import _observed

FLOAT = {"type": "float", "low": -5, "high": 5}
SPACE = {"x": FLOAT, "y": FLOAT, "cell": {"type": "categorical", "choices": ["lstm", "gru"]}}


def described(name: str, *known: str, trials: int = 40, **changes: Any) -> dict[str, Any]:
    study = {"name": name, "space": SPACE, "sampler": {"name": "tpe"}, "budget": {"trials": trials}, "seed": 3}
    return loop_study(**{**study, **changes}) | ({"earlier": list(known)} if known else {})


def bowl(parameters: Parameters) -> float:
    x, y = (float(parameters.get(name, 0.0)) for name in ("x", "y"))  # type: ignore[arg-type]
    return (x - 2) ** 2 + (y + 1) ** 2 + (parameters.get("cell") == "gru")


def work(service: Service, study: str, count: int, value: Callable[[Parameters], float] = bowl) -> None:
    for _ in range(count):
        (given,) = service.ask(study)
        service.tell([Result(lease=given.lease, state=TrialState.COMPLETE, values=(value(given.parameters),))])


def source(service: Service, name: str = "before", count: int = 30, **changes: Any) -> None:
    service.create_study(described(name, trials=count, sampler={"name": "random"}) | changes)
    work(service, name, count)


def kept_with(service: Service, study: Study) -> tuple[Found, ...]:
    with service._database.read() as tx:
        return earlier.of_study(tx, study.id)


def faults_of(service: Service, raw: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        service.create_study(raw)
    return {fault.path: str(fault) for fault in caught.value.faults}


# --- refused ---------------------------------------------------------------------------------------------------------


def test_every_study_that_cannot_be_learned_from_is_told_at_once(service: Service) -> None:
    source(service)
    source(service, "few", 4)
    source(service, "other", 8, space={"z": FLOAT})
    source(service, "apart", 8, space={"x": {"type": "float", "low": 50, "high": 60}})
    service.create_study(described("level", sampler={"name": "random"}))
    work(service, "level", 8, lambda _: 1.0)
    objective = {"objective": {"metrics": {"a": "minimize", "b": "minimize"}}}
    service.create_study(described("several", sampler={"name": "random"}) | objective)
    faults = faults_of(service, described("after", "befor", "before", "few", "other", "apart", "level", "several"))
    assert set(faults) == {f"earlier.{place}" for place in (0, 2, 3, 4, 5, 6)}
    assert "there is no study 'befor' (did you mean 'before'?)" in faults["earlier.0"]
    assert "'few' has finished 4 trials: with fewer than 5" in faults["earlier.2"]
    assert "'other' has no parameter that is searched here: cell, x, y" in faults["earlier.3"]
    assert "'apart' has tried no values of x that this study may try" in faults["earlier.4"]
    assert "all trials of 'level' ended alike" in faults["earlier.5"]
    assert "'several' searches several metrics" in faults["earlier.6"]
    assert [study.name for study in service.list_studies().items][-1] == "several"


def test_auto_that_tries_everything_learns_from_nobody(service: Service) -> None:
    source(service)
    space = {"cell": SPACE["cell"]}
    first = {"name": "auto", "version": 1}
    faults = faults_of(service, described("after", "before", sampler=first) | {"space": space})
    assert "auto stands for brute_force here" in faults["earlier"]
    service.create_study(described("after", "before", sampler=first))


def test_auto_may_learn_where_to_begin_and_still_try_everything(service: Service) -> None:
    source(service)
    space = {"cell": SPACE["cell"], "x": {"type": "int", "low": -3, "high": 3}}
    service.create_study(described("after", "before", sampler={"name": "auto"}) | {"space": space})
    work(service, "after", 14)
    tried = [tuple(trial.parameters.items()) for trial in service.list_trials("after").items]
    assert len(set(tried)) == len(tried) == 14
    assert service.get_study("after").ended_because is EndReason.GRID


# --- kept ------------------------------------------------------------------------------------------------------------


def test_what_they_found_is_kept_from_the_best_on(service: Service) -> None:
    service.create_study(described("before", sampler={"name": "random"}))
    for _ in range(20):
        (given,) = service.ask("before")
        number = given.lease.number
        service.report([Report(lease=given.lease, step=number % 3, value=number)])
        result = {"state": TrialState.COMPLETE, "values": (bowl(given.parameters),)}
        if number % 4 == 1:
            result = {"state": TrialState.PRUNED}
        elif number % 4 == 2:
            result = {"state": TrialState.FAILED, "reason": "diverged" if number % 8 == 2 else "out of memory"}
        service.tell([Result(lease=given.lease, **result)])  # type: ignore[arg-type]
    study, _ = service.create_study(described("after", "before"))
    (found,) = kept_with(service, study)
    assert (found.study, found.trials, len(found.configurations)) == ("before", 18, 18)
    by_configuration = {tuple(trial.parameters.items()): trial for trial in service.export("before")}
    trials = [by_configuration[tuple(parameters.items())] for parameters in found.configurations]
    assert [trial.state.value for trial in trials] == ["complete"] * 10 + ["pruned"] * 5 + ["failed"] * 3
    values = [trial.value or 0.0 for trial in trials[:10]]
    assert values == sorted(values)
    assert [trial.last_step for trial in trials[10:15]] == [2, 2, 1, 1, 0]
    assert found.shares[:2] == (0.5 / 18, 1.5 / 18)
    assert found.shares[-3:] == (16.5 / 18,) * 3


def test_of_many_trials_the_best_and_an_even_choice_are_kept(service: Service) -> None:
    service.create_study(described("before", trials=1000, sampler={"name": "random"}))
    for _ in range(2):
        given = service.ask("before", 400)
        service.tell([Result(lease=g.lease, state=TrialState.COMPLETE, values=(bowl(g.parameters),)) for g in given])
    study, _ = service.create_study(described("after", "before"))
    (found,) = kept_with(service, study)
    places = [share * 800 - 0.5 for share in found.shares]
    assert found.trials == 800
    assert places[:MOST_BEST] == pytest.approx(list(range(MOST_BEST)))
    assert len(places) == MOST_BEST + MOST_OTHERS
    assert places[-1] == pytest.approx(799)
    assert max(one - other for one, other in zip(places[1:], places, strict=False)) < 5


def test_the_direction_of_an_earlier_study_is_its_own(service: Service) -> None:
    upwards = {"objective": {"metric": "accuracy", "direction": "maximize"}}
    service.create_study(described("before", sampler={"name": "random"}) | upwards)
    work(service, "before", 30, lambda parameters: -bowl(parameters))
    service.create_study(described("after", "before"))
    work(service, "after", 25)
    (agreement,) = service.understanding.summary("after").earlier
    assert agreement.tau is not None
    assert agreement.tau > 0.4


def test_a_study_goes_on_with_what_it_knows_when_the_earlier_one_is_gone(make_service: ServiceFactory) -> None:
    service = make_service()
    source(service)
    for name in ("after", "again"):
        service.create_study(described(name, "before"))
    work(service, "again", 25)
    work(service, "after", 5)
    service.delete_study("before")
    source(service, "before", 10, sampler={"name": "qmc"})  # another one under its name
    work(service, "after", 10)
    anew = make_service()
    work(anew, "after", 10)
    parameters = [[trial.parameters for trial in anew.export(name)] for name in ("after", "again")]
    assert parameters[0] == parameters[1]
    service.extend_study("after", 60)
    assert len(kept_with(anew, anew.get_study("after"))[0].configurations) == 30


def test_the_same_description_again_finds_the_study_with_what_it_knew(service: Service) -> None:
    source(service)
    first, is_new = service.create_study(described("after", "before"))
    known = kept_with(service, first)
    service.extend_study("before", 35)
    work(service, "before", 5)
    again, is_new_again = service.create_study(described("after", "before"))
    assert (is_new, is_new_again, again.id) == (True, False, first.id)
    service.delete_study("before")
    assert service.create_study(described("after", "before"))[1] is False
    assert kept_with(service, first) == known
    with pytest.raises(StudyExists, match="earlier would change"):
        service.create_study(described("after"))
    service.delete_study("after")
    assert kept_with(service, first) == ()


def test_a_clone_knows_what_the_first_one_knew(service: Service) -> None:
    source(service)
    source(service, "other")
    first, _ = service.create_study(described("after", "before"))
    service.delete_study("before")
    copy = service.clone_study("after", "copy").study
    assert kept_with(service, copy) == kept_with(service, first)
    narrow = described("narrow", "before", "other") | {"space": {"x": FLOAT | {"low": 0}}}
    made = service.clone_study("after", "narrow", narrow).study
    assert [found.study for found in kept_with(service, made)] == ["before", "other"]
    assert service.clone_study("after", "narrow", narrow).study.id == made.id
    with pytest.raises(InvalidSpec, match=r"earlier\.0: there is no study 'nobody'"):
        service.clone_study("after", "new", described("new", "nobody"))


# --- heeded ----------------------------------------------------------------------------------------------------------


def test_the_summary_says_who_agrees_and_how_much_that_counts(service: Service) -> None:
    source(service)
    service.create_study(described("wrong", sampler={"name": "random"}))
    work(service, "wrong", 30, lambda parameters: -bowl(parameters))
    service.create_study(described("after", "before", "wrong"))
    for agreement in service.understanding.summary("after").earlier:
        assert (agreement.tau, agreement.compared, agreement.weight) == (None, 0, 0.25)
    work(service, "after", 25)
    right, wrong = service.understanding.summary("after").earlier
    assert (right.study, right.parameters, right.trials, right.kept) == ("before", ("x", "y", "cell"), 30, 30)
    assert right.tau is not None
    assert wrong.tau is not None
    assert right.tau > 0.4 > 0 > wrong.tau
    assert right.weight > 0.15
    assert wrong.weight == 0
    assert service.understanding.summary("before").earlier == ()


def drawn_again(
    spec: StudySpec, known: tuple[Found, ...], trials: list[Trial], events: list[Event], trial: Trial
) -> Parameters:
    """What a sampler suggests that has seen what this trial's had."""
    seen = [event for event in events if event.number is not None and event.revision <= (trial.seen or 0)]
    newest = {event.number: event for event in seen}
    history = History(spec, known)
    history.update(
        _observed(trials[event.number or 0], event) for event in sorted(newest.values(), key=lambda e: e.revision)
    )
    return suggest(history, [{}] * (trial.together or 0))[trial.number - len(history)].parameters


def test_a_suggestion_of_many_workers_and_servers_is_drawn_again(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(2)]
    source(services[0])
    study, _ = services[0].create_study(described("after", "before"))
    chances = [random.Random(party) for party in range(PARTIES)]

    def party(number: int) -> None:
        for _ in range(40 // PARTIES):
            work(services[number % 2], "after", 1, lambda item: bowl(item) + chances[number].random())

    together(party, PARTIES)
    trials, events = list(services[0].export("after")), services[0].events("after", limit=1000)
    assert len(trials) == 40 // PARTIES * PARTIES
    for trial in trials:
        again = drawn_again(study.spec, kept_with(services[1], study), trials, events, trial)
        assert again == trial.parameters, trial.number
