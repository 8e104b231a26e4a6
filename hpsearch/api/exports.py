"""A study's trials as lines of a file."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import zip_longest

from pydantic import TypeAdapter

from hpsearch.service import Service
from hpsearch.spec import StudySpec
from hpsearch.trials import Trial, TrialKind

FORMATS = {"jsonl": "application/jsonl", "csv": "text/csv"}

_TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)
_COLUMNS = ("number", "state", "value", "attempt", "worker", "enqueued", "last_step", "last_value", "confirms", "seed")
_SAID = ("metrics", "reason", "pruning", "violations")
"""All but the reason as JSON."""
_TIMES = ("created_at", "started_at", "finished_at")


def export_lines(service: Service, study: str, form: str, kind: TrialKind) -> Iterator[bytes]:
    """The lines of an export. Raises `StudyNotFound` before the first."""
    spec = service.get_study(study).spec
    trials = service.export(study, kind)
    return _csv_lines(trials, spec) if form == "csv" else _json_lines(trials)


def _json_lines(trials: Iterator[Trial]) -> Iterator[bytes]:
    for trial in trials:
        yield _TRIAL.dump_json(trial, exclude={"sampler_attributes"}) + b"\n"


def _csv_lines(trials: Iterator[Trial], spec: StudySpec) -> Iterator[bytes]:
    space, metrics = tuple(spec.space), tuple(spec.objective.metrics or ())
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    names = [*(f"values.{name}" for name in metrics), *(f"parameters.{name}" for name in space)]
    writer.writerow([*_COLUMNS, *names, *_SAID, *_TIMES])
    for trial in trials:
        times = [moment.isoformat() if (moment := getattr(trial, name)) else "" for name in _TIMES]
        parameters = [trial.parameters.get(name) for name in space]
        pruning = json.dumps(asdict(trial.pruning)) if trial.pruning else ""
        said = [json.dumps(dict(trial.metrics)), trial.reason, pruning, json.dumps(dict(trial.violations))]
        known = [getattr(trial, name) for name in _COLUMNS]
        values = [value for _, value in zip_longest(metrics, (trial.values or ())[: len(metrics)])]
        writer.writerow([*known, *values, *parameters, *said, *times])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()
