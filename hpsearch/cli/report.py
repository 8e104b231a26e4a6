"""`hpsearch study report`: a study in one HTML file: what was searched, found, how sure, what mattered, how it went."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from hpsearch import __version__
from hpsearch.cli import page
from hpsearch.cli.confirmation import how_many, in_words, table_of
from hpsearch.cli.output import shown, shown_parameters
from hpsearch.cli.plot import plotly
from hpsearch.client import Client, StudyHandle
from hpsearch.confirmation import Confirmation
from hpsearch.errors import InvalidInput
from hpsearch.insights import Front, Summary
from hpsearch.objective_spec import ObjectiveSpec
from hpsearch.parameters import (
    Condition,
    FloatParameter,
    IntParameter,
    Prior,
    Range,
    SpaceParameter,
    Value,
    listed_values,
)
from hpsearch.priors import good_values, prior_of
from hpsearch.studies import Study
from hpsearch.trials import Trial

MATTERED = ("slices", "contour", "parallel_coordinates", "ranks")
WENT = ("history", "learning_curves", "edf", "timeline")
OF_FRONT = ("pareto", "hypervolume")
MOST_TEXT = 300
MOST_INTERACTIONS, LEAST_INTERACTION = 3, 0.01
MOST_ON_FRONT = 20
"""Trials of a front in its table."""


def report(client: Client, name: str) -> str:
    """The file. Raises `StudyNotFound`; `ConfigurationError` where Plotly is missing."""
    plotly()
    from plotly.offline import get_plotlyjs

    study = client.study(name)
    summary = study.summary(10)
    front = study.pareto() if study.info.spec.objective.has_several else None
    figures = {kind: study.figure(kind) for kind in (*MATTERED, *WENT, *(OF_FRONT if front else ()))}
    blocks = [
        _head(study.info, summary, front),
        page.section("Pareto front", *_on_front(front), *_drawn(figures, OF_FRONT))
        if front
        else page.section("Found", _found(study.info, summary)),
        page.section("How sure", *_confirmed(study.confirmation(), study.info)),
        page.section("What mattered", *_mattered(study), *_drawn(figures, MATTERED)),
        page.section("How it went", *_drawn(figures, WENT)),
        page.section("Ended otherwise", _endings(summary)),
        page.section("Searched", *_searched(study.info)),
        _foot(summary),
    ]
    return page.page(f"{study.name} - hpsearch", "\n".join(filter(None, blocks)), get_plotlyjs())


def _head(study: Study, summary: Summary, front: Front | None) -> str:
    spec, counts = study.spec, study.counts
    of = "" if spec.budget_trials is None else f" of {spec.budget_trials}"
    stands = f"{study.state}{f': {study.reason}' if study.reason else ''}"
    best = "-" if study.best_value is None else f"{study.best_value:.6g}"
    wall = None if study.started_at is None else (study.ended_at or datetime.now(UTC)) - study.started_at
    found = (f"best {spec.objective.metric} ({spec.objective.direction})", best, "best")
    items = [
        (f"trials on the front of {', '.join(front.metrics)}", str(front.size), "best") if front else found,
        ("trials finished", f"{counts.finished}{of}", ""),
        ("complete, pruned, failed", f"{counts.complete}, {counts.pruned}, {counts.failed}", ""),
        ("wall clock", "-" if wall is None else _duration(wall.total_seconds()), ""),
        ("computing, all workers", _duration(summary.compute_seconds), ""),
        ("workers", str(summary.workers), ""),
    ]
    described = page.paragraph(spec.description, "description") if spec.description else ""
    return f"<h1>{page.text(study.name)}</h1>{page.paragraph(stands, 'soft')}{described}{page.cards(items)}"


def _found(study: Study, summary: Summary) -> str:
    """The ten best trials, a column a parameter."""
    names = list(study.spec.space) or sorted({name for trial in summary.top for name in trial.parameters})
    others = sorted({name for trial in summary.top for name in trial.metrics} - {study.spec.objective.metric})[:4]
    rows = [
        [
            trial.number,
            trial.value,
            *(_short(trial.parameters.get(name)) for name in names),
            *(trial.metrics.get(name) for name in others),
            *(["; ".join(trial.violations)] if study.spec.constraints else []),
        ]
        for trial in summary.top
    ]
    if not rows:
        return page.paragraph("No trial is complete yet.", "soft")
    violates = ["violates"] if study.spec.constraints else []
    best = None if summary.top[0].violations else 0
    return page.table(["trial", study.spec.objective.metric, *names, *others, *violates], rows, best=best)


def _on_front(front: Front) -> Iterator[str]:
    """The trials that no other one beats, a column a metric and a parameter, the one to take in bold."""
    if not front.trials:
        yield page.paragraph("No trial is complete yet that satisfies every constraint.", "soft")
        return
    trials = _some_of(front)
    names = sorted({name for trial in trials for name in trial.parameters})
    rows = [
        [trial.number, *(trial.values or ()), *(_short(trial.parameters.get(name)) for name in names)]
        for trial in trials
    ]
    ways = ", ".join(f"{metric} ({direction})" for metric, direction in front.metrics.items())
    few = f" {len(trials)} of them are shown, evenly spread." if len(trials) < front.size else ""
    yield page.paragraph(
        f"By {ways}: {front.size} of the {front.of} complete trials that violate no constraint are on the front: "
        f"no other trial is at least as good in every metric and better in one.{few}"
    )
    chosen = next((place for place, trial in enumerate(trials) if trial.number == front.chosen), None)
    yield page.table(["trial", *front.metrics, *names], rows, best=chosen)
    yield page.paragraph(
        f"In bold: trial {front.chosen}, the nearest to the best of each metric, all counting the same. Others count "
        f"with: hpsearch study pareto {front.study} --weight METRIC=2.",
        "soft",
    )


def _some_of(front: Front) -> list[Trial]:
    """Trials of a front, evenly spread, and the one to take."""
    last = len(front.trials) - 1
    if last < MOST_ON_FRONT:
        return list(front.trials)
    places = {round(turn * last / (MOST_ON_FRONT - 2)) for turn in range(MOST_ON_FRONT - 1)}
    places |= {place for place, trial in enumerate(front.trials) if trial.number == front.chosen}
    return [front.trials[place] for place in sorted(places)]


def _short(value: object) -> object:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _cut(shown(value))


def _cut(value: str) -> str:
    return value if len(value) <= MOST_TEXT else value[: MOST_TEXT - 1] + "…"


def _confirmed(found: Confirmation, study: Study) -> Iterator[str]:
    """What fresh seeds gave; nothing where nothing is confirmed."""
    if not found.configurations:
        return
    if told := in_words(found, study):
        yield page.paragraph(told[0].upper() + told[1:] + ".")
    columns, rows = table_of(found, study)
    yield page.table(columns, [[_short(item) for item in row] for row in rows], best=0 if found.best else None)
    yield page.paragraph(
        f"{how_many(found)}. Optimism is how much better the search saw a configuration than fresh seeds do: the best "
        "of many trials was also the luckiest.",
        "soft",
    )


def _mattered(study: StudyHandle) -> Iterator[str]:
    """The importances for each metric in turn."""
    metrics = study.info.spec.objective.searched
    for place, metric in enumerate(metrics):
        found, of = study.importances(metric=metric), f" for {metric}" if len(metrics) > 1 else ""
        if found.note:
            yield page.paragraph(f"Importances{of}: {found.note}.", "soft")
            continue
        first = found.importances[0]
        yield page.paragraph(
            f"{first.parameter} mattered most{of}: {first.importance:.0%} of what leads to the best tenth of the "
            f"trials (PED-ANOVA over {found.used} of {found.of} trials: {found.rule})."
        )
        name = "importances" if len(metrics) == 1 else f"importances-{place}"
        yield page.figure(name, study.figure("importances", metric=metric))
        yield _together(study, metric)


def _together(study: StudyHandle, metric: str) -> str:
    """Which pairs mattered, where the server has scikit-learn and so can tell."""
    try:
        found = study.importances("fanova", metric)
    except InvalidInput:
        return ""
    pairs = [
        f"{' with '.join(item.parameters)} {item.importance:.0%}"
        for item in found.interactions[:MOST_INTERACTIONS]
        if item.importance >= LEAST_INTERACTION
    ]
    told = f"together, beyond what each does alone: {', '.join(pairs)}" if pairs else "no two more than each alone"
    return page.paragraph(f"Of the variance (fANOVA), {told}.", "soft")


def _drawn(figures: Mapping[str, Mapping[str, Any]], kinds: tuple[str, ...]) -> Iterator[str]:
    for kind in kinds:
        if figures[kind]["data"]:
            yield page.figure(kind, figures[kind])


def _endings(summary: Summary) -> str:
    rows = [
        [ending.count, ending.state, _cut(ending.reason or "-"), ", ".join(map(str, ending.numbers))]
        for ending in summary.endings
    ]
    return page.table(["trials", "state", "reason (the first one's)", "such as"], rows)


def _searched(study: Study) -> Iterator[str]:
    spec = study.spec
    yield _space(spec.space)
    settings: list[list[object]] = [[name, _short(value)] for name, value in spec.objective.settings.items()]
    if settings:
        yield "<h3>The same in every trial</h3>" + page.table(["", ""], settings)
    budget = {name: value for name, value in spec.budget.model_dump(mode="json").items() if value is not None}
    chosen: list[list[object]] = [["chosen by auto", reason] for reason in study.chosen.reasons]
    constraints: list[list[object]] = [["constraint", constraint] for constraint in spec.constraints]
    rows: list[list[object]] = [
        ["objective", spec.objective.name or "a loop of the user's own"],
        _metrics(spec.objective),
        *constraints,
        ["sampler", shown_parameters(spec.sampler.model_dump(mode="json"))],
        ["pruner", shown_parameters(spec.pruner.model_dump(mode="json"))],
        *chosen,
        ["budget", shown_parameters(budget)],
        ["seed", spec.seed],
    ]
    yield "<h3>How</h3>" + page.table(["", ""], rows)


def _space(space: Mapping[str, SpaceParameter]) -> str:
    """The parameters; when they are there and what is believed of them, where a study says such."""
    columns, rows = ["parameter", "type", "values"], [_range(name, item) for name, item in space.items()]
    conditions = [
        ", ".join(f"{name}: {_condition(condition)}" for name, condition in (item.when or {}).items())
        for item in space.values()
    ]
    beliefs = ["" if (prior := prior_of(item)) is None else _belief(prior) for item in space.values()]
    for column, cells in (("only with", conditions), ("believed good", beliefs)):
        if any(cells):
            columns.append(column)
            rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    return page.table(columns, rows)


def _condition(condition: Condition) -> str:
    if isinstance(condition, Range):
        return _between(condition.min, condition.max)
    return " or ".join(map(shown, condition if isinstance(condition, tuple) else (condition,)))


def _belief(prior: Prior) -> str:
    return " or ".join(map(shown, good_values(prior))) or _between(prior.min, prior.max)


def _between(low: Value, high: Value) -> str:
    if low is None or high is None:
        return f"up to {shown(high)}" if low is None else f"from {shown(low)}"
    return f"{shown(low)} … {shown(high)}"


def _metrics(objective: ObjectiveSpec) -> list[object]:
    told = ", ".join(f"{metric} ({direction})" for metric, direction in objective.searched.items())
    return ["metrics" if objective.has_several else "metric", told]


def _range(name: str, parameter: SpaceParameter) -> list[object]:
    if not isinstance(parameter, FloatParameter | IntParameter):
        return [name, parameter.type, _cut(", ".join(shown(value) for value in listed_values(parameter) or ()))]
    step = f", in steps of {parameter.step:g}" if parameter.step not in (None, 1) else ""
    log = ", logarithmic" if parameter.log else ""
    return [name, parameter.type, f"{parameter.low:g} … {parameter.high:g}{log}{step}"]


def _duration(seconds: float) -> str:
    """`1 h 05 min`, `12 min 30 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def _foot(summary: Summary) -> str:
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<footer>hpsearch {page.text(__version__)}, {made}, study's revision {summary.revision}</footer>"
