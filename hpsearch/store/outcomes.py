"""What analyses read: trials' outcomes, and the curves of some. Nothing here is locked or written."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, func, or_, select

from hpsearch.insights import Outcome
from hpsearch.spec import StudySpec
from hpsearch.store.database import Transaction
from hpsearch.store.rows import trial_of, violations_of
from hpsearch.store.tables import reports, trials
from hpsearch.studies import Study
from hpsearch.trials import Trial, TrialState

PAGE = 2000
"""Rows read at a time."""

_SINCE = (
    select(
        trials.c.number,
        trials.c.state,
        trials.c.parameters,
        trials.c["values"],
        trials.c.last_step,
        trials.c.last_value,
        trials.c.started_at,
        trials.c.finished_at,
        trials.c.worker,
        trials.c.reason,
        trials.c.revision,
    )
    .where(trials.c.study_id == bindparam("study"), trials.c.revision > bindparam("revision"))
    .where(trials.c.confirms.is_(None))
    .order_by(trials.c.revision)
)
_SINCE_AND_MEASURED = _SINCE.add_columns(trials.c.metrics)
_SOME = select(trials).where(
    trials.c.study_id == bindparam("study"), trials.c.number.in_(bindparam("numbers", expanding=True))
)
_RANKED = (
    select(
        reports.c.number,
        reports.c.step,
        reports.c.value,
        (func.row_number().over(partition_by=reports.c.number, order_by=reports.c.step) - 1).label("place"),
        func.count().over(partition_by=reports.c.number).label("steps"),
    )
    .where(reports.c.study_id == bindparam("study"), reports.c.number.in_(bindparam("numbers", expanding=True)))
    .subquery()
)
# every k-th report where there are more than so many, and the last
_CURVES = (
    select(_RANKED.c.number, _RANKED.c.step, _RANKED.c.value)
    .where(
        or_(
            _RANKED.c.place % ((_RANKED.c.steps + bindparam("most") - 1) // bindparam("most")) == 0,
            _RANKED.c.place == _RANKED.c.steps - 1,
        )
    )
    .order_by(_RANKED.c.number, _RANKED.c.step)
)


def outcomes_since(tx: Transaction, study_id: int, spec: StudySpec, revision: int) -> Iterator[Outcome]:
    """Trials of the search that changed their state after a revision, each as it is now."""
    query = _SINCE_AND_MEASURED if spec.constraints else _SINCE
    rows = tx.connection.execution_options(yield_per=PAGE).execute(query, {"study": study_id, "revision": revision})
    for row in rows:
        number, state, *rest = row[: len(_SINCE.selected_columns)]
        found = Outcome(number, TrialState(state), *rest)
        if spec.constraints and violations_of(row._asdict(), spec):
            found = replace(found, is_feasible=False)
        yield found


def trials_of(tx: Transaction, study: Study, numbers: Sequence[int]) -> list[Trial]:
    """Some trials, in the order of their numbers here; those that are not there are left out."""
    rows = tx.connection.execute(_SOME, {"study": study.id, "numbers": list(numbers)})
    found = {row.number: trial_of(row, study.spec) for row in rows}
    return [found[number] for number in numbers if number in found]


def curves_of(
    tx: Transaction, study_id: int, numbers: Sequence[int], most: int
) -> dict[int, tuple[list[int], list[float]]]:
    """Steps and values that trials reported, by number; about `most` of each at the most, evenly spread."""
    found: dict[int, tuple[list[int], list[float]]] = {number: ([], []) for number in numbers}
    rows = tx.connection.execute(_CURVES, {"study": study_id, "numbers": list(numbers), "most": most})
    for number, step, value in rows:
        found[number][0].append(step)
        found[number][1].append(value)
    return found
