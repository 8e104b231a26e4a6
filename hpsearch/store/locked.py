"""A study under change: locked, with the trials that change in it. Changes are collected and written at once."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from hpsearch.spec import StudySpec
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, time_of, trial_from
from hpsearch.store.tables import events, studies, trials
from hpsearch.studies import Counts, EndReason, Study, StudyState, check_transition
from hpsearch.trials import Lease, Trial, TrialState
from hpsearch.trials import check_transition as check_trial_transition


@lru_cache(maxsize=1024)
def spec_of(text: str) -> StudySpec:
    """The spec that a row holds."""
    return StudySpec.model_validate_json(text)


CHANGING = (
    "state",
    "values",
    "metrics",
    "reason",
    "pruning",
    "rung",
    "rung_value",
    "attempt",
    "crashes",
    "worker",
    "session",
    "lease_token",
    "lease_seconds",
    "lease_ends_at",
    "request_id",
    "revision",
    "started_at",
    "finished_at",
)
"""What a change of a trial's state may change in its row."""

CONFIRM_COUNTS: Mapping[TrialState, str] = {
    state: f"confirm_{state.value}" for state in TrialState if f"confirm_{state.value}" in studies.c
}
"""The columns that count the runs that confirm."""

# built once: SQLAlchemy takes longer to build a statement than SQLite to run it
_STUDIES_BY_ID = select(studies).where(studies.c.id.in_(bindparam("ids", expanding=True))).order_by(studies.c.id)
_STUDIES_BY_NAME = select(studies).where(studies.c.name.in_(bindparam("names", expanding=True))).order_by(studies.c.id)
# SQLite compiles FOR UPDATE to nothing; there, BEGIN IMMEDIATE has locked everything
_LOCK_BY_ID, _LOCK_BY_NAME = _STUDIES_BY_ID.with_for_update(), _STUDIES_BY_NAME.with_for_update()
_LOCK_TRIALS = (
    select(trials)
    .where(trials.c.study_id == bindparam("study"), trials.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(trials.c.number)
    .with_for_update()
)
REWRITING = (*CHANGING, "parameters", "last_step", "last_value", "best_value", "optuna")
"""What Optuna's interface may change besides."""
_UPDATE_STUDY = update(studies).where(studies.c.id == bindparam("of_study"))
_UPDATE_TRIAL = update(trials).where(trials.c.study_id == bindparam("of_study"), trials.c.number == bindparam("of"))
_INSERT_TRIAL, _INSERT_EVENT = insert(trials), insert(events)


class LockedTrial:
    """A trial that this transaction alone may change: its row as it will be written, with the row's names."""

    study_id: int
    number: int
    state: str
    parameters: Mapping[str, Any]
    sampler_attributes: Mapping[str, Any]
    seen: int | None
    together: int | None
    values: list[float] | None
    metrics: Mapping[str, Any]
    reason: str | None
    pruning: Mapping[str, Any] | None
    rung: int | None
    rung_value: float | None
    last_step: int | None
    last_value: float | None
    attempt: int
    crashes: int
    worker: str | None
    session: str | None
    lease_token: str | None
    lease_seconds: float | None
    lease_ends_at: float | None
    request_id: str | None
    confirms: int | None
    seed: int | None
    revision: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    best_value: float | None
    optuna: str | None

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    @property
    def is_running(self) -> bool:
        return self.state == TrialState.RUNNING.value

    @property
    def claimed_at(self) -> float:
        """When its present claim began; a script of Optuna's may say that it started before it was there."""
        return self.created_at if self.started_at is None else max(self.started_at, self.created_at)

    @property
    def is_failed(self) -> bool:
        return self.state == TrialState.FAILED.value

    @property
    def is_open(self) -> bool:
        """Whether it waits, runs or pauses."""
        return self.state in (TrialState.WAITING.value, TrialState.RUNNING.value, TrialState.PAUSED.value)

    def lease(self, study: str) -> Lease:
        """The lease on a running trial."""
        return Lease(study=study, number=self.number, token=self.lease_token or "", attempt=self.attempt)

    def as_trial(self, study: StudySpec) -> Trial:
        """What others may see of it."""
        return trial_from(vars(self), study)


class LockedStudy:
    """A study that this transaction alone may change; collects the changes, `save` writes them."""

    def __init__(self, tx: Transaction, row: AnyRow) -> None:
        self._tx = tx
        self._row = row
        self._trials: dict[int, LockedTrial] = {}
        self._changed: dict[int, LockedTrial] = {}
        self._rewritten: dict[int, LockedTrial] = {}
        self._new: dict[int, LockedTrial] = {}
        self._events: list[dict[str, Any]] = []
        self.changes: dict[int, LockedTrial] = {}
        """Every trial that this transaction made or changed."""
        self.former_revision: int = row.revision
        """Before this transaction."""
        self.id: int = row.id
        self.spec = spec_of(row.spec)
        self.state = StudyState(row.state)
        self.reason: str | None = row.reason
        self.revision: int = row.revision
        self.counts = Counter({state: getattr(row, state.value) for state in TrialState})
        self.confirm_counts = Counter({state: getattr(row, name) for state, name in CONFIRM_COUNTS.items()})
        self.best_number: int | None = row.best_number
        self.best_value: float | None = row.best_value
        self.compute_seconds: float = row.compute_seconds
        self.confirm_seconds: float = row.confirm_seconds
        self.improved_at: int = row.improved_at
        self._claimed_from: float = row.claimed_from
        self.started_at: float | None = row.started_at
        self.searched_at: float | None = row.searched_at
        self.ended_at: float | None = row.ended_at
        self.ended_because = None if row.ended_because is None else EndReason(row.ended_because)
        self.optuna: str | None = row.optuna
        self._written = self._values()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def next_number(self) -> int:
        """Trials are never removed, so their count is the next one's number."""
        return self.counts.total() + self.confirm_counts.total()

    @property
    def is_searching(self) -> bool:
        """Whether the search has not ended yet; it may be paused."""
        return self.searched_at is None and not self.state.has_ended

    @property
    def finished(self) -> int:
        """What the budget counts."""
        return sum(count for state, count in self.counts.items() if state.is_finished)

    @property
    def is_confirming(self) -> bool:
        """Whether runs that confirm wait or run."""
        return self.confirm_counts[TrialState.WAITING] + self.confirm_counts[TrialState.RUNNING] > 0

    @property
    def has_confirming(self) -> bool:
        """Whether it has any, in whatever state."""
        return self.confirm_counts.total() > 0

    @property
    def over(self) -> int:
        """Trials that are finished, those that confirm among them."""
        return self.finished + sum(count for state, count in self.confirm_counts.items() if state.is_finished)

    @property
    def room(self) -> int | None:
        """How many more trials the search may have; None where the budget sets no number."""
        if self.searched_at is not None:
            return 0
        if self.spec.budget_trials is None:
            return None
        return self.spec.budget_trials - (self.counts.total() - self.counts[TrialState.CANCELLED])

    @property
    def slots(self) -> int | None:
        """How many more trials may run now; None where there is no limit."""
        if self.spec.max_parallel is None:
            return None
        running = self.counts[TrialState.RUNNING] + self.confirm_counts[TrialState.RUNNING]
        return max(0, self.spec.max_parallel - running)

    @property
    def spent_seconds(self) -> float:
        """For how long trials of the search have been held, those that run now among them."""
        age: float = self._tx.now - self._row.created_at
        return self.compute_seconds + max(0.0, self.counts[TrialState.RUNNING] * age - self._claimed_from)

    # --- trials ------------------------------------------------------------------------------------------------------

    def trials(self, numbers: Collection[int]) -> dict[int, LockedTrial]:
        """Trials by number, locked; those that are not there are left out."""
        wanted = sorted(set(numbers) - self._trials.keys())
        if wanted:
            rows = self._tx.connection.execute(_LOCK_TRIALS, {"study": self.id, "numbers": wanted})
            self._trials |= {row.number: LockedTrial(row._asdict()) for row in rows}
        return {number: self._trials[number] for number in numbers if number in self._trials}

    def add(self, trial: LockedTrial) -> None:
        """A new trial, in the state that it says."""
        trial.revision = self._next_revision(trial, None, TrialState(trial.state))
        self._trials[trial.number] = trial
        self._new[trial.number] = trial
        if trial.is_running:
            self._begin_claim(trial)
        self._record(trial)

    def change(self, trial: LockedTrial, to: TrialState, **values: Any) -> None:
        """Change a trial's state, and what else changes with it. Raises `IllegalTransition`."""
        if trial.is_running:
            self._end_claim(trial)
        trial.__dict__.update(values, revision=self._next_revision(trial, TrialState(trial.state), to), state=to.value)
        if trial.is_running:
            self._begin_claim(trial)
        self._changed[trial.number] = trial
        self._record(trial)

    def _begin_claim(self, trial: LockedTrial) -> None:
        if trial.confirms is None:
            self._claimed_from += trial.claimed_at - self._row.created_at

    def _end_claim(self, trial: LockedTrial) -> None:
        """Count the time for which a running trial was held: until now, or until its lease ended."""
        until = self._tx.now if trial.lease_ends_at is None else min(self._tx.now, trial.lease_ends_at)
        held = max(0.0, until - trial.claimed_at)
        if trial.confirms is not None:
            self.confirm_seconds += held
            return
        self.compute_seconds += held
        self._claimed_from -= trial.claimed_at - self._row.created_at
        if self.counts[TrialState.RUNNING] == 1:  # none is left: what rounding has added up goes
            self._claimed_from = 0.0

    def rewrite(self, trial: LockedTrial, **values: Any) -> None:
        """Change what a script of Optuna's says of a trial whose state stays as it is."""
        self.revision += 1
        trial.__dict__.update(values, revision=self.revision)
        self._rewritten[trial.number] = trial
        self.changes[trial.number] = trial

    def _next_revision(self, trial: LockedTrial, present: TrialState | None, to: TrialState) -> int:
        counts = self.counts if trial.confirms is None else self.confirm_counts
        if present is not None:
            check_trial_transition(present, to)
            counts[present] -= 1
        counts[to] += 1
        self.revision += 1
        return self.revision

    def _record(self, trial: LockedTrial) -> None:
        self.changes[trial.number] = trial
        self._add_event(
            number=trial.number,
            state=trial.state,
            attempt=trial.attempt,
            worker=trial.worker,
            value=trial.values[0] if trial.values else None,
            reason=trial.reason,
        )

    def _add_event(self, **values: Any) -> None:
        what = {"number": None, "attempt": None, "worker": None, "value": None} | values
        self._events.append(what | {"study_id": self.id, "revision": self.revision, "happened_at": self._tx.now})

    # --- the study itself --------------------------------------------------------------------------------------------

    def move(self, to: StudyState, reason: str | None) -> None:
        """Change the study's own state. Raises `IllegalTransition`."""
        check_transition(self.state, to)
        self.state, self.reason = to, reason
        self.revision += 1
        self.ended_at = self._tx.now if to.has_ended else None
        self._add_event(state=to.value, reason=reason)

    def redescribe(self, spec: StudySpec) -> None:
        """Give the study another description, of the same trials; its spec is written at once."""
        values = {"spec": spec.model_dump_json(), "budget_trials": spec.budget_trials}
        self._tx.connection.execute(update(studies).where(studies.c.id == self.id).values(values))
        self.spec = spec

    def note(self, what: str) -> None:
        """Let whoever follows the study know of something that is no change of its state."""
        self.revision += 1
        self._add_event(state=self.state.value, reason=what)

    def offer_best(self, number: int, value: float) -> None:
        """Keep a complete trial as the best if it is better than the one before; of equals the earlier told stays.
        By several metrics there is no one best."""
        if self.spec.objective.has_several:
            return
        sign = 1 if self.spec.objective.direction == "maximize" else -1
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_number, self.best_value, self.improved_at = number, value, self.finished

    def flush(self) -> None:
        """Write what changed of the trials, so that queries of this transaction see it."""
        connection = self._tx.connection
        if self._new:
            connection.execute(
                _INSERT_TRIAL, [{name: getattr(trial, name) for name in _BLANK} for trial in self._new.values()]
            )
        rewritten = [trial for number, trial in sorted(self._rewritten.items()) if number not in self._new]
        if rewritten:
            connection.execute(_UPDATE_TRIAL, [self._update_of(trial, REWRITING) for trial in rewritten])
        known = self._new.keys() | self._rewritten.keys()
        changed = [trial for number, trial in sorted(self._changed.items()) if number not in known]
        if changed:
            connection.execute(_UPDATE_TRIAL, [self._update_of(trial) for trial in changed])
        if self._events:
            connection.execute(_INSERT_EVENT, self._events)
        self._new, self._changed, self._rewritten, self._events = {}, {}, {}, []

    def save(self) -> Study:
        """Write what changed, a statement a table; the study as it is then."""
        self.flush()
        if (values := self._values()) != self._written:
            self._tx.connection.execute(_UPDATE_STUDY, {"of_study": self.id} | values)
            self._written = values
        if self not in self._tx.saved:
            self._tx.saved.append(self)
        return self._as_study()

    def _update_of(self, trial: LockedTrial, columns: Sequence[str] = CHANGING) -> dict[str, Any]:
        return {"of_study": self.id, "of": trial.number} | {name: getattr(trial, name) for name in columns}

    def _values(self) -> dict[str, Any]:
        wall_clock = self.spec.budget.wall_clock
        return {
            "state": self.state.value,
            "reason": self.reason,
            "revision": self.revision,
            "best_number": self.best_number,
            "best_value": self.best_value,
            "compute_seconds": self.compute_seconds,
            "confirm_seconds": self.confirm_seconds,
            "claimed_from": self._claimed_from,
            "improved_at": self.improved_at,
            "started_at": self.started_at,
            "ends_at": None if wall_clock is None or self.started_at is None else self.started_at + wall_clock,
            "searched_at": self.searched_at,
            "ended_at": self.ended_at,
            "ended_because": self.ended_because and self.ended_because.value,
            **{state.value: self.counts[state] for state in TrialState},
            **{name: self.confirm_counts[state] for state, name in CONFIRM_COUNTS.items()},
        }

    def _as_study(self) -> Study:
        return Study(
            id=self.id,
            spec=self.spec,
            state=self.state,
            reason=self.reason,
            ended_because=self.ended_because,
            counts=Counts(**{state.value: self.counts[state] for state in TrialState}),
            confirm_counts=Counts(**{state.value: self.confirm_counts[state] for state in CONFIRM_COUNTS}),
            compute_seconds=self.compute_seconds,
            confirm_seconds=self.confirm_seconds,
            best_number=self.best_number,
            best_value=self.best_value,
            revision=self.revision,
            created_at=datetime.fromtimestamp(self._row.created_at, UTC),
            started_at=time_of(self.started_at),
            searched_at=time_of(self.searched_at),
            ended_at=time_of(self.ended_at),
        )


def lock_by_id(tx: Transaction, ids: Collection[int]) -> dict[int, LockedStudy]:
    """Studies by id, in the one order in which every transaction locks them; the deleted ones are left out."""
    rows = tx.connection.execute(_LOCK_BY_ID, {"ids": sorted(ids)}) if ids else ()
    return {row.id: LockedStudy(tx, row) for row in rows}


def lock_by_name(tx: Transaction, names: Collection[str]) -> dict[str, LockedStudy]:
    """The same by name."""
    rows = tx.connection.execute(_LOCK_BY_NAME, {"names": sorted(names)}) if names else ()
    return {row.name: LockedStudy(tx, row) for row in rows}


def new_trial(study: LockedStudy, now: float, values: Mapping[str, Any]) -> LockedTrial:
    """A trial under the next number, all of whose columns are named."""
    fixed = {"study_id": study.id, "number": study.next_number, "created_at": now}
    return LockedTrial({**_BLANK, **values, **fixed})


_BLANK: Mapping[str, Any] = {column.name: None for column in trials.c} | {"metrics": {}, "attempt": 0, "crashes": 0}
