"""Reports in the database: what running trials measured, and what pruners hold against each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from hpsearch.objective_spec import Direction
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, intermediate_of
from hpsearch.store.tables import reports, trials
from hpsearch.studies import Study
from hpsearch.trials import Decision, Intermediate, Pruning, Report, TrialState

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
OF_SEARCH = reports.c.number.not_in(
    select(trials.c.number).where(trials.c.study_id == bindparam("study"), trials.c.confirms.is_not(None))
)
"""What confirms is held against nothing. Within the index trials_confirming, of a handful of trials."""


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Statements about the other trials at a step, within the index reports_by_step. By direction where it matters."""

    at_step: Select[Any]
    at_step_in_states: Select[Any]
    rank: Mapping[str, Any]
    nth: Mapping[str, Any]


BREAKS = func.coalesce(reports.c.violates, false())
"""Whether a report's trial violated a constraint then."""
_ORDER: Mapping[str, ColumnElement[Any]] = {"minimize": reports.c.value, "maximize": reports.c.value.desc()}
_BETTER = {"minimize": reports.c.value < bindparam("value"), "maximize": reports.c.value > bindparam("value")}


def is_better(direction: str, *, is_limited: bool) -> ColumnElement[bool]:
    """Whether a report is better than `value`: by its value; where a study is limited by constraints, what keeps them
    before what does not (`violates` says it of the trial that is held against it)."""
    if not is_limited:
        return _BETTER[direction]
    mine = bindparam("violates", type_=Boolean)
    return or_(and_(~BREAKS, mine), and_(mine == BREAKS, _BETTER[direction]))


def order_of(direction: str, *, is_limited: bool) -> tuple[ColumnElement[Any], ...]:
    """The same order, the best first."""
    return (BREAKS, _ORDER[direction]) if is_limited else (_ORDER[direction],)


def _ranks(others: ColumnElement[bool], *, is_limited: bool) -> _Ranks:
    at_step = select(reports.c.number, reports.c.value, BREAKS).where(others)
    of_trials = (trials.c.study_id == reports.c.study_id) & (trials.c.number == reports.c.number)
    nth = select(reports.c.value).where(others).limit(1).offset(bindparam("place"))
    return _Ranks(
        at_step,
        at_step.join(trials, of_trials).where(trials.c.state.in_(bindparam("states", expanding=True))),
        {
            to: select(func.count(), func.count().filter(is_better(to, is_limited=is_limited))).where(others)
            for to in _ORDER
        },
        {to: nth.order_by(*order_of(to, is_limited=is_limited)) for to in _ORDER},
    )


_OTHERS = (
    (reports.c.study_id == bindparam("study"))
    & (reports.c.step == bindparam("step"))
    & (reports.c.number != bindparam("number"))
)
_RANKS = {
    (has_confirming, is_limited): _ranks(_OTHERS & OF_SEARCH if has_confirming else _OTHERS, is_limited=is_limited)
    for has_confirming in (False, True)
    for is_limited in (False, True)
}
"""By whether the study has runs that confirm, and constraints over what is measured: each makes a count
a third slower."""
_VALUES = select(reports.c.step, reports.c.value).where(
    reports.c.study_id == bindparam("study"), reports.c.number == bindparam("number")
)
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
        self.pruning: dict[str, Any] | None = row.pruning
        self.rung: int | None = row.rung
        self.rung_value: float | None = row.rung_value
        self.confirms: int | None = row.confirms
        self.best_number: int | None = row.best_number
        """Of the study."""
        self.has_confirming: bool = row.has_confirming
        """Whether the study has runs that confirm."""

    @property
    def _key(self) -> dict[str, int]:
        return {"study": self.study_id, "number": self.number}

    @property
    def verdict(self) -> Decision | None:
        """What it was told under the present attempt, where that was to end or to pause. It stands, whatever is
        reported until the trial heeds it."""
        if self.pruning is None:
            return None
        return Decision.PRUNE if self.rung is None else Decision.PAUSE

    def end_at(self, report: Report, words: str, pruning: Pruning, *, pauses: bool) -> Decision:
        """It is to end at this report, or to pause there."""
        self.reason, self.pruning = words, _storable(pruning)
        if pauses:
            self.rung, self.rung_value = report.step, report.value
        return Decision.PAUSE if pauses else Decision.PRUNE


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

    def beside(self, trial: Reported, report: Report, *, is_limited: bool) -> "Beside":
        """What is on record beside a report that is not yet. Limited: by constraints over what is measured."""
        self.flush()
        return Beside(self._tx, trial, report, is_limited=is_limited)

    def add(self, trial: Reported, report: Report, best: float, decision: Decision, *, violates: bool | None) -> None:
        """Record a report with its decision. `best` is the trial's best report, this one included; `violates` whether
        its trial violates a constraint by now, None where there is none."""
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
                "violates": violates,
            }
        )
        if trial.last_step is None or report.step > trial.last_step:
            trial.last_step, trial.last_value = report.step, report.value
        trial.best_value = best
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
            "pruning": trial.pruning,
            "rung": trial.rung,
            "rung_value": trial.rung_value,
            "lease_ends_at": self._tx.now + trial.lease_seconds,
        }


def _storable(pruning: Pruning) -> dict[str, Any]:
    """As JSON can say it: Optuna's scripts may report infinities, which others are held against."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(pruning).items()
    }


class Beside:
    """What a pruner may look at beside a report (see `search.pruners.Record`)."""

    def __init__(self, tx: Transaction, trial: Reported, report: Report, *, is_limited: bool) -> None:
        self._connection = tx.connection
        self._study_id, self._number = trial.study_id, trial.number
        self._present = {report.step: report.value}
        self._best_number = trial.best_number
        self._ranks = _RANKS[trial.has_confirming, is_limited]

    def _key(self, step: int) -> dict[str, Any]:
        return {"study": self._study_id, "number": self._number, "step": step}

    def others(self, step: int, states: Sequence[TrialState] = ()) -> list[tuple[int, float, bool]]:
        """See `Record.others`."""
        query, key = self._ranks.at_step, self._key(step)
        if states:
            query, key = self._ranks.at_step_in_states, key | {"states": [state.value for state in states]}
        return [(number, value, bool(breaks)) for number, value, breaks in self._connection.execute(query, key)]

    def rank(self, step: int, value: float, direction: Direction, *, violates: bool) -> tuple[int, int]:
        """See `Record.rank`."""
        key = self._key(step) | {"value": value, "violates": violates}
        others, better = self._connection.execute(self._ranks.rank[direction], key).one()
        return others, better

    def nth(self, step: int, place: int, direction: Direction) -> float:
        """See `Record.nth`."""
        key = self._key(step) | {"place": place}
        return float(self._connection.execute(self._ranks.nth[direction], key).scalar_one())

    def own(self) -> dict[int, float]:
        """See `Record.own`."""
        return self._values(self._number) | self._present

    def leader(self) -> dict[int, float]:
        """See `Record.leader`."""
        return {} if self._best_number is None else self._values(self._best_number)

    def _values(self, number: int) -> dict[int, float]:
        rows = self._connection.execute(_VALUES, {"study": self._study_id, "number": number})
        return {step: value for step, value in rows}  # noqa: C416 (a row is no pair to the type checker)
