"""Studies and trials in the database, as Optuna's storage interface sees them. What our columns cannot hold
(attributes, distributions, values that are not finite) is in the column `optuna`: JSON by Python's json, which knows
NaN."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from hpsearch.errors import StudyNotFound, TrialNotFound
from hpsearch.optuna_port import OptunaStudy, OptunaTrial
from hpsearch.spec import StudySpec
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, spec_of
from hpsearch.store.rows import AnyRow
from hpsearch.store.tables import reports, studies, trials
from hpsearch.trials import Decision, TrialState

STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.PAUSED: "running",  # not "waiting": no script can take it
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAILED: "fail",
    TrialState.CANCELLED: "fail",
}
LARGEST = 1.7976931348623157e308

_CHANGED = (
    select(trials)
    .where(trials.c.study_id == bindparam("study"), trials.c.revision > bindparam("revision"))
    .where(trials.c.confirms.is_(None))  # runs that confirm are no trials of the search
    .order_by(trials.c.revision)
    .limit(bindparam("limit"))
)
_INTERMEDIATE = (
    select(reports.c.number, reports.c.step, reports.c.value)
    .where(reports.c.study_id == bindparam("study"), reports.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(reports.c.number, reports.c.step)
)


# --- studies ---------------------------------------------------------------------------------------------------------


def study_of(row: AnyRow) -> OptunaStudy:
    """A row of `studies`."""
    spec, document = spec_of(row.spec), document_of(row.optuna)
    return OptunaStudy(
        id=row.id,
        name=document.get("name", row.name),
        directions=directions_of(spec, document),
        user=json.dumps(document.get("user", {})),
        system=json.dumps(document.get("system", {})),
        space=json.dumps(spec.model_dump(mode="json")["space"]),
    )


def directions_of(spec: StudySpec, document: Mapping[str, Any]) -> tuple[str, ...]:
    """One an objective."""
    return tuple(document.get("directions", spec.objective.searched.values()))


def find_study(tx: Transaction, study_id: int) -> OptunaStudy:
    """Raises `StudyNotFound`."""
    row = tx.connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()
    if row is None:
        raise StudyNotFound(f"there is no study with the id {study_id}")
    return study_of(row)


def list_studies(tx: Transaction) -> list[OptunaStudy]:
    """Every study, in the order of creation."""
    return [study_of(row) for row in tx.connection.execute(select(studies).order_by(studies.c.id))]


def set_document(tx: Transaction, study_id: int, document: Mapping[str, Any]) -> None:
    """What Optuna's interface knows of a study. The study is locked or new."""
    tx.connection.execute(update(studies).where(studies.c.id == study_id).values(optuna=json.dumps(document)))


def document_of(text: str | None) -> dict[str, Any]:
    """What a column `optuna` holds."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


# --- trials ----------------------------------------------------------------------------------------------------------


def changed_trials(tx: Transaction, study_id: int, revision: int, limit: int) -> list[OptunaTrial]:
    """Trials that changed after a revision, in the order of their changes."""
    rows = tx.connection.execute(_CHANGED, {"study": study_id, "revision": revision, "limit": limit}).all()
    found = _intermediate(tx, study_id, [row.number for row in rows])
    return [_trial_of(row, found.get(row.number, {})) for row in rows]


def find_trial(tx: Transaction, study_id: int, number: int) -> OptunaTrial:
    """Raises `TrialNotFound`."""
    row = tx.connection.execute(
        select(trials).where(trials.c.study_id == study_id, trials.c.number == number, trials.c.confirms.is_(None))
    ).one_or_none()
    if row is None:
        raise TrialNotFound(f"the study with the id {study_id} has no trial {number}")
    return _trial_of(row, _intermediate(tx, study_id, [number]).get(number, {}))


def _intermediate(tx: Transaction, study_id: int, numbers: Collection[int]) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    if numbers:
        for number, step, value in tx.connection.execute(_INTERMEDIATE, {"study": study_id, "numbers": list(numbers)}):
            found.setdefault(number, {})[step] = value
    return found


def _trial_of(row: AnyRow, intermediate: dict[int, float]) -> OptunaTrial:
    known = document_of(row.optuna)
    values = row._mapping["values"]
    document = {
        "parameters": row.parameters,
        "internal": known.get("internal", {}),
        "distributions": known.get("distributions", {}),
        "user": known.get("user", {}),
        "system": known.get("system", {}),
        "values": known.get("values", values),
        "intermediate": intermediate | dict.fromkeys(known.get("nan", ()), math.nan),
        "start": known.get("start") or _local(row.started_at),
        "complete": known.get("complete") or _local(row.finished_at),
    }
    state = STATES[TrialState(row.state)]
    return OptunaTrial(number=row.number, revision=row.revision, state=state, document=json.dumps(document))


def _local(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds).isoformat()


# --- what a trial's row shows of it ----------------------------------------------------------------------------------


def shown_values(values: Sequence[float] | None) -> list[float] | None:
    """Values as our column holds them: infinite ones become the largest number, so that the best stays right."""
    return None if values is None else [max(-LARGEST, min(LARGEST, value)) for value in values]


def shown_parameter(value: Any) -> Any:
    """A parameter's value as our column holds it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def set_intermediate(
    tx: Transaction, study: LockedStudy, trial: LockedTrial, document: dict[str, Any], values: Mapping[int, float]
) -> None:
    """Record values at steps, in the place of what was reported there. The trial is in the database."""
    finite = {step: value for step, value in values.items() if not math.isnan(value)}
    mine = (reports.c.study_id == study.id) & (reports.c.number == trial.number)
    tx.connection.execute(delete(reports).where(mine, reports.c.step.in_(list(values))))
    rows = [
        {"study_id": study.id, "number": trial.number, "step": step, "value": value, "metrics": {},
         "attempt": max(trial.attempt, 1), "decision": Decision.CONTINUE.value, "reported_at": tx.now}
        for step, value in finite.items()
    ]  # fmt: skip
    if rows:
        tx.connection.execute(insert(reports), rows)
    document["nan"] = sorted((set(document.get("nan", ())) | values.keys()) - finite.keys())
    note_steps(study.spec, trial, finite)


def note_steps(spec: StudySpec, trial: LockedTrial, finite: Mapping[int, float]) -> None:
    """Keep the furthest step and the best value of a trial's reports."""
    better = max if spec.objective.direction == "maximize" else min
    for step, value in sorted(finite.items()):
        shown = max(-LARGEST, min(LARGEST, value))
        trial.best_value = shown if trial.best_value is None else better(trial.best_value, shown)
        if trial.last_step is None or step >= trial.last_step:
            trial.last_step, trial.last_value = step, shown
