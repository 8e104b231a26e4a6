"""A study's trials in columns, as analyses and figures look at them: like a sampler's history, with times, workers and
reasons beside it."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.insights import Outcome
from hpsearch.objective_spec import Direction
from hpsearch.search.fronts import is_on_front
from hpsearch.search.space import Dimension, Floats, Numbers, Space
from hpsearch.spec import StudySpec
from hpsearch.trials import Parameters, TrialState

Codes = NDArray[np.int32]

STATES = tuple(TrialState)
_CODES = {state: code for code, state in enumerate(STATES)}
_COMPLETE, _PRUNED, _FAILED = (_CODES[state] for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED))
_UNKNOWN = -1
_FIRST_CAPACITY = 256
_DIVERGED = re.compile(r"diverged|reported (nan|[+-]?inf(inity)?) ", re.IGNORECASE)
LOG_RATIO = 100.0
"""A range that was seen, not given, is shown on a logarithmic scale where its ends differ by more."""
MOST_CHOICES = 1000
"""Of a parameter that was seen, not given."""


def is_divergence(reason: str | None) -> bool:
    """Whether a failed trial's reason says that it diverged."""
    return reason is not None and _DIVERGED.match(reason) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A study's trials at a revision. A row a trial, in the order of their numbers."""

    spec: StudySpec
    revision: int
    dimensions: tuple[Dimension, ...]
    points: Floats
    """Coordinates [trials, dimensions]; NaN where a trial has no such parameter."""
    states: Codes
    """Positions in `STATES`; -1 for a trial that is not known."""
    metric: str
    """The searched metric that `values` are of; the first one, unless another was asked for by `of`."""
    every_value: Floats
    """Of complete trials, by metric [trials, metrics]; NaN for others."""
    last_steps: Floats
    last_values: Floats
    """The furthest report; NaN without one."""
    started: Floats
    finished: Floats
    """Seconds since the epoch; NaN where not yet."""
    workers: Codes
    """Positions in `worker_names`; -1 for none."""
    worker_names: tuple[str, ...]
    reasons: Codes
    """Positions in `reason_texts`; -1 for none."""
    reason_texts: tuple[str, ...]
    infeasible: NDArray[np.bool_]
    """Which trials violate a constraint."""

    def __len__(self) -> int:
        return len(self.states)

    def of(self, metric: str) -> "Table":
        """The same trials by another searched metric. What trials reported is of the first alone, and left out."""
        if metric == self.metric:
            return self
        return replace(self, metric=metric, last_values=np.full(len(self), np.nan))

    @property
    def values(self) -> Floats:
        """Of complete trials; NaN for others."""
        return self.every_value[:, list(self.spec.objective.searched).index(self.metric)]

    @property
    def direction(self) -> Direction:
        return self.spec.objective.searched[self.metric]

    @property
    def sign(self) -> float:
        """-1 where more is better: `sign * values` is to be minimised."""
        return -1.0 if self.direction == "maximize" else 1.0

    def losses(self, numbers: Numbers) -> Floats:
        """Values of complete trials by metric, less being better."""
        losses: Floats = self.every_value[numbers] * self.spec.objective.signs
        return losses

    def front(self) -> Numbers:
        """Numbers of the complete trials that violate no constraint and that no other such one beats in every metric;
        the best by the first metric first."""
        complete = self.complete()
        feasible = complete[~self.infeasible[complete]]
        front = feasible[is_on_front(self.losses(feasible))]
        return front[np.lexsort(self.losses(front).T[::-1])]

    def complete(self) -> Numbers:
        """Numbers of the complete trials."""
        return np.flatnonzero((self.states == _COMPLETE) & np.isfinite(self.every_value).all(axis=1))

    def pruned(self) -> Numbers:
        return np.flatnonzero(self.states == _PRUNED)

    def diverged(self) -> Numbers:
        """Numbers of the failed trials whose reason says so."""
        wanted = [code for code, text in enumerate(self.reason_texts) if is_divergence(text)]
        return np.flatnonzero((self.states == _FAILED) & np.isin(self.reasons, wanted))

    def ranked(self) -> Numbers:
        """Numbers of the complete trials, the best first, of equals the one with the lower number; those that violate a
        constraint after all others."""
        complete = self.complete()
        return complete[np.lexsort((self.sign * self.values[complete], self.infeasible[complete]))]


class GrowingTable:
    """The table of a study that goes on. Not thread-safe."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.revision = 0
        """The newest change that is in here."""
        self._space = Space(spec.space)
        self._parameters: dict[int, Parameters] = {}  # of a study without a space: scripts define it as they run
        self._size = 0
        self._columns: dict[str, NDArray[Any]] = {
            "points": np.full((_FIRST_CAPACITY, len(self._space)), np.nan),
            "states": np.full(_FIRST_CAPACITY, _UNKNOWN, dtype=np.int32),
            "workers": np.full(_FIRST_CAPACITY, _UNKNOWN, dtype=np.int32),
            "reasons": np.full(_FIRST_CAPACITY, _UNKNOWN, dtype=np.int32),
        } | {name: np.full(_FIRST_CAPACITY, np.nan) for name in ("last_steps", "last_values", "started", "finished")}
        self._metrics = len(spec.objective.searched)
        self._columns["every_value"] = np.full((_FIRST_CAPACITY, self._metrics), np.nan)
        self._infeasible: set[int] = set()
        self._workers: dict[str, int] = {}
        self._reasons: dict[str, int] = {}

    def update(self, changes: Iterable[Outcome]) -> None:
        """Take in trials that are new or changed their state."""
        columns = self._columns
        for trial in changes:
            number = trial.number
            self._make_room(number + 1)
            columns = self._columns
            if self.spec.space:
                columns["points"][number] = self._space.point(trial.parameters)
            else:
                self._parameters[number] = trial.parameters
            columns["states"][number] = _CODES[trial.state]
            values = trial.values if trial.state is TrialState.COMPLETE else None
            columns["every_value"][number] = np.nan if values is None else values[: self._metrics]
            columns["last_steps"][number] = _number(trial.last_step)
            columns["last_values"][number] = _number(trial.last_value)
            columns["started"][number] = _number(trial.started_at)
            columns["finished"][number] = _number(trial.finished_at)
            columns["workers"][number] = _code(self._workers, trial.worker)
            columns["reasons"][number] = _code(self._reasons, trial.reason)
            if not trial.is_feasible:
                self._infeasible.add(number)
            self.revision = max(self.revision, trial.revision)

    def _make_room(self, size: int) -> None:
        if size <= self._size:
            return
        capacity = len(self._columns["states"])
        if size > capacity:
            more = max(size, 2 * capacity) - capacity
            for name, column in self._columns.items():
                nothing = np.nan if column.dtype.kind == "f" else _UNKNOWN
                new = np.full((more, *column.shape[1:]), nothing, dtype=column.dtype)
                self._columns[name] = np.concatenate([column, new])
        self._size = size

    def table(self) -> Table:
        """As it is now; later changes do not show in it."""
        columns = {name: column[: self._size].copy() for name, column in self._columns.items()}
        dimensions = self._space.dimensions
        if not self.spec.space:
            dimensions = seen_dimensions(self._parameters.values())
            columns["points"] = np.full((self._size, len(dimensions)), np.nan)
            for number, parameters in self._parameters.items():
                columns["points"][number] = _point(dimensions, parameters)
        return Table(
            spec=self.spec,
            metric=self.spec.objective.metric,
            revision=self.revision,
            dimensions=dimensions,
            worker_names=tuple(self._workers),
            reason_texts=tuple(self._reasons),
            infeasible=np.isin(np.arange(self._size), list(self._infeasible)),
            **columns,
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _code(known: dict[str, int], text: str | None) -> int:
    return _UNKNOWN if text is None else known.setdefault(text, len(known))


def _point(dimensions: Iterable[Dimension], parameters: Parameters) -> list[float]:
    return [
        dimension.coordinate(parameters[dimension.name]) if dimension.name in parameters else math.nan
        for dimension in dimensions
    ]


def seen_dimensions(configurations: Iterable[Parameters]) -> tuple[Dimension, ...]:
    """The space that configurations cover, for a study that says none: ranges from the least to the greatest."""
    seen: dict[str, dict[Any, None]] = {}
    for parameters in configurations:
        for name, value in parameters.items():
            seen.setdefault(name, {})[value] = None
    return tuple(_seen_dimension(name, values) for name, values in seen.items())


def _seen_dimension(name: str, values: Mapping[Any, None]) -> Dimension:
    if all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values):
        low, high = float(min(values)), float(max(values))
        log = low > 0 and high / low >= LOG_RATIO
        whole = all(isinstance(value, int) for value in values)
        return Dimension(name, low, high, log, 1.0 if whole else None, None, whole)
    choices = tuple(values)[:MOST_CHOICES]
    return Dimension(name, 0.0, float(len(choices) - 1), False, 1.0, choices, False)
