"""What users' own objectives say of themselves, in the database: plain JSON, the newest word of each name."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from hpsearch.store.database import Transaction
from hpsearch.store.tables import objectives

_ALL = select(objectives.c.name, objectives.c.info).order_by(objectives.c.name)
_UPDATE = update(objectives).where(objectives.c.name == bindparam("of"))


def publish(tx: Transaction, infos: Mapping[str, Mapping[str, Any]]) -> None:
    """Write objectives down, in the place of what was said under their names.

    Raises `sqlalchemy.exc.IntegrityError` where two first words of one name meet: try again.
    """
    for name, info in sorted(infos.items()):  # in one order, as every transaction locks them
        changes = {"info": dict(info), "published_at": tx.now}
        if tx.connection.execute(_UPDATE, {"of": name} | changes).rowcount == 0:
            tx.connection.execute(insert(objectives).values(name=name, **changes))


def published(tx: Transaction) -> dict[str, Mapping[str, Any]]:
    """All of them, by name."""
    return {row.name: row.info for row in tx.connection.execute(_ALL)}
