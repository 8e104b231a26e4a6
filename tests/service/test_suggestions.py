"""What every suggestion followed from is on record: with the events that the sampler had seen, it is drawn again."""

import random
from typing import Any

import pytest

from hpsearch.errors import StudyEnded
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.service import Service
from hpsearch.spec import StudySpec
from hpsearch.studies import Event
from hpsearch.trials import Observation, Parameters, Report, Result, Trial, TrialState, has_diverged
from tests.conftest import ServiceFactory, loop_study
from tests.service.test_races import PARTIES, together

SPACE = {
    "x": {"type": "float", "low": -5, "high": 5},
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "cell": {"type": "categorical", "choices": ["lstm", "gru"]},
}
TRIALS = 60


def drawn_again(spec: StudySpec, trials: list[Trial], events: list[Event], trial: Trial) -> Parameters:
    """What a sampler suggests that has seen what this trial's had."""
    newest = {event.number: event for event in events if event.number is not None and event.revision <= trial.seen}  # type: ignore[operator]
    history = History(spec)
    history.update(
        _observed(trials[event.number or 0], event) for event in sorted(newest.values(), key=lambda e: e.revision)
    )
    return suggest(history, [{}] * (trial.together or 0))[trial.number - len(history)].parameters


def _observed(trial: Trial, event: Event) -> Observation:
    state = TrialState(event.state)
    told = state in (TrialState.COMPLETE, TrialState.PRUNED)
    return Observation(
        trial.number,
        state,
        trial.parameters,
        [event.value] if told and event.value is not None else None,
        trial.last_step if told else None,
        trial.last_value if told else None,
        trial.sampler_attributes,
        event.revision,
        has_diverged(state, event.reason),
    )


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2", "random", "qmc"])
def test_a_suggestion_of_many_workers_and_servers_is_drawn_again(make_service: ServiceFactory, sampler: str) -> None:
    services = [make_service() for _ in range(2)]
    space = {name: item for name, item in SPACE.items() if sampler != "cmaes" or name != "cell"}
    services[0].create_study(loop_study(space=space, sampler={"name": sampler}, budget={"trials": TRIALS}))
    together(lambda party: _work(services[party % 2], random.Random(party)), PARTIES)
    service = services[0]
    trials, spec = list(service.export("bowl")), service.get_study("bowl").spec
    events = service.events("bowl", limit=1000)
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert len({trial.seen for trial in trials}) > TRIALS / 10
    for trial in trials:
        assert drawn_again(spec, trials, events, trial) == trial.parameters, trial.number


def _work(service: Service, chance: random.Random) -> None:
    while True:
        try:
            given = service.ask("bowl", chance.randint(1, 3), worker="w")
        except StudyEnded:
            return
        for assignment in given:
            x, rate = (float(assignment.parameters[name]) for name in ("x", "rate"))  # type: ignore[arg-type]
            service.report([Report(lease=assignment.lease, step=1, value=x * x)])
            ends: list[dict[str, Any]] = [{"state": TrialState.COMPLETE, "values": (x * x + rate,)}] * 7
            ends += [{"state": TrialState.PRUNED}, {"state": TrialState.FAILED, "reason": "diverged: nan"}]
            service.tell([Result(lease=assignment.lease, **chance.choice(ends))])


def test_copies_and_configurations_say_what_was_asked_of_a_sampler(service: Service) -> None:
    service.create_study(loop_study(space=SPACE))
    (waiting,) = service.enqueue("bowl", [{"x": 1.0}])
    assert waiting.seen is not None
    service.tell([Result(lease=service.ask("bowl")[0].lease, state=TrialState.COMPLETE, values=(1.0,))])
    service.clone_study("bowl", "copy")
    assert service.get_trial("copy", 0).seen is None
