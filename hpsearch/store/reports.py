"""Reports in the database: what running trials measured, and what pruners hold against each other."""

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from hpsearch.spec import Direction
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, intermediate_of
from hpsearch.store.tables import reports, trials
from hpsearch.studies import Study
from hpsearch.trials import Decision, Intermediate, Report, TrialState


def of_trial(tx: Transaction, study: Study, number: int) -> list[Intermediate]:
    """A trial's reports by step."""
    rows = tx.connection.execute(
        select(reports).where(reports.c.study_id == study.id, reports.c.number == number).order_by(reports.c.step)
    )
    return [intermediate_of(row) for row in rows]


def on_record(tx: Transaction, trial: AnyRow, step: int) -> Intermediate | None:
    """The report of a step under the trial's present attempt."""
    row = tx.connection.execute(
        select(reports).where(
            reports.c.study_id == trial.study_id,
            reports.c.number == trial.number,
            reports.c.step == step,
            reports.c.attempt == trial.attempt,
        )
    ).one_or_none()
    return None if row is None else intermediate_of(row)


def values_at(tx: Transaction, trial: AnyRow, step: int, states: Sequence[TrialState] = ()) -> list[float]:
    """The other trials' values at a step; of trials in these states alone, where any is named."""
    query = select(reports.c.value).where(
        reports.c.study_id == trial.study_id, reports.c.step == step, reports.c.number != trial.number
    )
    if states:
        query = query.join(
            trials, (trials.c.study_id == reports.c.study_id) & (trials.c.number == reports.c.number)
        ).where(trials.c.state.in_([state.value for state in states]))
    return list(tx.connection.execute(query).scalars())


def best(tx: Transaction, trial: AnyRow, direction: Direction) -> float | None:
    """The trial's best report."""
    function = func.max if direction == "maximize" else func.min
    query = select(function(reports.c.value)).where(
        reports.c.study_id == trial.study_id, reports.c.number == trial.number
    )
    return tx.connection.execute(query).scalar()


def drop_superseded(tx: Transaction, trial: AnyRow, step: int) -> bool:
    """Forget what earlier attempts reported at this step and after: the present one goes its own way from here.

    Returns whether there can have been any.
    """
    if trial.attempt == 1 or trial.last_step is None or trial.last_step < step:
        return False
    tx.connection.execute(
        delete(reports).where(
            reports.c.study_id == trial.study_id,
            reports.c.number == trial.number,
            reports.c.step >= step,
            reports.c.attempt < trial.attempt,
        )
    )
    return True


def add(tx: Transaction, trial: AnyRow, report: Report, best: float, decision: Decision, reason: str | None) -> None:
    """Record a report with its decision, and extend the lease. `best` is the trial's best report, this one included."""
    tx.connection.execute(
        insert(reports).values(
            study_id=trial.study_id,
            number=trial.number,
            step=report.step,
            value=report.value,
            metrics=dict(report.metrics),
            attempt=trial.attempt,
            decision=decision.value,
            reported_at=tx.now,
        )
    )
    tx.connection.execute(
        update(trials)
        .where(trials.c.study_id == trial.study_id, trials.c.number == trial.number)
        .values(
            last_step=report.step,
            last_value=report.value,
            best_value=best,
            reason=reason,
            lease_ends_at=tx.now + trial.lease_seconds,
        )
    )
