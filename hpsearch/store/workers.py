"""Workers in the database."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, func, insert, select, update

from hpsearch.errors import WorkerNotFound, WorkerReplaced
from hpsearch.gateway import Registration, WorkerStatus
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, worker_of
from hpsearch.store.tables import studies, trials, workers
from hpsearch.trials import TrialState

FORGET_SECONDS = 7 * 86_400
"""A worker not seen for so long leaves the list."""


def register(tx: Transaction, worker: Registration) -> None:
    """Write a worker down, in the place of the one before under its name.

    Raises `sqlalchemy.exc.IntegrityError` where two first registrations meet: try again.
    """
    values = asdict(worker) | {"objectives": list(worker.objectives), "registered_at": tx.now, "seen_at": tx.now}
    changed = tx.connection.execute(update(workers).where(workers.c.name == worker.name).values(values))
    if changed.rowcount == 0:
        tx.connection.execute(insert(workers).values(finished=0, **values))
    tx.connection.execute(delete(workers).where(workers.c.seen_at < tx.now - FORGET_SECONDS))


def check_session(tx: Transaction, name: str, session: str) -> AnyRow:
    """The worker's row. Raises `WorkerNotFound`, `WorkerReplaced`."""
    row = tx.connection.execute(select(workers).where(workers.c.name == name)).one_or_none()
    if row is None:
        raise WorkerNotFound(f"no worker has registered as {name!r}")
    if row.session != session:
        raise WorkerReplaced(f"another process ({row.host}, pid {row.pid}) registered as {name!r} later")
    return row


def seen(tx: Transaction, name: str, *, finished: int = 0) -> None:
    """Note a sign of life, and trials finished."""
    tx.connection.execute(
        update(workers).where(workers.c.name == name).values(seen_at=tx.now, finished=workers.c.finished + finished)
    )


def page(tx: Transaction, after: str, limit: int) -> list[WorkerStatus]:
    """Workers by name."""
    rows = tx.connection.execute(
        select(workers).where(workers.c.name > after).order_by(workers.c.name).limit(limit)
    ).all()
    held = _held(tx, [row.name for row in rows])
    return [worker_of(row, *held.get(row.name, (0, ()))) for row in rows]


def _held(tx: Transaction, names: Sequence[str]) -> dict[str, tuple[int, tuple[str, ...]]]:
    """How many trials each worker holds, and of which studies."""
    rows = tx.connection.execute(
        select(trials.c.worker, studies.c.name, func.count().label("running"))
        .join(studies, studies.c.id == trials.c.study_id)
        .where(trials.c.state == TrialState.RUNNING.value, trials.c.worker.in_(names))
        .group_by(trials.c.worker, studies.c.name)
        .order_by(trials.c.worker, studies.c.name)
    )
    held: dict[str, tuple[int, tuple[str, ...]]] = {}
    for worker, study, running in rows:
        count, of_studies = held.get(worker, (0, ()))
        held[worker] = (count + running, (*of_studies, study))
    return held
