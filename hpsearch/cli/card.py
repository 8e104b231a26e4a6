"""A model's card, in Markdown: what it is, how it was made, what it measured, how to use it. It says what it knows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpsearch.spec import StudySpec
from hpsearch.studies import Study
from hpsearch.trials import Artifact, Metrics, Trial

SPLITS = ("train", "validation", "test")
_MEASURED = re.compile(rf"({'|'.join(SPLITS)})_(.+)")
_BASELINE = re.compile(r"naive|baseline")


def card(study: Study, trial: Trial, model: Mapping[str, Any], files: Sequence[Artifact], folder: str) -> str:
    """The card of a trial's model; `model` is what its `model.json` says, `folder` the name of where it is."""
    metrics = trial.metrics or model.get("metrics") or {}
    baselines = {name: value for name, value in metrics.items() if _BASELINE.search(name)}
    measured = {name: value for name, value in metrics.items() if name not in baselines}
    blocks = [
        _head(study, trial),
        _section("What it is", _table(("", ""), _identity(study.spec, model))),
        _section("How it was made", _table(("", ""), _making(study.spec, trial, model))),
        _section("Parameters", _table(("parameter", "value", ""), _parameters(study.spec, trial, model))),
        _section("Metrics", _by_split(measured)),
        _section("Baselines", _by_split(baselines)),
        _section("How to use it", _usage(files, folder)),
        _section("Files", _table(("file", "bytes", "SHA-256"), ((f"`{f.name}`", f.size, f.sha256) for f in files))),
    ]
    return "\n".join(block for block in blocks if block)


def _head(study: Study, trial: Trial) -> str:
    best = ", the best one," if trial.number == study.best_number else ""
    if trial.confirms is not None:
        best = f", a run of trial {trial.confirms}'s configuration on a fresh seed,"
    lines = [
        f"# {study.name}, trial {trial.number}\n",
        f"The model of trial {trial.number}{best} of study {study.name}.",
    ]
    if study.spec.description:
        lines.append(f"\n{study.spec.description}")
    return "\n".join(lines) + "\n"


def _identity(spec: StudySpec, model: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    parameters = {**spec.objective.settings, **(model.get("parameters") or {})}
    yield "objective", spec.objective.name
    yield "task", model.get("task")
    yield "data set", parameters.get("dataset")
    yield "features", _listed(model.get("features"))
    yield "classes", _listed(model.get("classes"))
    architecture = model.get("architecture")
    if isinstance(architecture, Mapping):
        plain = {name: value for name, value in architecture.items() if value not in (None, False, [], {})}
        yield "architecture", ", ".join(f"{name} {_text(value)}" for name, value in plain.items())


def _making(spec: StudySpec, trial: Trial, model: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "study", spec.name
    yield "trial", f"{trial.number} ({trial.state}{f': {trial.reason}' if trial.reason else ''})"
    yield "searched", f"{spec.objective.metric} ({spec.objective.direction}), by {spec.sampler.name}"
    yield "value", trial.value
    yield "seed", trial.seed
    yield "attempts", trial.attempt or None
    yield "trained on", trial.worker
    if epochs := trial.metrics.get("refit_epochs"):
        yield "weights", f"of the refit: trained on training and validation data for {epochs:.0f} epochs"
    yield "finished", trial.finished_at.strftime("%Y-%m-%d %H:%M:%S UTC") if trial.finished_at else None
    yield from _versions(model)
    if spec.objective.name is not None:
        yield "made again by", f"`hpsearch trial replay {spec.name} {trial.number}`"


def _versions(model: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    versions = model.get("versions")
    known = versions if isinstance(versions, Mapping) else {name: model.get(name) for name in ("hpsearch", "torch")}
    yield from known.items()


def _parameters(spec: StudySpec, trial: Trial, model: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The searched ones first, then what the study sets, then the defaults; with every digit."""
    settings = spec.objective.settings
    values = {**dict.fromkeys([*trial.parameters, *settings]), **(model.get("parameters") or {})}
    for name, value in (values | settings | dict(trial.parameters)).items():
        origin = "searched" if name in trial.parameters else "set" if name in settings else "default"
        yield f"`{name}`", "-" if value is None else str(value), origin


def _by_split(metrics: Metrics) -> str:
    """Train, validation and test apart; what belongs to none of them below."""
    rows: dict[str, dict[str, float | None]] = {}
    others: dict[str, float | None] = {}
    for name, value in metrics.items():
        if match := _MEASURED.fullmatch(name):
            rows.setdefault(match[2], {})[match[1]] = value
        else:
            others[name] = value
    splits = [split for split in SPLITS if any(split in row for row in rows.values())]
    table = _table(("", *splits), ((name, *(row.get(split, "") for split in splits)) for name, row in rows.items()))
    return "\n".join(filter(None, [table, _table(("", ""), others.items())]))


def _usage(files: Sequence[Artifact], folder: str) -> str:
    if not {"model.safetensors", "model.json"} <= {file.name for file in files}:
        return ""
    lines = [
        "```python",
        "import hpsearch",
        "",
        f'model = hpsearch.load_model("{folder}/")',
        "model.predict(...)",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Empty where there are no rows; a row whose second cell is None is left out."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows if row[1] is not None]
    if not lines:
        return ""
    head = "| " + " | ".join(columns) + " |"
    return "\n".join([head, "|" + " --- |" * len(columns), *lines]) + "\n"


def _listed(names: object) -> str | None:
    """Names in a line; a long list by its length and its first ones."""
    if not isinstance(names, list) or not names:
        return None
    first = ", ".join(_text(name) for name in names[:12])
    return first if len(names) <= 12 else f"{len(names)}: {first} …"


def _cell(value: object) -> str:
    """A value in a table: on one line, and no bar in it."""
    return " ".join(_text(value).replace("|", "\\|").split())


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
