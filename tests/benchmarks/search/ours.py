"""Our engine on the simulated clock: the functions of `hpsearch.search`, called as `hpsearch.service` calls them.

`test_search.py` holds this to the service itself: the same replay through `Service` makes the same trials.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.automatic import pruner_of
from hpsearch.earlier import Found
from hpsearch.objective_spec import Direction
from hpsearch.search.history import History
from hpsearch.search.pruners import Standing, judge, looks_at
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.benchmarks.search.clock import Job
from tests.benchmarks.search.tasks import Task


def spec_of(task: Task, seed: int, choice: Mapping[str, Any]) -> StudySpec:
    """The study of a task. `choice` holds its sampler and pruner."""
    raw = {
        "name": "replay",
        "objective": {"direction": "minimize"},
        "space": task.space,
        "budget": {"trials": 100_000},
        "seed": seed,
    }
    if task.epochs > 1:
        raw["objective"] |= {"settings": {"max_epochs": task.epochs}}
    return parse_study(raw | dict(choice))


@dataclass(frozen=True, slots=True)
class Beside:
    """What a pruner may look at, as the store has it for one report."""

    number: int
    reports: Mapping[int, Mapping[int, float]]
    """By step and trial."""
    states: Mapping[int, TrialState]
    by_trial: Mapping[int, Mapping[int, float]]

    def others(self, step: int, states: Sequence[TrialState] = ()) -> Sequence[tuple[int, float, bool]]:
        return [
            (number, value, False)  # no task here has constraints
            for number, value in self.reports[step].items()
            if number != self.number and (not states or self.states[number] in states)
        ]

    def rank(self, step: int, value: float, direction: Direction, *, violates: bool) -> tuple[int, int]:
        sign = 1 if direction == "minimize" else -1
        others = [sign * other for _, other, _ in self.others(step)]
        return len(others), sum(other < sign * value for other in others)

    def nth(self, step: int, place: int, direction: Direction) -> float:
        return sorted((value for _, value, _ in self.others(step)), reverse=direction == "maximize")[place]

    def own(self) -> Mapping[int, float]:
        return self.by_trial[self.number]

    def leader(self) -> Mapping[int, float]:
        raise NotImplementedError("no task here has folds")


class Engine:
    """A study in memory."""

    def __init__(self, spec: StudySpec, known: Sequence[Found] = ()) -> None:
        self._spec, self._pruner = spec, pruner_of(spec)
        self._history = History(spec, known)
        self._revision = 0
        self._reports: dict[int, dict[int, float]] = defaultdict(dict)
        self._own: dict[int, dict[int, float]] = defaultdict(dict)
        self._last: dict[int, tuple[int, float]] = {}
        self._best: dict[int, float] = {}
        self._states: dict[int, TrialState] = {}
        self._suggested: dict[int, Any] = {}

    def ask(self) -> Job | None:
        (suggestion,) = suggest(self._history, [{}])
        number = len(self._history)
        self._suggested[number] = suggestion
        self._observe(number, TrialState.RUNNING, None)
        return Job(number, suggestion.parameters)

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        best = self._best[job.key] = min(loss, self._best.get(job.key, loss))
        verdict = None
        self._own[job.key][epoch] = loss
        if looks_at(self._pruner, job.key, epoch):
            complete = len(self._history.completions)
            standing = Standing(number=job.key, step=epoch, value=loss, best=best, complete=complete)
            beside = Beside(job.key, self._reports, self._states, self._own)
            verdict = judge(self._pruner, self._spec.objective.direction, standing, beside)
        self._reports[epoch][job.key] = loss
        self._last[job.key] = epoch, loss
        return verdict is None

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        state = TrialState.FAILED if loss is None else TrialState.PRUNED if stopped else TrialState.COMPLETE
        self._observe(job.key, state, [loss] if state is TrialState.COMPLETE and loss is not None else None)

    def _observe(self, number: int, state: TrialState, values: list[float] | None) -> None:
        self._revision += 1
        self._states[number] = state
        step, value = self._last.get(number, (None, None))
        known = self._suggested[number]
        change = Observation(
            number, state, known.parameters, values, step, value, known.sampler_attributes, self._revision
        )
        self._history.update([change])
