"""A study's trials in columns, kept up to date with what changed: what samplers look at."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hpsearch.automatic import Progress
from hpsearch.earlier import Found
from hpsearch.search.beliefs import Beliefs
from hpsearch.search.earlier import Knowledge
from hpsearch.search.space import Floats, Numbers, Space
from hpsearch.spec import StudySpec
from hpsearch.trials import Observation, TrialState

_CODES = {state: code for code, state in enumerate(TrialState)}
_WAITING, _RUNNING = _CODES[TrialState.WAITING], _CODES[TrialState.RUNNING]
_COMPLETE, _PRUNED, _PAUSED = (_CODES[state] for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.PAUSED))
_DIVERGED = len(_CODES)
_FIRST_CAPACITY = 256
EDGE, WORST = 1e-12, 1e300
"""A violation of < and > at the very edge; one that could not be measured."""


class History:
    """What a sampler knows of a study. A trial's number is its row. Not thread-safe: one user at a time.

    `earlier` is what earlier studies had found, in the order of the spec.
    """

    def __init__(self, spec: StudySpec, earlier: Sequence[Found] = ()) -> None:
        self.spec = spec
        self.space = Space(spec.space)
        self.beliefs = Beliefs(spec.space, self.space)
        self.knowledge = Knowledge(earlier, self.space)
        self.revision = 0
        """The newest change that is in here."""
        self.attributes: dict[int, dict[str, Any]] = {}
        """What the sampler wanted to remember of its suggestions, by number."""
        self.completions: list[int] = []
        """Numbers of complete trials in the order in which they were told: the same on every server."""
        self.lessons: list[int] = []
        """The same with the diverged ones among them, whose loss is infinite."""
        self.memory: dict[str, Any] = {}
        """For what a sampler has computed from the history and would otherwise compute again."""
        self._constraint_at = {text: place for place, text in enumerate(spec.constraints)}
        self._signs = np.array(spec.objective.signs)
        self._size = 0
        self._states = np.zeros(_FIRST_CAPACITY, dtype=np.int8)
        self._points = np.empty((_FIRST_CAPACITY, len(self.space)))
        self._losses = np.empty((_FIRST_CAPACITY, len(self._signs)))
        self._last_steps = np.empty(_FIRST_CAPACITY)
        self._last_losses = np.empty(_FIRST_CAPACITY)
        self._violations = np.empty((_FIRST_CAPACITY, len(spec.constraints)))
        # a fixed random order of all trials there will be: whoever is sampled stays sampled as trials join
        self._priorities = np.empty(_FIRST_CAPACITY)
        self._random = np.random.default_rng([spec.seed, 0x7072696F])

    def __len__(self) -> int:
        return self._size

    @property
    def points(self) -> Floats:
        """Coordinates [trials, dimensions]; NaN where a trial has no such parameter."""
        return self._points[: self._size]

    @property
    def losses(self) -> Floats:
        """Values of complete trials, less being better; infinite for diverged ones, NaN for others. Of several metrics
        the first's."""
        return self._losses[: self._size, 0]

    @property
    def every_loss(self) -> Floats:
        """The same of every metric [trials, metrics]."""
        return self._losses[: self._size]

    @property
    def last_steps(self) -> Floats:
        """The furthest step reported; -1 without one."""
        return self._last_steps[: self._size]

    @property
    def last_losses(self) -> Floats:
        """The value reported there, less being better; 0 without one."""
        return self._last_losses[: self._size]

    @property
    def priorities(self) -> Floats:
        """A random number a trial, always the same one."""
        return self._priorities[: self._size]

    def complete(self) -> Numbers:
        return self._in(_COMPLETE)

    def pruned(self) -> Numbers:
        """Those that pause at a rung too: they have shown as much."""
        states = self._states[: self._size]
        return np.flatnonzero((states == _PRUNED) | (states == _PAUSED))

    @property
    def progress(self) -> Progress:
        """How far the search is: `auto` goes by it."""
        count = np.bincount(self._states[: self._size], minlength=len(_CODES) + 1)
        finished, running = count[[_COMPLETE, _PRUNED, _PAUSED]], count[[_RUNNING, _WAITING]]
        return Progress(int(finished.sum()), int(running.sum()))

    def diverged(self) -> Numbers:
        """Failed because something became infinite or not a number: worse than all others."""
        return self._in(_DIVERGED)

    @property
    def violations(self) -> Floats:
        """By how much trials violate each constraint [trials, constraints]: above 0 where they do, up to `WORST`."""
        return self._violations[: self._size]

    def infeasible(self) -> Numbers:
        """Complete and pruned trials that violate a constraint, the least violations first. Each constraint's are
        taken as a share of the largest that was seen, or one with large numbers would decide alone."""
        violations = self.violations
        found = np.flatnonzero((violations > 0).any(axis=1))
        largest = np.where(violations < WORST, violations, 0.0).max(axis=0, initial=0.0)
        shares = np.minimum(violations[found] / np.maximum(largest, EDGE), 2.0)
        return found[np.argsort(shares.sum(axis=1), kind="stable")]

    def running(self) -> Numbers:
        """Those that wait too: their parameters are settled, for a sampler it is all one."""
        states = self._states[: self._size]
        return np.flatnonzero((states == _RUNNING) | (states == _WAITING))

    def _in(self, code: int) -> Numbers:
        return np.flatnonzero(self._states[: self._size] == code)

    def update(self, changes: Iterable[Observation]) -> None:
        """Take in trials that are new or changed their state, in the order of their revisions."""
        for trial in changes:
            if trial.number >= self._size:
                self._grow(trial.number + 1)
            if np.isnan(self._points[trial.number]).any():  # new; or an Optuna script is still adding parameters
                self._points[trial.number] = self.space.point(trial.parameters)
            if trial.sampler_attributes:
                self.attributes[trial.number] = dict(trial.sampler_attributes)
            self._note_end(trial)
            for text, amount in trial.violations.items():
                self._violations[trial.number, self._constraint_at[text]] = min(max(amount, EDGE), WORST)
            if trial.last_step is not None:
                self._last_steps[trial.number] = trial.last_step
                self._last_losses[trial.number] = self._signs[0] * (trial.last_value or 0.0)
            self.revision = max(self.revision, trial.revision)

    def _note_end(self, trial: Observation) -> None:
        number, code = trial.number, _DIVERGED if trial.diverged else _CODES[trial.state]
        before, self._states[number] = self._states[number], code
        if before == _DIVERGED and code != _DIVERGED:  # it is tried again: as if it had never been told
            self.lessons.remove(number)
            self.memory.clear()
            self._losses[number] = np.nan
        if code == before:
            return
        if code == _COMPLETE:
            self.completions.append(number)
        if code in (_COMPLETE, _DIVERGED):
            self.lessons.append(number)
        if code == _DIVERGED:
            self._losses[number] = np.inf
        elif code == _COMPLETE and trial.values:
            self._losses[number] = self._signs * trial.values[: len(self._signs)]

    def _grow(self, size: int) -> None:
        """Make room for trials up to `size`, unknown as yet."""
        capacity = len(self._states)
        if size > capacity:
            more = max(size, 2 * capacity) - capacity
            for name in ("_states", "_points", "_losses", "_last_steps", "_last_losses", "_violations", "_priorities"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]), dtype=column.dtype)]))
        new = slice(self._size, size)
        self._states[new] = _CODES[TrialState.CANCELLED]
        self._points[new], self._losses[new] = np.nan, np.nan
        self._last_steps[new], self._last_losses[new] = -1.0, 0.0
        self._violations[new] = 0.0
        self._priorities[new] = self._random.random(size - self._size)
        self._size = size
