"""Trials in the database: made, leased, finished, handed back. All but the readers want their study locked."""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, or_, select, update

from hpsearch.errors import TrialNotFound
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, trial_of
from hpsearch.store.studies import LockedStudy
from hpsearch.store.tables import studies, trials
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Lease, Result, Suggestion, Trial, TrialState

PAGE = 2000
"""Rows read at a time where all are wanted."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes a lease, and for how long."""

    worker: str | None
    session: str | None
    lease_seconds: float
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A trial with the lease on it, as given out."""

    lease: Lease
    trial: Trial


# --- readers ---------------------------------------------------------------------------------------------------------


def find(tx: Transaction, study: Study, number: int) -> Trial:
    """Raises `TrialNotFound`."""
    row = _row(tx, study.id, number)
    if row is None:
        raise TrialNotFound(f"study {study.name!r} has no trial {number}")
    return trial_of(row, study.name)


def page(tx: Transaction, study: Study, after: int, limit: int, states: Collection[TrialState] = ()) -> list[Trial]:
    """Trials with numbers above `after`, in their order; all states where none is named."""
    query = select(trials).where(trials.c.study_id == study.id, trials.c.number > after)
    if states:
        query = query.where(trials.c.state.in_([state.value for state in states]))
    rows = tx.connection.execute(query.order_by(trials.c.number).limit(limit))
    return [trial_of(row, study.name) for row in rows]


def changed_since(tx: Transaction, study: Study, revision: int) -> Iterator[Trial]:
    """Trials that changed their state after a revision, each as it is now."""
    rows = tx.connection.execute(
        select(trials)
        .where(trials.c.study_id == study.id, trials.c.revision > revision)
        .order_by(trials.c.revision)
        .execution_options(yield_per=PAGE)
    )
    for row in rows:
        yield trial_of(row, study.name)


def _row(tx: Transaction, study_id: int, number: int) -> AnyRow | None:
    return tx.connection.execute(
        select(trials).where(trials.c.study_id == study_id, trials.c.number == number)
    ).one_or_none()


def _known_row(tx: Transaction, study: LockedStudy, number: int) -> AnyRow:
    return tx.connection.execute(select(trials).where(trials.c.study_id == study.id, trials.c.number == number)).one()


def row_for_update(tx: Transaction, lease: Lease) -> AnyRow | None:
    """The trial's row, locked, with its study's `study_state`, `spec` and count `complete`; None where the lease on it
    is no longer good. For reports and renewals, which change no trial's state and so lock no study."""
    row = tx.connection.execute(
        select(trials, studies.c.state.label("study_state"), studies.c.spec, studies.c.complete)
        .join(studies, studies.c.id == trials.c.study_id)
        .where(studies.c.name == lease.study, trials.c.number == lease.number)
        .with_for_update(of=trials)
    ).one_or_none()
    if row is None or row.lease_token != lease.token or row.state != TrialState.RUNNING.value:
        return None
    return row


# --- leases ----------------------------------------------------------------------------------------------------------


def create(
    tx: Transaction, study: LockedStudy, suggestions: Sequence[Suggestion], holder: Holder | None
) -> list[Trial]:
    """New trials: leased at once to `holder`, or waiting where there is none (configurations that a user gave)."""
    made = [_new_values(tx, study, suggestion, holder) for suggestion in suggestions]
    if made:
        if holder is not None and study.started_at is None:
            study.started_at = tx.now
        tx.connection.execute(insert(trials), made)
    return [find_locked(tx, study, values["number"]) for values in made]


def _new_values(tx: Transaction, study: LockedStudy, suggestion: Suggestion, holder: Holder | None) -> dict[str, Any]:
    number = study.next_number
    state = TrialState.WAITING if holder is None else TrialState.RUNNING
    lease = {"attempt": 0, "worker": None, "session": None, "lease_token": None, "lease_seconds": None}
    lease |= {"lease_ends_at": None, "started_at": None}
    return {
        "study_id": study.id,
        "number": number,
        "state": state.value,
        "parameters": dict(suggestion.parameters),
        "sampler_attributes": dict(suggestion.sampler_attributes),
        "enqueued": holder is None,
        "metrics": {},
        "crashes": 0,
        "request_id": holder.request_id if holder else None,
        "revision": study.move_trial(None, state),
        "created_at": tx.now,
        **(lease if holder is None else _lease_values(tx, holder, attempt=1)),
    }


def _lease_values(tx: Transaction, holder: Holder, attempt: int) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "worker": holder.worker,
        "session": holder.session,
        "lease_token": secrets.token_hex(16),
        "lease_seconds": holder.lease_seconds,
        "lease_ends_at": tx.now + holder.lease_seconds,
        "started_at": tx.now,
    }


def find_locked(tx: Transaction, study: LockedStudy, number: int) -> Trial:
    """A trial of a study that is known to have it."""
    return trial_of(_known_row(tx, study, number), study.name)


def held(tx: Transaction, study: LockedStudy, number: int) -> Held:
    """A running trial with its lease."""
    row = _known_row(tx, study, number)
    lease = Lease(study=study.name, number=number, token=row.lease_token, attempt=row.attempt)
    return Held(lease, trial_of(row, study.name))


def own_and_waiting(
    tx: Transaction, worker: str, holding: Collection[str], objectives: Collection[str], limit: int
) -> list[tuple[int, int]]:
    """(study id, number) of trials to take up: the worker's own live ones that it does not know of, then waiting ones.

    Read without a lock: `take` looks again.
    """
    own = and_(
        trials.c.state == TrialState.RUNNING.value,
        trials.c.worker == worker,
        trials.c.lease_token.not_in(list(holding)),
    )
    waiting = and_(
        trials.c.state == TrialState.WAITING.value,
        studies.c.state == StudyState.RUNNING.value,
        studies.c.objective.in_(list(objectives)),
        studies.c.waiting > 0,
    )
    return _keys(tx, own, limit) + _keys(tx, waiting, limit)


def waiting_of(tx: Transaction, study: LockedStudy, limit: int) -> list[int]:
    """Numbers of a study's waiting trials, the first first."""
    return [number for _, number in _keys(tx, and_(*_waiting(study.id)), limit)]


def _waiting(study_id: int) -> tuple[ColumnElement[bool], ...]:
    return trials.c.study_id == study_id, trials.c.state == TrialState.WAITING.value


def _keys(tx: Transaction, condition: ColumnElement[bool], limit: int) -> list[tuple[int, int]]:
    rows = tx.connection.execute(
        select(trials.c.study_id, trials.c.number)
        .join(studies, studies.c.id == trials.c.study_id)
        .where(condition)
        .order_by(trials.c.study_id, trials.c.number)
        .limit(limit)
    )
    return [(row.study_id, row.number) for row in rows]


def of_request(tx: Transaction, study: LockedStudy, request_id: str) -> list[int]:
    """Numbers of the trials that an earlier ask with this id was given."""
    rows = tx.connection.execute(
        select(trials.c.number)
        .where(trials.c.study_id == study.id, trials.c.request_id == request_id)
        .order_by(trials.c.number)
    )
    return list(rows.scalars())


def take(tx: Transaction, study: LockedStudy, number: int, holder: Holder) -> Held | None:
    """Lease a waiting trial, or give a worker its own live one again; None where another was faster.

    A worker that comes back as a new process (another session) has crashed on what it held.
    """
    row = _row(tx, study.id, number)
    if row is None:
        return None
    if row.state == TrialState.RUNNING.value and row.worker == holder.worker:
        if row.session == holder.session:
            renew(tx, row)
            return held(tx, study, number)
        if hand_back(tx, study, row, "its worker was started again", crashed=True) is TrialState.FAILED:
            return None
    elif row.state != TrialState.WAITING.value or study.state is not StudyState.RUNNING:
        return None
    if study.started_at is None:
        study.started_at = tx.now
    revision = study.move_trial(TrialState.WAITING, TrialState.RUNNING)
    changes = _lease_values(tx, holder, attempt=row.attempt + 1)
    _change(tx, study, number, revision=revision, state=TrialState.RUNNING.value, reason=None,
            request_id=holder.request_id, **changes)  # fmt: skip
    return held(tx, study, number)


def renew(tx: Transaction, row: AnyRow) -> None:
    """Extend the lease on a locked row's trial."""
    tx.connection.execute(
        update(trials)
        .where(trials.c.study_id == row.study_id, trials.c.number == row.number)
        .values(lease_ends_at=tx.now + row.lease_seconds)
    )


def expired(tx: Transaction, limit: int) -> list[tuple[int, int]]:
    """(study id, number) of running trials whose lease has ended."""
    return _keys(tx, and_(trials.c.state == TrialState.RUNNING.value, trials.c.lease_ends_at < tx.now), limit)


def expire(tx: Transaction, study: LockedStudy, number: int) -> bool:
    """Hand back a trial whose holder fell silent; False where it was renewed or finished meanwhile."""
    row = tx.connection.execute(
        select(trials).where(trials.c.study_id == study.id, trials.c.number == number).with_for_update()
    ).one()
    if row.state != TrialState.RUNNING.value or row.lease_ends_at >= tx.now:
        return False
    hand_back(tx, study, row, f"worker {row.worker or '(unnamed)'} fell silent", crashed=True)
    return True


# --- ends ------------------------------------------------------------------------------------------------------------


def hand_back(tx: Transaction, study: LockedStudy, row: AnyRow, reason: str, *, crashed: bool) -> TrialState:
    """A running trial waits again, under a dead lease; or fails, where it crashed for the last time allowed."""
    crashes = row.crashes + crashed
    if crashed and crashes >= study.spec.max_attempts:
        to, reason = TrialState.FAILED, f"{reason} (attempt {crashes} of {study.spec.max_attempts})"
    else:
        to = TrialState.WAITING
    changes: dict[str, Any] = {"finished_at": tx.now} if to is TrialState.FAILED else {"lease_token": None}
    _change(tx, study, row.number, revision=study.move_trial(TrialState.RUNNING, to), state=to.value, reason=reason,
            crashes=crashes, lease_ends_at=None, **changes)  # fmt: skip
    return to


def finish(tx: Transaction, study: LockedStudy, row: AnyRow, result: Result) -> None:
    """Write a running trial's end, and keep it if it is the best."""
    values = result.values
    if result.state is TrialState.PRUNED and row.last_value is not None:
        values = (row.last_value,)
    _change(
        tx,
        study,
        row.number,
        revision=study.move_trial(TrialState.RUNNING, result.state),
        state=result.state.value,
        values=None if values is None else list(values),
        metrics=dict(result.metrics),
        reason=result.reason or row.reason,
        lease_ends_at=None,
        finished_at=tx.now,
    )
    if result.state is TrialState.COMPLETE and values:
        study.offer_best(row.number, values[0])


def failed(tx: Transaction, study: LockedStudy) -> dict[int, str | None]:
    """The reasons of a study's failed trials, by number."""
    rows = tx.connection.execute(
        select(trials.c.number, trials.c.reason)
        .where(trials.c.study_id == study.id, trials.c.state == TrialState.FAILED.value)
        .order_by(trials.c.number)
    )
    return {row.number: row.reason for row in rows}


def try_again(tx: Transaction, study: LockedStudy, number: int) -> Trial:
    """A failed trial waits again, with all its attempts before it."""
    revision = study.move_trial(TrialState.FAILED, TrialState.WAITING)
    changes: dict[str, Any] = {"reason": None, "crashes": 0, "lease_token": None, "finished_at": None, "metrics": {}}
    _change(tx, study, number, revision=revision, state=TrialState.WAITING.value, **changes)
    return find_locked(tx, study, number)


def was_told(row: AnyRow, result: Result) -> bool:
    """Whether a finished trial's row says what `result` says."""
    same_values = result.state is not TrialState.COMPLETE or row._mapping["values"] == list(result.values or ())
    same_reason = result.reason is None or row.reason == result.reason
    return bool(row.state == result.state.value and same_values and same_reason and row.metrics == dict(result.metrics))


def row_of_lease(tx: Transaction, study: LockedStudy, lease: Lease) -> AnyRow | None:
    """The trial that a lease was given on, finished or not; None where the lease is another's or was never."""
    row = tx.connection.execute(
        select(trials).where(trials.c.study_id == study.id, trials.c.number == lease.number).with_for_update()
    ).one_or_none()
    return row if row is not None and row.lease_token == lease.token else None


def cancel_all(tx: Transaction, study: LockedStudy, reason: str) -> None:
    """End what has not ended, at once: the leases are dead from here on."""
    rows = tx.connection.execute(
        select(trials)
        .where(trials.c.study_id == study.id)
        .where(or_(trials.c.state == TrialState.WAITING.value, trials.c.state == TrialState.RUNNING.value))
        .order_by(trials.c.number)
        .with_for_update()
    ).all()
    for row in rows:
        revision = study.move_trial(TrialState(row.state), TrialState.CANCELLED)
        _change(tx, study, row.number, revision=revision, state=TrialState.CANCELLED.value, reason=reason,
                lease_ends_at=None, finished_at=tx.now)  # fmt: skip


def _change(tx: Transaction, study: LockedStudy, number: int, **values: Any) -> None:
    tx.connection.execute(
        update(trials).where(trials.c.study_id == study.id, trials.c.number == number).values(**values)
    )
