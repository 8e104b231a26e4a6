"""Runs that confirm, in the database: trials of their own, with the parameters of a searched trial and a fresh seed."""

import json

from sqlalchemy import bindparam, select

from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, new_trial
from hpsearch.store.rows import trial_of, violations_of
from hpsearch.store.tables import trials
from hpsearch.studies import Study
from hpsearch.trials import Trial, TrialState

LOOK = 64
"""Configurations read at a time, in search of those that differ."""

_VALUES = select(trials.c.number, trials.c["values"], trials.c.revision).where(
    trials.c.study_id == bindparam("study"),
    trials.c.state == TrialState.COMPLETE.value,
    trials.c.confirms.is_(None),
)
_TRIED = select(trials.c.number, trials.c.state, trials.c.parameters, trials.c["values"], trials.c.metrics).where(
    trials.c.study_id == bindparam("study"), trials.c.number.in_(bindparam("numbers", expanding=True))
)
_RUNS = (
    select(trials)
    .where(trials.c.study_id == bindparam("study"), trials.c.confirms.is_not(None))
    .order_by(trials.c.number)
)
_SEEDS = select(trials.c.confirms, trials.c.seed).where(
    trials.c.study_id == bindparam("study"),
    trials.c.confirms.is_not(None),
    trials.c.state != TrialState.CANCELLED.value,
)
_WAITING = select(trials.c.number).where(
    trials.c.study_id == bindparam("study"),
    trials.c.confirms.is_not(None),
    trials.c.state == TrialState.WAITING.value,
)


def best_configurations(tx: Transaction, study: LockedStudy, count: int) -> list[int]:
    """Numbers of the complete trials with the best values that violate no constraint, the best first, no two with the
    same parameters; of equals those told first. Reads every complete trial's value: once a search, at its end. What
    changed is flushed."""
    sign = -1.0 if study.spec.objective.direction == "maximize" else 1.0
    rows = tx.connection.execute(_VALUES, {"study": study.id})
    order = [number for _, _, number in sorted((sign * values[0], told, n) for n, values, told in rows if values)]
    chosen: dict[str, int] = {}
    for start in range(0, len(order), LOOK):
        numbers = order[start : start + LOOK]
        rows = tx.connection.execute(_TRIED, {"study": study.id, "numbers": numbers})
        found = {row.number: row._asdict() for row in rows}
        for number in numbers:
            if violations_of(found[number], study.spec):
                continue
            chosen.setdefault(json.dumps(found[number]["parameters"], sort_keys=True), number)
            if len(chosen) == count:
                return list(chosen.values())
    return list(chosen.values())


def seeds_of_runs(tx: Transaction, study: LockedStudy) -> set[tuple[int, int]]:
    """(confirmed trial, seed) of the runs that are there, the cancelled ones left out. What changed is flushed."""
    return {(row.confirms, row.seed) for row in tx.connection.execute(_SEEDS, {"study": study.id})}


def cancel_waiting(tx: Transaction, study: LockedStudy, reason: str) -> None:
    """Cancel the runs that have not begun. What changed is flushed."""
    found = tx.connection.execute(_WAITING, {"study": study.id}).scalars().all()
    for trial in study.trials(found).values():
        if trial.state == TrialState.WAITING.value:
            study.change(trial, TrialState.CANCELLED, reason=reason, finished_at=tx.now)


def create(tx: Transaction, study: LockedStudy, confirmed: LockedTrial, seed: int) -> None:
    """A run that waits."""
    values = {
        "state": TrialState.WAITING.value,
        "parameters": confirmed.parameters,
        "sampler_attributes": {},
        "enqueued": False,
        "confirms": confirmed.number,
        "seed": seed,
    }
    study.add(new_trial(study, tx.now, values))


def runs(tx: Transaction, study: Study) -> list[Trial]:
    """A study's runs that confirm, by number."""
    return [trial_of(row, study.spec) for row in tx.connection.execute(_RUNS, {"study": study.id})]
