"""Promotion (Li et al. 2020, algorithm 2): which of the trials that pause at a rung are among the best there by now."""

from hpsearch.pruner_spec import ASHAPruner
from hpsearch.search.pruners import going_on
from hpsearch.store import rungs
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy
from hpsearch.studies import Study


def promotable(tx: Transaction, study: Study | LockedStudy, limit: int) -> list[tuple[int, int]]:
    """(number, rung) of at most `limit` trials that may go on: of the furthest rung first, there the best first."""
    pruner = study.spec.pruner
    if not (isinstance(pruner, ASHAPruner) and pruner.promote):
        return []
    found: list[tuple[int, int]] = []
    rung: int | None = None
    while len(found) < limit and (rung := rungs.furthest(tx, study.id, rung)) is not None:
        allowed = going_on(rungs.reached(tx, study, rung), pruner.reduction_factor)
        for number, value, violates in rungs.leaders(tx, study, rung, limit - len(found)):
            if rungs.better(tx, study, rung, value, violates=violates) >= allowed:
                break
            found.append((number, rung))
    return found
