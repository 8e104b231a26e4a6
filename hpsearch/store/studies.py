"""Studies in the database: found, made, removed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, delete, insert, or_, select

from hpsearch.errors import StudyNotFound, near
from hpsearch.spec import StudySpec
from hpsearch.store.database import Database, Transaction
from hpsearch.store.locked import CONFIRM_COUNTS, LockedStudy, lock_by_name, spec_of
from hpsearch.store.rows import AnyRow, time_of
from hpsearch.store.tables import events, studies
from hpsearch.studies import Counts, EndReason, Study, StudyState
from hpsearch.trials import TrialState

_BY_NAME = select(studies).where(studies.c.name == bindparam("name"))
_MARKERS = select(
    studies.c.name,
    studies.c.id,
    studies.c.revision,
    studies.c.state,
    studies.c.best_number,
    studies.c.confirm_complete,
).where(studies.c.name.in_(bindparam("names", expanding=True)))
_CREATED = sum((studies.c[state.value] for state in TrialState if state != TrialState.CANCELLED), start=0)
_IS_OPEN = studies.c.state.in_([state.value for state in StudyState if state.is_open])
_IS_SEARCHING = and_(
    studies.c.state == StudyState.RUNNING.value, or_(studies.c.ends_at.is_(None), studies.c.ends_at > bindparam("now"))
)
_HAS_ROOM = and_(_IS_SEARCHING, or_(studies.c.budget_trials.is_(None), studies.c.budget_trials > _CREATED))
_MAY_PROMOTE = and_(_IS_SEARCHING, studies.c.paused > 0)
_OPEN = (
    select(studies)
    .where(
        _IS_OPEN,
        studies.c.objective.in_(bindparam("objectives", expanding=True)),
    )
    .where(or_(studies.c.waiting + studies.c.confirm_waiting > 0, _HAS_ROOM, _MAY_PROMOTE))
    .where(
        or_(studies.c.max_parallel.is_(None), studies.c.max_parallel > studies.c.running + studies.c.confirm_running)
    )
    .order_by(studies.c.id)
)
_OVERDUE = (
    select(studies.c.id)
    .where(studies.c.state.in_((StudyState.RUNNING.value, StudyState.PAUSED.value)), studies.c.searched_at.is_(None))
    .where(
        or_(
            studies.c.ends_at <= bindparam("now"),
            studies.c.compute_seconds
            + studies.c.running * (bindparam("now") - studies.c.created_at)
            - studies.c.claimed_from
            >= studies.c.budget_compute,
        )
    )
    .order_by(studies.c.id)
)


def _study_of(row: AnyRow) -> Study:
    return Study(
        id=row.id,
        spec=spec_of(row.spec),
        state=StudyState(row.state),
        reason=row.reason,
        ended_because=None if row.ended_because is None else EndReason(row.ended_because),
        counts=Counts(**{state.value: getattr(row, state.value) for state in TrialState}),
        confirm_counts=Counts(**{state.value: getattr(row, name) for state, name in CONFIRM_COUNTS.items()}),
        compute_seconds=row.compute_seconds,
        confirm_seconds=row.confirm_seconds,
        best_number=row.best_number,
        best_value=row.best_value,
        revision=row.revision,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        started_at=time_of(row.started_at),
        searched_at=time_of(row.searched_at),
        ended_at=time_of(row.ended_at),
    )


def read(database: Database, name: str) -> Study:
    """`find`, in a transaction of its own."""
    with database.read() as tx:
        return find(tx, name)


def find(tx: Transaction, name: str) -> Study:
    """Raises `StudyNotFound`, with a near name where there is one."""
    found = present(tx, name)
    if found is None:
        raise _not_found(tx, name)
    return found


def present(tx: Transaction, name: str) -> Study | None:
    """The same; None where there is no such study."""
    row = tx.connection.execute(_BY_NAME, {"name": name}).one_or_none()
    return None if row is None else _study_of(row)


def lock(tx: Transaction, name: str) -> LockedStudy:
    """Raises `StudyNotFound`."""
    locked = lock_by_name(tx, [name]).get(name)
    if locked is None:
        raise _not_found(tx, name)
    return locked


def _not_found(tx: Transaction, name: str) -> StudyNotFound:
    close = like(tx, name)
    return StudyNotFound(f"there is no study {name!r}" + (f" (did you mean {close!r}?)" if close else ""))


def like(tx: Transaction, name: str) -> str | None:
    """The study that may be meant by a name that is none's."""
    return near(name, tx.connection.execute(select(studies.c.name).limit(10_000)).scalars())


def create(tx: Transaction, spec: StudySpec) -> Study:
    """A new study, open to workers.

    Raises `sqlalchemy.exc.IntegrityError` where the name is taken: look, and try again in another transaction.
    """
    tx.connection.execute(
        insert(studies).values(
            name=spec.name,
            objective=spec.objective.name,
            spec=spec.model_dump_json(),
            budget_trials=spec.budget_trials,
            budget_compute=spec.budget.compute_seconds,
            max_parallel=spec.max_parallel,
            state=StudyState.RUNNING.value,
            revision=1,
            created_at=tx.now,
            **{state.value: 0 for state in TrialState},
        )
    )
    study = find(tx, spec.name)
    event = {"study_id": study.id, "revision": 1, "state": StudyState.RUNNING.value, "happened_at": tx.now}
    tx.connection.execute(insert(events), event)
    return study


def page(tx: Transaction, after_id: int, limit: int) -> list[Study]:
    """Studies in the order of creation."""
    rows = tx.connection.execute(select(studies).where(studies.c.id > after_id).order_by(studies.c.id).limit(limit))
    return [_study_of(row) for row in rows]


def remove(tx: Transaction, study_id: int) -> None:
    """Delete a study with all that belongs to it."""
    tx.connection.execute(delete(studies).where(studies.c.id == study_id))


@dataclass(frozen=True, slots=True)
class Marker:
    """What tells whether anything has changed in a study since one looked."""

    id: int
    revision: int
    state: StudyState
    best_number: int | None
    confirmed: int = 0
    """Complete runs that confirm."""


def markers(tx: Transaction, names: Collection[str]) -> dict[str, Marker]:
    """Where studies stand, in one read; those that are not there are left out."""
    rows = tx.connection.execute(_MARKERS, {"names": list(names)})
    return {
        name: Marker(id_, revision, StudyState(state), best, confirmed)
        for name, id_, revision, state, best, confirmed in rows
    }


def open_to(tx: Transaction, objectives: Collection[str]) -> list[Study]:
    """Open studies of these objectives that have a trial waiting, or one that pauses and may be promoted, or whose
    budget allows another one, unless as many run already as may."""
    rows = tx.connection.execute(_OPEN, {"objectives": list(objectives), "now": tx.now}) if objectives else ()
    return [_study_of(row) for row in rows]


def are_open(tx: Transaction) -> bool:
    """Whether any study is."""
    return tx.connection.execute(select(studies.c.id).where(_IS_OPEN).limit(1)).one_or_none() is not None


def overdue(tx: Transaction) -> list[int]:
    """Ids of studies whose search has run out of its wall clock or its compute."""
    return list(tx.connection.execute(_OVERDUE, {"now": tx.now}).scalars())
