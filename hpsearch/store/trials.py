"""Trials in the database: made, leased, finished, handed back. All but the readers want their study locked."""

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, case, literal, select, update

from hpsearch.errors import TrialNotFound
from hpsearch.spec import StudySpec
from hpsearch.store import rungs
from hpsearch.store.database import Transaction
from hpsearch.store.locked import CONFIRM_COUNTS, LockedStudy, LockedTrial, new_trial
from hpsearch.store.rows import AnyRow, trial_of, violations_of
from hpsearch.store.tables import studies, trials
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Lease, Observation, Result, Suggestion, Trial, TrialKind, TrialState, has_diverged

PAGE = 2000
"""Rows read at a time where all are wanted."""

NO_SUGGESTION = Suggestion({})
"""Of a trial whose parameters a script sets one by one."""

Key = tuple[int, int]
"""A study's id and a trial's number."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes a lease, and for how long."""

    worker: str | None
    session: str | None
    lease_seconds: float
    request_id: str | None = None


# --- readers ---------------------------------------------------------------------------------------------------------

_RUNNING, _WAITING = TrialState.RUNNING.value, TrialState.WAITING.value

_CONFIRMS = trials.c.confirms.is_not(None)
_ONE = select(trials).where(trials.c.study_id == bindparam("study"), trials.c.number == bindparam("number"))
_OBSERVED = (
    select(
        trials.c.number,
        trials.c.state,
        trials.c.parameters,
        trials.c["values"],
        trials.c.last_step,
        trials.c.last_value,
        trials.c.sampler_attributes,
        trials.c.revision,
        case((trials.c.state == TrialState.FAILED.value, trials.c.reason)),
        trials.c.confirms,
    )
    .where(trials.c.study_id == bindparam("study"), trials.c.revision > bindparam("revision"))
    .order_by(trials.c.revision)
)
_OBSERVED_AND_MEASURED = _OBSERVED.add_columns(trials.c.metrics)
_KEYS = select(trials.c.study_id, trials.c.number).order_by(trials.c.study_id, trials.c.number)
_HELD = _KEYS.add_columns(trials.c.worker, trials.c.lease_token).where(
    trials.c.state == _RUNNING, trials.c.worker.in_(bindparam("workers", expanding=True))
)
_WAITING_OF = (
    select(trials.c.number)
    .where(trials.c.study_id == bindparam("study"), trials.c.state == _WAITING)
    .order_by(trials.c.number)
    .limit(bindparam("limit"))
)
_OF_REQUEST = (
    select(trials.c.number)
    .where(trials.c.study_id == bindparam("study"), trials.c.request_id == bindparam("request"))
    .order_by(trials.c.number)
)
_EXPIRED = _KEYS.where(trials.c.state == _RUNNING, trials.c.lease_ends_at < bindparam("now")).limit(bindparam("limit"))
_REPORTING = (
    select(
        trials,
        studies.c.name,
        studies.c.state.label("study_state"),
        studies.c.spec,
        studies.c.complete,
        studies.c.best_number,
        (sum((studies.c[name] for name in CONFIRM_COUNTS.values()), start=literal(0)) > 0).label("has_confirming"),
    )
    .join(studies, studies.c.id == trials.c.study_id)
    .where(studies.c.name == bindparam("study"), trials.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(trials.c.number)
    .with_for_update(of=trials)
)
_IN_ORDER = select(studies.c.name).where(studies.c.name.in_(bindparam("names", expanding=True))).order_by(studies.c.id)
_RENEW = (
    update(trials)
    .where(trials.c.study_id == bindparam("of_study"), trials.c.number == bindparam("of"))
    .values(lease_ends_at=bindparam("until"))
)


def find(tx: Transaction, study: Study, number: int) -> Trial:
    """Raises `TrialNotFound`."""
    row = tx.connection.execute(_ONE, {"study": study.id, "number": number}).one_or_none()
    if row is None:
        raise TrialNotFound(f"study {study.name!r} has no trial {number}")
    return trial_of(row, study.spec)


def page(
    tx: Transaction,
    study: Study,
    after: int,
    limit: int,
    states: Collection[TrialState] = (),
    kind: TrialKind = TrialKind.ALL,
) -> list[Trial]:
    """Trials with numbers above `after`, in their order; all states where none is named."""
    query = select(trials).where(trials.c.study_id == study.id, trials.c.number > after)
    if kind is not TrialKind.ALL:
        query = query.where(_CONFIRMS if kind is TrialKind.CONFIRM else trials.c.confirms.is_(None))
    if states:
        query = query.where(trials.c.state.in_([state.value for state in states]))
    rows = tx.connection.execute(query.order_by(trials.c.number).limit(limit))
    return [trial_of(row, study.spec) for row in rows]


def observations_since(tx: Transaction, study_id: int, spec: StudySpec, revision: int) -> Iterator[Observation]:
    """Trials that changed their state after a revision, each as it is now; of runs that confirm their numbers alone."""
    query = _OBSERVED_AND_MEASURED if spec.constraints else _OBSERVED
    rows = tx.connection.execution_options(yield_per=PAGE).execute(query, {"study": study_id, "revision": revision})
    for row in rows:
        *known, reason, confirms = row[: len(_OBSERVED.selected_columns)]
        number, state, parameters, values, last_step, last_value, remembered, changed_at = known
        if confirms is not None:
            yield unsearched(number, changed_at)
            continue
        at = TrialState(state)
        lost = has_diverged(at, reason)
        found = Observation(number, at, parameters, values, last_step, last_value, remembered, changed_at, lost)
        if spec.constraints:
            found = replace(found, violations=violations_of(dict(row._mapping), spec))
        yield found


def unsearched(number: int, revision: int) -> Observation:
    """A run that confirms, to the search: a number that is taken, and nothing else."""
    return Observation(number, TrialState.CANCELLED, {}, None, None, None, {}, revision)


def held_by(tx: Transaction, workers: Collection[str]) -> list[AnyRow]:
    """(study_id, number, worker, lease_token) of what workers hold."""
    return list(tx.connection.execute(_HELD, {"workers": list(workers)})) if workers else []


def waiting(tx: Transaction, study_id: int, limit: int) -> list[int]:
    """Numbers of a study's waiting trials, the first first. Read without a lock: `take` looks again."""
    return list(tx.connection.execute(_WAITING_OF, {"study": study_id, "limit": limit}).scalars())


def waiting_of(tx: Transaction, study: LockedStudy, limit: int) -> list[int]:
    """Numbers of a study's waiting trials, the first first."""
    if not study.counts[TrialState.WAITING] + study.confirm_counts[TrialState.WAITING]:
        return []
    return list(tx.connection.execute(_WAITING_OF, {"study": study.id, "limit": limit}).scalars())


def of_request(tx: Transaction, study: LockedStudy, request_id: str) -> list[LockedTrial]:
    """The trials that an earlier ask with this id was given."""
    numbers = tx.connection.execute(_OF_REQUEST, {"study": study.id, "request": request_id}).scalars().all()
    return list(study.trials(numbers).values())


def expired(tx: Transaction, limit: int) -> list[Key]:
    """(study id, number) of running trials whose lease has ended."""
    rows = tx.connection.execute(_EXPIRED, {"now": tx.now, "limit": limit})
    return [(row.study_id, row.number) for row in rows]


def lock_leased(tx: Transaction, leases: Iterable[Lease]) -> dict[tuple[str, int], AnyRow]:
    """The rows, locked, of the trials that leases name, with their study's `name`, `study_state`, `spec` and count
    `complete`. For reports and renewals, which change no trial's state and so lock no study."""
    numbers: dict[str, set[int]] = {}
    for lease in leases:
        numbers.setdefault(lease.study, set()).add(lease.number)
    names = list(numbers)
    if len(names) > 1:  # every transaction locks trials in the order of their studies' ids
        names = list(tx.connection.execute(_IN_ORDER, {"names": names}).scalars())
    found: dict[tuple[str, int], AnyRow] = {}
    for study in names:
        rows = tx.connection.execute(_REPORTING, {"study": study, "numbers": sorted(numbers[study])})
        found |= {(study, row.number): row for row in rows}
    return found


def is_held(row: AnyRow | LockedTrial | None, lease: Lease) -> bool:
    """Whether a lease is still good."""
    return row is not None and row.state == _RUNNING and row.lease_token == lease.token


# --- leases ----------------------------------------------------------------------------------------------------------


def create(
    tx: Transaction,
    study: LockedStudy,
    suggestions: Sequence[Suggestion],
    holder: Holder | None,
    request_id: str | None = None,
) -> list[LockedTrial]:
    """New trials: leased at once to `holder`, or waiting where there is none (configurations that a user gave)."""
    made = []
    for suggestion in suggestions:
        values = {
            "state": _RUNNING if holder else _WAITING,
            "parameters": dict(suggestion.parameters),
            "sampler_attributes": dict(suggestion.sampler_attributes),
            "seen": suggestion.seen,
            "together": suggestion.together,
            "enqueued": holder is None,
            "request_id": request_id,
        }
        if holder:
            values |= lease_values(tx, holder, attempt=1)
            study.started_at = study.started_at or tx.now
        made.append(new_trial(study, tx.now, values))
        study.add(made[-1])
    return made


def lease_values(tx: Transaction, holder: Holder, attempt: int) -> dict[str, Any]:
    """The columns of a lease from now on."""
    return {
        "attempt": attempt,
        "worker": holder.worker,
        "session": holder.session,
        "lease_token": secrets.token_hex(16),
        "lease_seconds": holder.lease_seconds,
        "lease_ends_at": tx.now + holder.lease_seconds,
        "started_at": tx.now,
    } | ({"request_id": holder.request_id} if holder.request_id else {})


def take(tx: Transaction, study: LockedStudy, trial: LockedTrial, holder: Holder) -> bool:
    """Lease a waiting trial, or give a worker its own live one again; False where another was faster, or as many run as
    may.

    A worker that comes back as a new process (another session) has crashed on what it held.
    """
    if trial.is_running and trial.worker == holder.worker:
        if trial.session == holder.session:
            renew(tx, [trial])
            return True
        if hand_back(tx, study, trial, "its worker was started again", crashed=True) is not TrialState.WAITING:
            return False
    elif trial.state != _WAITING or not study.state.is_open or study.slots == 0:
        return False
    _lease(tx, study, trial, holder)
    return True


def promote(tx: Transaction, study: LockedStudy, trial: LockedTrial, rung: int, holder: Holder) -> bool:
    """Lease a trial that pauses at a rung; False where another was faster."""
    if trial.state != TrialState.PAUSED.value or trial.rung != rung:
        return False
    if study.state is not StudyState.RUNNING or study.slots == 0:
        return False
    _lease(tx, study, trial, holder)
    return True


def _lease(tx: Transaction, study: LockedStudy, trial: LockedTrial, holder: Holder) -> None:
    study.started_at = study.started_at or tx.now
    cleared = dict.fromkeys(("reason", "pruning", "rung", "rung_value"))
    study.change(trial, TrialState.RUNNING, **cleared, **lease_values(tx, holder, trial.attempt + 1))


def renew(tx: Transaction, held: Iterable[AnyRow | LockedTrial]) -> None:
    """Extend the leases on locked trials."""
    rows = [{"of_study": row.study_id, "of": row.number, "until": tx.now + (row.lease_seconds or 0.0)} for row in held]
    if rows:
        tx.connection.execute(_RENEW, rows)


def expire(tx: Transaction, study: LockedStudy, trial: LockedTrial) -> bool:
    """Hand back a trial whose holder fell silent; False where it was renewed or finished meanwhile."""
    if not trial.is_running or trial.lease_ends_at is None or trial.lease_ends_at >= tx.now:
        return False
    hand_back(tx, study, trial, f"worker {trial.worker or '(unnamed)'} fell silent", crashed=True)
    return True


# --- ends ------------------------------------------------------------------------------------------------------------


def hand_back(tx: Transaction, study: LockedStudy, trial: LockedTrial, reason: str, *, crashed: bool) -> TrialState:
    """A running trial waits again, under a dead lease; or fails, where it crashed for the last time allowed.

    One that was told to pause at its rung pauses there, if its worker handed it back, or had saved its checkpoint
    before it crashed: with an older one, it must come to the rung again.
    """
    crashes = trial.crashes + crashed
    changes: dict[str, Any] = {"crashes": crashes, "lease_ends_at": None}
    if trial.rung is not None and (not crashed or rungs.is_kept(tx, trial)):
        study.change(trial, TrialState.PAUSED, lease_token=None, **changes)
        return TrialState.PAUSED
    changes |= {"pruning": None, "rung": None, "rung_value": None}
    if crashed and crashes >= study.spec.max_attempts:
        reason = f"{reason} (attempt {crashes} of {study.spec.max_attempts})"
        study.change(trial, TrialState.FAILED, reason=reason, finished_at=tx.now, **changes)
    else:
        study.change(trial, TrialState.WAITING, reason=reason, lease_token=None, **changes)
    return TrialState(trial.state)


def finish(tx: Transaction, study: LockedStudy, trial: LockedTrial, result: Result) -> None:
    """A running trial's end; kept if it is the best."""
    values = result.values
    if result.state is TrialState.PRUNED and trial.last_value is not None:
        values = (trial.last_value,)
    # one that went on to its end, though it was told to end before, has no reason
    reason = result.reason or (None if result.state is TrialState.COMPLETE else trial.reason)
    study.change(
        trial,
        result.state,
        values=None if values is None else list(values),
        metrics=dict(result.metrics),
        reason=reason,
        pruning=trial.pruning if result.state is TrialState.PRUNED else None,
        rung=None,
        rung_value=None,
        lease_ends_at=None,
        finished_at=tx.now,
    )
    is_searched = result.state is TrialState.COMPLETE and trial.confirms is None
    if is_searched and values and not violations_of(vars(trial), study.spec):
        study.offer_best(trial.number, values[0])


def was_told(trial: LockedTrial, result: Result) -> bool:
    """Whether a finished trial says what `result` says."""
    same_values = result.state is not TrialState.COMPLETE or trial.values == list(result.values or ())
    same_reason = result.reason is None or trial.reason == result.reason
    same_state = trial.state == result.state.value
    return same_state and same_values and same_reason and trial.metrics == dict(result.metrics)


def failed(tx: Transaction, study: LockedStudy, kind: TrialKind) -> dict[int, str | None]:
    """The reasons of a study's failed trials, by number; those of this transaction are not among them yet."""
    query = select(trials.c.number, trials.c.reason).where(
        trials.c.study_id == study.id, trials.c.state == TrialState.FAILED.value
    )
    if kind is TrialKind.SEARCH:
        query = query.where(trials.c.confirms.is_(None))
    rows = tx.connection.execute(query.order_by(trials.c.number))
    return {row.number: row.reason for row in rows}


def try_again(study: LockedStudy, trial: LockedTrial) -> None:
    """A failed trial waits again, with all its attempts before it."""
    changes: dict[str, Any] = {
        "reason": None,
        "pruning": None,
        "crashes": 0,
        "lease_token": None,
        "finished_at": None,
        "metrics": {},
    }
    study.change(trial, TrialState.WAITING, **changes)


def cancel_all(tx: Transaction, study: LockedStudy, reason: str, kind: TrialKind) -> None:
    """End what has not ended (of the search alone, or all), at once: the leases are dead from here on."""
    query = select(trials.c.number).where(trials.c.study_id == study.id, trials.c.state.in_((_WAITING, _RUNNING)))
    if kind is TrialKind.SEARCH:
        query = query.where(trials.c.confirms.is_(None))
    open_ones = tx.connection.execute(query.order_by(trials.c.number))
    for trial in study.trials(open_ones.scalars().all()).values():
        if trial.is_open:
            study.change(trial, TrialState.CANCELLED, reason=reason, lease_ends_at=None, finished_at=tx.now)
