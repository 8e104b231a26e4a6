"""Workers in the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, func, insert, select, update

from hpsearch.errors import HpsearchError, WorkerNotFound, WorkerReplaced
from hpsearch.gateway import Registration, WorkerStatus
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, worker_of
from hpsearch.store.tables import studies, trials, workers
from hpsearch.trials import TrialState

FORGET_SECONDS = 7 * 86_400
"""A worker not seen for so long leaves the list."""

_BY_NAME = select(workers).where(workers.c.name.in_(bindparam("names", expanding=True)))
_SEEN = (
    update(workers)
    .where(workers.c.name == bindparam("of"))
    .values(seen_at=bindparam("now"), finished=workers.c.finished + bindparam("more"))
)


def register(tx: Transaction, worker: Registration) -> None:
    """Write a worker down, in the place of the one before under its name.

    Raises `sqlalchemy.exc.IntegrityError` where two first registrations meet: try again.
    """
    values = asdict(worker) | {"objectives": list(worker.objectives), "registered_at": tx.now, "seen_at": tx.now}
    del values["published"]  # kept apart: it outlives the worker
    changed = tx.connection.execute(update(workers).where(workers.c.name == worker.name).values(values))
    if changed.rowcount == 0:
        tx.connection.execute(insert(workers).values(finished=0, **values))
    tx.connection.execute(delete(workers).where(workers.c.seen_at < tx.now - FORGET_SECONDS))


def by_name(tx: Transaction, names: Collection[str]) -> dict[str, AnyRow]:
    """The rows of these workers; those that are not there are left out."""
    return {row.name: row for row in tx.connection.execute(_BY_NAME, {"names": sorted(names)})}


def refusals(tx: Transaction, sessions: Sequence[tuple[str, str]]) -> dict[int, HpsearchError]:
    """Why some of these (name, session) may not claim, by position: `WorkerNotFound`, `WorkerReplaced`."""
    return refusals_among(by_name(tx, {name for name, _ in sessions}), sessions)


def refusals_among(known: Mapping[str, AnyRow], sessions: Sequence[tuple[str, str]]) -> dict[int, HpsearchError]:
    """The same, of rows that were read."""
    refused: dict[int, HpsearchError] = {}
    for position, (name, session) in enumerate(sessions):
        row = known.get(name)
        if row is None:
            refused[position] = WorkerNotFound(f"no worker has registered as {name!r}")
        elif row.session != session:
            where = f"({row.host}, pid {row.pid})"
            refused[position] = WorkerReplaced(f"another process {where} registered as {name!r} later")
    return refused


def seen(tx: Transaction, names: Collection[str], finished: Mapping[str, int] | None = None) -> None:
    """Note a sign of life, and trials finished. In the order of names, as every transaction locks them."""
    rows = [{"of": name, "more": (finished or {}).get(name, 0), "now": tx.now} for name in sorted(names)]
    if rows:
        tx.connection.execute(_SEEN, rows)


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
