"""What earlier studies had found, kept with the study that learns from them."""

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select

from hpsearch.earlier import Found
from hpsearch.store.database import Transaction
from hpsearch.store.tables import earlier

_OF_STUDY = select(earlier.c.found).where(earlier.c.study_id == bindparam("study")).order_by(earlier.c.place)


def keep(tx: Transaction, study_id: int, found: Sequence[Found]) -> None:
    """Of a new study, in the order of its spec."""
    rows = [{"study_id": study_id, "place": place, "found": item.as_json()} for place, item in enumerate(found)]
    if rows:
        tx.connection.execute(insert(earlier), rows)


def of_study(tx: Transaction, study_id: int) -> tuple[Found, ...]:
    """As it was kept; nothing where the study learns from no other."""
    return tuple(map(Found.of_json, tx.connection.execute(_OF_STUDY, {"study": study_id}).scalars()))
