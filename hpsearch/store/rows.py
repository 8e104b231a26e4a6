"""Rows as domain values."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from hpsearch.gateway import WorkerStatus
from hpsearch.spec import StudySpec
from hpsearch.trials import Artifact, Decision, Intermediate, Pruning, Trial, TrialState, has_diverged, trial_seed

AnyRow = Row[Any]


def time_of(seconds: float | None) -> datetime | None:
    """Seconds since the epoch as an aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def trial_of(row: AnyRow, study: StudySpec) -> Trial:
    """A row of `trials`, and its study."""
    return trial_from(row._asdict(), study)


def trial_from(columns: Mapping[str, Any], study: StudySpec) -> Trial:
    """The same from the columns by name."""
    values = columns["values"]
    violations = violations_of(columns, study)
    return Trial(
        study=study.name,
        number=columns["number"],
        state=TrialState(columns["state"]),
        parameters=columns["parameters"],
        seed=seed_of(columns, study),
        confirms=columns["confirms"],
        values=tuple(values) if values else None,
        value=values[0] if values else None,
        metrics=columns["metrics"],
        violations={text: amount if math.isfinite(amount) else None for text, amount in violations.items()},
        reason=columns["reason"],
        diverged=has_diverged(TrialState(columns["state"]), columns["reason"]),
        pruning=Pruning(**pruning) if (pruning := columns["pruning"]) else None,
        attempt=columns["attempt"],
        worker=columns["worker"],
        last_step=columns["last_step"],
        last_value=columns["last_value"],
        enqueued=columns["enqueued"],
        created_at=datetime.fromtimestamp(columns["created_at"], UTC),
        started_at=time_of(columns["started_at"]),
        finished_at=time_of(columns["finished_at"]),
        revision=columns["revision"],
        seen=columns["seen"],
        together=columns["together"],
        sampler_attributes=columns["sampler_attributes"],
    )


def violations_of(columns: Mapping[str, Any], study: StudySpec) -> dict[str, float]:
    """The constraints that a finished trial violates, and by how much, from its columns by name. Not stored: they
    follow from the rest of the row."""
    state = columns["state"]
    if not study.constraints or state not in _TOLD:
        return {}
    values, metrics = columns["values"], columns["metrics"]
    if values:
        metrics = dict(zip(study.objective.searched, values, strict=False)) | metrics
    return study.limits.violations(columns["parameters"], metrics, is_complete=state == TrialState.COMPLETE.value)


_TOLD = (TrialState.COMPLETE.value, TrialState.PRUNED.value)


def seed_of(columns: Mapping[str, Any], study: StudySpec) -> int:
    """A trial's seed: its own where it has one on record, otherwise the one of its number."""
    seed: int | None = columns["seed"]
    return trial_seed(study.seed, columns["number"]) if seed is None else seed


def intermediate_of(row: AnyRow) -> Intermediate:
    """A row of `reports`."""
    return Intermediate(
        step=row.step,
        value=row.value,
        metrics=row.metrics,
        attempt=row.attempt,
        decision=Decision(row.decision),
        reported_at=datetime.fromtimestamp(row.reported_at, UTC),
    )


def artifact_of(row: AnyRow) -> Artifact:
    """A row of `artifacts`."""
    return Artifact(
        name=row.name,
        size=row.size,
        sha256=row.sha256,
        attempt=row.attempt,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
    )


def worker_of(row: AnyRow, running: int, studies: tuple[str, ...]) -> WorkerStatus:
    """A row of `workers`, with what it holds."""
    return WorkerStatus(
        name=row.name,
        host=row.host,
        pid=row.pid,
        slots=row.slots,
        objectives=tuple(row.objectives),
        version=row.version,
        registered_at=datetime.fromtimestamp(row.registered_at, UTC),
        seen_at=datetime.fromtimestamp(row.seen_at, UTC),
        running=running,
        finished=row.finished,
        studies=studies,
    )
