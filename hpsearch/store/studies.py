"""Studies in the database: found, made, and locked for a change of state."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from hpsearch.errors import StudyNotFound, near
from hpsearch.spec import StudySpec
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, time_of
from hpsearch.store.tables import studies
from hpsearch.studies import Counts, Study, StudyState, check_transition
from hpsearch.trials import TrialState
from hpsearch.trials import check_transition as check_trial_transition


@lru_cache(maxsize=1024)
def spec_of(text: str) -> StudySpec:
    """The spec that a row holds. A study's never changes, so its text can stand for it."""
    return StudySpec.model_validate_json(text)


class LockedStudy:
    """A study that this transaction alone may change; collects the changes, `save` writes them."""

    def __init__(self, tx: Transaction, row: AnyRow) -> None:
        self._tx = tx
        self.id: int = row.id
        self.spec = spec_of(row.spec)
        self.state = StudyState(row.state)
        self.reason: str | None = row.reason
        self.revision: int = row.revision
        self.counts = Counter({state: getattr(row, state.value) for state in TrialState})
        self.best_number: int | None = row.best_number
        self.best_value: float | None = row.best_value
        self.started_at: float | None = row.started_at
        self.ended_at: float | None = row.ended_at

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def next_number(self) -> int:
        """Trials are never removed, so their count is the next one's number."""
        return self.counts.total()

    @property
    def finished(self) -> int:
        """What the budget counts."""
        return sum(count for state, count in self.counts.items() if state.is_finished)

    @property
    def room(self) -> int | None:
        """How many more trials the budget allows; None where it sets no number."""
        if self.spec.budget.trials is None:
            return None
        return self.spec.budget.trials - (self.next_number - self.counts[TrialState.CANCELLED])

    def move_trial(self, present: TrialState | None, to: TrialState) -> int:
        """Count a trial's change of state (None: it is new); returns the revision of the change."""
        if present is not None:
            check_trial_transition(present, to)
            self.counts[present] -= 1
        self.counts[to] += 1
        self.revision += 1
        return self.revision

    def move(self, to: StudyState, reason: str | None) -> None:
        """Change the study's own state."""
        check_transition(self.state, to)
        self.state, self.reason = to, reason
        self.revision += 1
        self.ended_at = self._tx.now if to.has_ended else None

    def offer_best(self, number: int, value: float) -> None:
        """Keep a complete trial as the best if it is better than the one before; of equals the earlier told stays."""
        sign = 1 if self.spec.objective.direction == "maximize" else -1
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_number, self.best_value = number, value

    def save(self) -> Study:
        """Write what changed."""
        wall_clock = self.spec.budget.wall_clock
        ends_at = None if wall_clock is None or self.started_at is None else self.started_at + wall_clock
        self._tx.connection.execute(
            update(studies)
            .where(studies.c.id == self.id)
            .values(
                state=self.state.value,
                reason=self.reason,
                revision=self.revision,
                best_number=self.best_number,
                best_value=self.best_value,
                started_at=self.started_at,
                ends_at=ends_at,
                ended_at=self.ended_at,
                **{state.value: self.counts[state] for state in TrialState},
            )
        )
        return find(self._tx, self.name)


def _study_of(row: AnyRow) -> Study:
    return Study(
        id=row.id,
        spec=spec_of(row.spec),
        state=StudyState(row.state),
        reason=row.reason,
        counts=Counts(**{state.value: getattr(row, state.value) for state in TrialState}),
        best_number=row.best_number,
        best_value=row.best_value,
        revision=row.revision,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        started_at=time_of(row.started_at),
        ended_at=time_of(row.ended_at),
    )


def find(tx: Transaction, name: str) -> Study:
    """Raises `StudyNotFound`, with a near name where there is one."""
    row = tx.connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
    if row is None:
        raise _not_found(tx, name)
    return _study_of(row)


def lock(tx: Transaction, name: str) -> LockedStudy:
    """Raises `StudyNotFound`."""
    locked = lock_if_there(tx, name)
    if locked is None:
        raise _not_found(tx, name)
    return locked


def lock_if_there(tx: Transaction, name: str) -> LockedStudy | None:
    """None where there is no such study: it was deleted under a worker's hands, say."""
    return _lock(tx, studies.c.name == name)


def lock_by_id(tx: Transaction, study_id: int) -> LockedStudy | None:
    """None where it was deleted meanwhile."""
    return _lock(tx, studies.c.id == study_id)


def _lock(tx: Transaction, condition: ColumnElement[bool]) -> LockedStudy | None:
    # SQLite compiles FOR UPDATE to nothing; there, BEGIN IMMEDIATE has locked everything
    row = tx.connection.execute(select(studies).where(condition).with_for_update()).one_or_none()
    return None if row is None else LockedStudy(tx, row)


def _not_found(tx: Transaction, name: str) -> StudyNotFound:
    names = tx.connection.execute(select(studies.c.name).limit(10_000)).scalars()
    close = near(name, names)
    return StudyNotFound(f"there is no study {name!r}" + (f" (did you mean {close!r}?)" if close else ""))


def create(tx: Transaction, spec: StudySpec) -> Study:
    """A new study, open to workers.

    Raises `sqlalchemy.exc.IntegrityError` where the name is taken: look, and try again in another transaction.
    """
    tx.connection.execute(
        insert(studies).values(
            name=spec.name,
            objective=spec.objective.name,
            spec=spec.model_dump_json(),
            budget_trials=spec.budget.trials,
            state=StudyState.RUNNING.value,
            revision=1,
            created_at=tx.now,
            **{state.value: 0 for state in TrialState},
        )
    )
    return find(tx, spec.name)


def page(tx: Transaction, after_id: int, limit: int) -> list[Study]:
    """Studies in the order of creation."""
    rows = tx.connection.execute(select(studies).where(studies.c.id > after_id).order_by(studies.c.id).limit(limit))
    return [_study_of(row) for row in rows]


def remove(tx: Transaction, study_id: int) -> None:
    """Delete a study with all that belongs to it."""
    tx.connection.execute(delete(studies).where(studies.c.id == study_id))


def revision(tx: Transaction, name: str) -> int:
    """The study's revision alone. Raises `StudyNotFound`."""
    value = tx.connection.execute(select(studies.c.revision).where(studies.c.name == name)).scalar_one_or_none()
    if value is None:
        raise _not_found(tx, name)
    return int(value)


def open_to(tx: Transaction, objectives: Sequence[str]) -> list[Study]:
    """Running studies of these objectives whose budget allows another trial, the least served first."""
    created = sum((studies.c[state.value] for state in TrialState if state != TrialState.CANCELLED), start=0)
    rows = tx.connection.execute(
        select(studies)
        .where(studies.c.state == StudyState.RUNNING.value, studies.c.objective.in_(objectives))
        .where(or_(studies.c.budget_trials.is_(None), created < studies.c.budget_trials))
        .where(or_(studies.c.ends_at.is_(None), studies.c.ends_at > tx.now))
        .order_by(studies.c.running, studies.c.id)
    )
    return [_study_of(row) for row in rows]


def overdue(tx: Transaction) -> list[int]:
    """Ids of studies whose wall clock has run out."""
    rows = tx.connection.execute(
        select(studies.c.id)
        .where(studies.c.state.in_((StudyState.RUNNING.value, StudyState.PAUSED.value)))
        .where(studies.c.ends_at <= tx.now)
        .order_by(studies.c.id)
    )
    return list(rows.scalars())
