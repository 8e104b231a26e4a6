"""Reports in the database: what running trials measured, and what pruners hold against each other."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from hpsearch.spec import Direction
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, intermediate_of
from hpsearch.store.tables import reports, trials
from hpsearch.studies import Study
from hpsearch.trials import Decision, Intermediate, Report, TrialState

_OF_TRIAL = (
    select(reports)
    .where(reports.c.study_id == bindparam("study"), reports.c.number == bindparam("number"))
    .order_by(reports.c.step)
)
_ON_RECORD = select(reports.c.decision).where(
    reports.c.study_id == bindparam("study"),
    reports.c.number == bindparam("number"),
    reports.c.step == bindparam("step"),
    reports.c.attempt == bindparam("attempt"),
)
_AT_STEP = select(reports.c.value).where(
    reports.c.study_id == bindparam("study"),
    reports.c.step == bindparam("step"),
    reports.c.number != bindparam("number"),
    reports.c.number < bindparam("searched"),  # what confirms is held against nothing
)
_AT_STEP_IN_STATES = _AT_STEP.join(
    trials, (trials.c.study_id == reports.c.study_id) & (trials.c.number == reports.c.number)
).where(trials.c.state.in_(bindparam("states", expanding=True)))
_INSERT = insert(reports)
_UPDATE_TRIAL = update(trials).where(trials.c.study_id == bindparam("of_study"), trials.c.number == bindparam("of"))


def of_trial(tx: Transaction, study: Study, number: int) -> list[Intermediate]:
    """A trial's reports by step."""
    rows = tx.connection.execute(_OF_TRIAL, {"study": study.id, "number": number})
    return [intermediate_of(row) for row in rows]


class Reported:
    """A running trial, locked, that takes reports: as its row will be."""

    def __init__(self, row: AnyRow) -> None:
        self.study_id: int = row.study_id
        self.number: int = row.number
        self.attempt: int = row.attempt
        self.lease_seconds: float = row.lease_seconds
        self.last_step: int | None = row.last_step
        self.last_value: float | None = row.last_value
        self.best_value: float | None = row.best_value
        self.reason: str | None = row.reason
        self.confirms: int | None = row.confirms
        self.searched: int = row.searched
        """The numbers of the search's trials are below this."""

    @property
    def _key(self) -> dict[str, int]:
        return {"study": self.study_id, "number": self.number}


class Reports:
    """The reports of one transaction, written together."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._new: list[dict[str, Any]] = []
        self._changed: dict[tuple[int, int], Reported] = {}

    def decision_on(self, trial: Reported, step: int) -> Decision | None:
        """The answer to an earlier report of this step under the present attempt."""
        if trial.last_step is None or step > trial.last_step:
            return None
        self.flush()
        found = self._tx.connection.execute(
            _ON_RECORD, trial._key | {"step": step, "attempt": trial.attempt}
        ).scalar_one_or_none()
        return None if found is None else Decision(found)

    def values_at(self, trial: Reported, step: int, states: Sequence[TrialState] = ()) -> list[float]:
        """The other trials' values at a step; of trials in these states alone, where any is named."""
        self.flush()
        values: dict[str, Any] = trial._key | {"step": step, "searched": trial.searched}
        if not states:
            return list(self._tx.connection.execute(_AT_STEP, values).scalars())
        values["states"] = [state.value for state in states]
        return list(self._tx.connection.execute(_AT_STEP_IN_STATES, values).scalars())

    def drop_superseded(self, trial: Reported, step: int, direction: Direction) -> None:
        """Forget what earlier attempts reported at this step and after: the present one goes its own way from here."""
        if trial.attempt == 1 or trial.last_step is None or trial.last_step < step:
            return
        self.flush()
        mine = (reports.c.study_id == trial.study_id) & (reports.c.number == trial.number)
        dropped = self._tx.connection.execute(
            delete(reports).where(mine, reports.c.step >= step, reports.c.attempt < trial.attempt)
        )
        if dropped.rowcount:
            best = func.max if direction == "maximize" else func.min
            query = select(best(reports.c.value), func.max(reports.c.step)).where(mine)
            trial.best_value, trial.last_step = self._tx.connection.execute(query).one()

    def add(self, trial: Reported, report: Report, best: float, decision: Decision, reason: str | None) -> None:
        """Record a report with its decision. `best` is the trial's best report, this one included."""
        self._new.append(
            {
                "study_id": trial.study_id,
                "number": trial.number,
                "step": report.step,
                "value": report.value,
                "metrics": dict(report.metrics),
                "attempt": trial.attempt,
                "decision": decision.value,
                "reported_at": self._tx.now,
            }
        )
        if trial.last_step is None or report.step > trial.last_step:
            trial.last_step, trial.last_value = report.step, report.value
        trial.best_value, trial.reason = best, reason
        self.renew(trial)

    def renew(self, trial: Reported) -> None:
        """Extend the lease."""
        self._changed[trial.study_id, trial.number] = trial

    def flush(self) -> None:
        """Write what is new, a statement a table."""
        if self._new:
            self._tx.connection.execute(_INSERT, self._new)
        if self._changed:
            rows = [self._update_of(self._changed[key]) for key in sorted(self._changed)]
            self._tx.connection.execute(_UPDATE_TRIAL, rows)
        self._new, self._changed = [], {}

    def _update_of(self, trial: Reported) -> dict[str, Any]:
        return {
            "of_study": trial.study_id,
            "of": trial.number,
            "last_step": trial.last_step,
            "last_value": trial.last_value,
            "best_value": trial.best_value,
            "reason": trial.reason,
            "lease_ends_at": self._tx.now + trial.lease_seconds,
        }
