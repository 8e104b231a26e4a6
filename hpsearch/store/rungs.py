"""Trials that pause at a rung, in the database: who stands there, and among how many."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select

from hpsearch.objective_spec import Direction
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial
from hpsearch.store.reports import OF_SEARCH
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
    direction: select(trials.c.number, trials.c.rung_value)
    .where(_IS_PAUSED, trials.c.rung == bindparam("rung"))
    .order_by(order, trials.c.number)
    .limit(bindparam("limit"))
    for direction, order in (("minimize", trials.c.rung_value), ("maximize", trials.c.rung_value.desc()))
}


def _counts(*conditions: ColumnElement[bool]) -> dict[bool, Select[Any]]:
    """Of the search's reports at a rung, by whether the study has runs that confirm: see `reports.OF_SEARCH`."""
    at_rung = select(func.count()).where(
        reports.c.study_id == bindparam("study"), reports.c.step == bindparam("rung"), *conditions
    )
    return {False: at_rung, True: at_rung.where(OF_SEARCH)}


_REACHED = _counts()
_BETTER: Mapping[str, Any] = {
    "minimize": _counts(reports.c.value < bindparam("value")),
    "maximize": _counts(reports.c.value > bindparam("value")),
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
    .join(
        reports,
        (reports.c.study_id == trials.c.study_id)
        & (reports.c.number == trials.c.number)
        & (reports.c.step == trials.c.rung),
        isouter=True,
    )
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


def leaders(tx: Transaction, study_id: int, rung: int, direction: Direction, limit: int) -> list[tuple[int, float]]:
    """(number, value) of the trials that pause at a rung, the best first."""
    rows = tx.connection.execute(_LEADERS[direction], {"study": study_id, "rung": rung, "limit": limit})
    return [(number, value) for number, value in rows]


def reached(tx: Transaction, study: Study | LockedStudy, rung: int) -> int:
    """How many trials of the search have reported at a rung."""
    found = tx.connection.execute(_REACHED[study.has_confirming], {"study": study.id, "rung": rung})
    return int(found.scalar_one())


def better(tx: Transaction, study: Study | LockedStudy, rung: int, value: float) -> int:
    """How many of them a better value."""
    query = _BETTER[study.spec.objective.direction][study.has_confirming]
    return int(tx.connection.execute(query, {"study": study.id, "rung": rung, "value": value}).scalar_one())


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
