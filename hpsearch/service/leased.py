"""What holders of leases say of their trials: renewals, reports, results, releases. A batch is one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from hpsearch.service import checks, life
from hpsearch.spec import StudySpec
from hpsearch.store import trials, workers
from hpsearch.store.database import Database, Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, lock_by_name
from hpsearch.store.reports import Reported, Reports
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result

T = TypeVar("T", Result, Release)


def renew(database: Database, leases: Sequence[Lease]) -> list[Decision]:
    """See `Gateway.renew`."""
    with database.write() as tx:
        rows = trials.lock_leased(tx, leases)
        found = [rows.get((lease.study, lease.number)) for lease in leases]
        held = {(row.study_id, row.number): row for row, lease in zip(found, leases, strict=True)
                if row is not None and trials.is_held(row, lease)}  # fmt: skip
        trials.renew(tx, [held[key] for key in sorted(held)])
        return [
            Decision.LOST if row is None or not trials.is_held(row, lease) else _unless_paused(row.study_state)
            for row, lease in zip(found, leases, strict=True)
        ]


def report(database: Database, batch: Sequence[Report]) -> list[Decision]:
    """See `Gateway.report`. The batch has been checked."""
    with database.write() as tx:
        rows = trials.lock_leased(tx, (item.lease for item in batch))
        running = {key: Reported(row) for key, row in rows.items()}
        written = Reports(tx)
        decisions = []
        for item in batch:
            key = item.lease.study, item.lease.number
            if not trials.is_held(rows.get(key), item.lease):
                decisions.append(Decision.LOST)
                continue
            decision = life.record(written, running[key], rows[key], replace(item, metrics=checks.finite(item.metrics)))
            decisions.append(_unless_paused(rows[key].study_state) if decision is Decision.CONTINUE else decision)
        written.flush()
        return decisions


def _unless_paused(study_state: str) -> Decision:
    return Decision.PAUSE if study_state == StudyState.PAUSED.value else Decision.CONTINUE


def tell(database: Database, results: Sequence[Result]) -> list[Receipt]:
    """See `Gateway.tell`. The results have been checked, but for their number of values.

    Raises `InvalidInput`.
    """
    storable = [checks.storable(result) for result in results]
    return _change(database, storable, life.finish, partial(checks.check_values, results))


def release(database: Database, releases: Sequence[Release]) -> list[Receipt]:
    """See `Gateway.release`."""
    return _change(database, releases, life.release)


def _change(
    database: Database,
    items: Sequence[T],
    change: Callable[[Transaction, LockedStudy, LockedTrial, T], Receipt],
    check: Callable[[Mapping[str, StudySpec]], None] = lambda _: None,
) -> list[Receipt]:
    """Apply a change of state to each item's trial, with its study locked, in one transaction, after a look at what the
    studies say."""
    finished: dict[str, int] = {}
    receipts = []
    with database.write() as tx:
        studies = lock_by_name(tx, {item.lease.study for item in items})
        check({name: study.spec for name, study in studies.items()})
        for name, study in studies.items():
            study.trials([item.lease.number for item in items if item.lease.study == name])
        for item in items:
            study_of_item = studies.get(item.lease.study)
            trial = None if study_of_item is None else study_of_item.trials([item.lease.number]).get(item.lease.number)
            if study_of_item is None or trial is None or trial.lease_token != item.lease.token:
                receipts.append(Receipt.LOST)
                continue
            before = study_of_item.over
            receipts.append(change(tx, study_of_item, trial, item))
            if trial.worker and trial.session:
                finished[trial.worker] = finished.get(trial.worker, 0) + study_of_item.over - before
        for study in studies.values():
            life.save(tx, study)
        workers.seen(tx, finished, finished)
    return receipts
