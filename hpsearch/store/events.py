"""Events in the database: every change of a study's and its trials' states, in the order in which they came."""

from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, select

from hpsearch.store.database import Transaction
from hpsearch.store.tables import events, trials
from hpsearch.studies import Event

_AFTER = (
    select(events, trials.c["values"])  # a value that was told stays: the trial has what its event had
    .join(
        trials,
        and_(trials.c.study_id == events.c.study_id, trials.c.number == events.c.number, events.c.value.is_not(None)),
        isouter=True,
    )
    .where(events.c.study_id == bindparam("study"), events.c.revision > bindparam("revision"))
    .order_by(events.c.revision)
    .limit(bindparam("limit"))
)


def after(tx: Transaction, study_id: int, revision: int, limit: int) -> list[Event]:
    """What happened in a study after a revision, the first first."""
    rows = tx.connection.execute(_AFTER, {"study": study_id, "revision": revision, "limit": limit})
    return [
        Event(
            revision=row.revision,
            number=row.number,
            state=row.state,
            attempt=row.attempt,
            worker=row.worker,
            value=row.value,
            values=None if row.values is None else tuple(row.values),
            reason=row.reason,
            happened_at=datetime.fromtimestamp(row.happened_at, UTC),
        )
        for row in rows
    ]
