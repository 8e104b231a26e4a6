"""Trials that pause at a rung, in the database: who stands there, and among how many."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal, select

from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial
from hpsearch.store.reports import BREAKS, OF_SEARCH, is_better, order_of
from hpsearch.store.tables import artifacts, reports, trials
from hpsearch.studies import Study
from hpsearch.trials import CHECKPOINTS, TrialState

BATCH = 2000
"""Trials that are ended at a time: databases take so many numbers in one statement, and not any number."""

_IS_PAUSED = (trials.c.study_id == bindparam("study")) & (trials.c.state == TrialState.PAUSED.value)
# all but the last two within the index trials_paused, whatever number of trials pauses
_FURTHEST = select(func.max(trials.c.rung)).where(_IS_PAUSED)
_FURTHEST_BELOW = _FURTHEST.where(trials.c.rung < bindparam("below"))
_LEADERS: Mapping[str, Any] = {
    direction: select(trials.c.number, trials.c.rung_value, literal(False))
    .where(_IS_PAUSED, trials.c.rung == bindparam("rung"))
    .order_by(order, trials.c.number)
    .limit(bindparam("limit"))
    for direction, order in (("minimize", trials.c.rung_value), ("maximize", trials.c.rung_value.desc()))
}
_AT_ITS_RUNG = (
    (reports.c.study_id == trials.c.study_id)
    & (reports.c.number == trials.c.number)
    & (reports.c.step == trials.c.rung)
)
_LEADERS_WITHIN_LIMITS: Mapping[str, Any] = {
    direction: select(trials.c.number, trials.c.rung_value, BREAKS)
    .join(reports, _AT_ITS_RUNG)
    .where(_IS_PAUSED, trials.c.rung == bindparam("rung"))
    .order_by(*order_of(direction, is_limited=True), trials.c.number)
    .limit(bindparam("limit"))
    for direction in _LEADERS
}


def _counts(*conditions: ColumnElement[bool]) -> dict[bool, Select[Any]]:
    """Of the search's reports at a rung, by whether the study has runs that confirm: see `reports.OF_SEARCH`."""
    at_rung = select(func.count()).where(
        reports.c.study_id == bindparam("study"), reports.c.step == bindparam("rung"), *conditions
    )
    return {False: at_rung, True: at_rung.where(OF_SEARCH)}


_REACHED = _counts()
_BETTER: Mapping[tuple[str, bool], Any] = {
    (direction, is_limited): _counts(is_better(direction, is_limited=is_limited))
    for direction in _LEADERS
    for is_limited in (False, True)
}
_KEPT = (
    select(func.count())
    .select_from(artifacts)
    .join(reports, (reports.c.study_id == artifacts.c.study_id) & (reports.c.number == artifacts.c.number))
    .where(
        artifacts.c.study_id == bindparam("study"),
        artifacts.c.number == bindparam("number"),
        artifacts.c.name.in_(CHECKPOINTS),
        artifacts.c.attempt == bindparam("attempt"),
        reports.c.step == bindparam("rung"),
        artifacts.c.created_at >= reports.c.reported_at,
    )
)
_PAUSED = (
    select(trials.c.number, reports.c.metrics)
    .join(reports, _AT_ITS_RUNG, isouter=True)
    .where(_IS_PAUSED)
    .order_by(trials.c.number)
    .limit(BATCH)
)


def furthest(tx: Transaction, study_id: int, below: int | None) -> int | None:
    """The furthest rung where a trial pauses, below another; None where there is none."""
    values = {"study": study_id}
    query = _FURTHEST
    if below is not None:
        values["below"], query = below, _FURTHEST_BELOW
    found: int | None = tx.connection.execute(query, values).scalar()
    return found


def leaders(tx: Transaction, study: Study | LockedStudy, rung: int, limit: int) -> list[tuple[int, float, bool]]:
    """(number, value, whether it violates a constraint) of the trials that pause at a rung, the best first: what keeps
    the constraints, then by value."""
    queries = _LEADERS_WITHIN_LIMITS if study.spec.limits.of_metrics else _LEADERS
    values = {"study": study.id, "rung": rung, "limit": limit}
    rows = tx.connection.execute(queries[study.spec.objective.direction], values)
    return [(number, value, bool(breaks)) for number, value, breaks in rows]


def reached(tx: Transaction, study: Study | LockedStudy, rung: int) -> int:
    """How many trials of the search have reported at a rung."""
    found = tx.connection.execute(_REACHED[study.has_confirming], {"study": study.id, "rung": rung})
    return int(found.scalar_one())


def better(tx: Transaction, study: Study | LockedStudy, rung: int, value: float, *, violates: bool) -> int:
    """How many of them are better than one with this value, in the same order."""
    is_limited = bool(study.spec.limits.of_metrics)
    query = _BETTER[study.spec.objective.direction, is_limited][study.has_confirming]
    values = {"study": study.id, "rung": rung, "value": value, "violates": violates}
    return int(tx.connection.execute(query, values).scalar_one())


def is_kept(tx: Transaction, trial: LockedTrial) -> bool:
    """Whether a running trial that is to pause has saved its checkpoint since it reported at its rung."""
    key = {"study": trial.study_id, "number": trial.number, "attempt": trial.attempt, "rung": trial.rung}
    return bool(tx.connection.execute(_KEPT, key).scalar_one())


def prune_paused(tx: Transaction, study: LockedStudy) -> None:
    """End what pauses: nobody will be promoted any more. Its value, its metrics and its reason are those of its
    rung."""
    study.flush()
    while metrics := {number: found for number, found in tx.connection.execute(_PAUSED, {"study": study.id})}:  # noqa: C416
        for number, trial in study.trials(metrics.keys()).items():
            changes = {"metrics": metrics[number] or {}, "rung": None, "rung_value": None, "finished_at": tx.now}
            study.change(trial, TrialState.PRUNED, values=[trial.rung_value], **changes)
        study.flush()
