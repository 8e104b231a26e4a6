"""What is understood of studies: which parameters mattered, what came of the trials, and figures of it all. Only reads;
the work of each answer is bounded, also for a study of 100,000 trials."""

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from hpsearch.errors import Fault, InvalidInput, near
from hpsearch.figures import KINDS, Look
from hpsearch.figures.look import Curves, spread
from hpsearch.insights import METHODS, Ending, Front, Importances, Method, Summary
from hpsearch.search import importances as searched
from hpsearch.search.fronts import nearest
from hpsearch.search.table import STATES, Table
from hpsearch.service.answers import Answers
from hpsearch.service.earlier import agreements
from hpsearch.service.tables import Tables
from hpsearch.store import earlier, outcomes, studies
from hpsearch.store.database import Database
from hpsearch.studies import Study
from hpsearch.trials import TrialState

MOST_TOP = 100
MOST_FRONT = 1000
"""Trials of a front that are told."""
MOST_WEIGHT = 1e6
MOST_ENDINGS = 20
MOST_STEPS = 200
"""Of a learning curve."""
FORMS = ("figure", "data")
_NUMBERS_SHOWN = 5
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure, or its numbers."""

    content: Mapping[str, Any]
    """JSON."""
    revision: int
    keeps: bool
    """Whether it stays as it is until the study's revision changes."""


class Understanding:
    """Answers about studies. Thread-safe. Methods take up to seconds: not for threads that others wait for."""

    def __init__(self, database: Database, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._tables = tables
        self._answers = Answers(clock)

    def forget(self, study_id: int) -> None:
        """The study was deleted."""
        self._tables.forget(study_id)

    def importances(self, name: str, method: str = "ped_anova", metric: str | None = None) -> Importances:
        """Which parameters mattered to a metric, the first one where none is named. Raises `StudyNotFound`;
        `InvalidInput` for an unknown method or metric, or a method that needs scikit-learn where that is not
        installed."""
        if faults := _unknown("method", method, METHODS):
            raise InvalidInput(faults=faults)
        study = studies.read(self._database, name)
        wanted = _metric_of(study, metric)
        known: Method = next(item for item in get_args(Method) if item == method)
        return self._answers.get(
            (study.id, "importances", known, wanted),
            study.revision,
            lambda: searched.importances(self._tables.table(study).of(wanted), known),
        )

    def summary(self, name: str, count: int = 10) -> Summary:
        """The best trials, how the others ended, and how well earlier studies agree. Raises `StudyNotFound`,
        `InvalidInput`."""
        if not 1 <= count <= MOST_TOP:
            raise InvalidInput(faults=[Fault("count", f"must be from 1 to {MOST_TOP}, not {count}")])
        study = studies.read(self._database, name)
        return self._answers.get((study.id, "summary", count), study.revision, lambda: self._summed_up(study, count))

    def _summed_up(self, study: Study, count: int) -> Summary:
        table = self._tables.table(study)
        numbers = [int(number) for number in table.ranked()[:count]]
        with self._database.read() as tx:
            top = outcomes.trials_of(tx, study, numbers)
            found = earlier.of_study(tx, study.id) if study.spec.earlier else ()
        seconds = table.finished - table.started
        return Summary(
            study=study.name,
            revision=table.revision,
            top=tuple(top),
            endings=tuple(endings_of(table)),
            compute_seconds=float(np.nansum(np.clip(seconds, 0, None))),
            workers=len(table.worker_names),
            earlier=agreements(found, table),
        )

    def front(self, name: str, weights: Mapping[str, float]) -> Front:
        """The Pareto front, and the trial to take by weights. Raises `StudyNotFound`; `InvalidInput` for an unknown
        metric, and for weights that are negative, not finite or all 0."""
        study = studies.read(self._database, name)
        metrics = study.spec.objective.searched
        _check_weights(weights, metrics)
        whole = {metric: float(weights.get(metric, 1.0)) for metric in metrics}
        key = (study.id, "front", *whole.values())
        return self._answers.get(key, study.revision, lambda: self._front(study, whole))

    def _front(self, study: Study, weights: dict[str, float]) -> Front:
        table = self._tables.table(study)
        front, complete = table.front(), table.complete()
        shown = spread(front, MOST_FRONT)
        chosen = None
        if len(front):
            chosen = int(front[nearest(table.losses(front), list(weights.values()))])
            if chosen not in shown:  # in the place of one from the middle
                shown = front[np.isin(front, np.append(np.delete(shown, len(shown) // 2), chosen))]
        with self._database.read() as tx:
            trials = outcomes.trials_of(tx, study, [int(number) for number in shown])
        return Front(
            study=study.name,
            revision=table.revision,
            metrics=dict(study.spec.objective.searched),
            trials=tuple(trials),
            size=len(front),
            of=int((~table.infeasible[complete]).sum()),
            weights=weights,
            chosen=chosen,
        )

    def figure(
        self,
        name: str,
        kind: str,
        parameters: Sequence[str] = (),
        form: str = "figure",
        metric: str | None = None,
        method: str | None = None,
    ) -> Drawing:
        """A figure of a study: a Plotly figure, or (`form` is "data") the numbers in it.

        `parameters` are those to show, the most important ones where none is named; `metric` is the one to look at, the
        first where none is named; `method` says by what parameters are important, PED-ANOVA where none is named. Raises
        `StudyNotFound`, `InvalidInput` with the near name for an unknown kind, form, parameter, metric or method, and
        for a metric or a method by which there is no such figure.
        """
        kind = kind.replace("-", "_")
        faults = [*_unknown("kind", kind, KINDS), *_unknown("form", form, FORMS)] or _method_faults(kind, method)
        if faults:
            raise InvalidInput(faults=faults)
        by = method or METHODS[0]
        study = studies.read(self._database, name)
        wanted = _metric_of(study, metric, kind)
        table = self._tables.table(study).of(wanted)
        _check_parameters(table, kind, parameters)
        look = Look(
            table=table,
            parameters=tuple(parameters),
            importances=lambda: self.importances(name, by, wanted),
            curves=lambda numbers: self._curves(study, numbers),
        )
        # what follows reports is old as soon as it is drawn, unless the study has ended
        keeps = study.state.has_ended or not KINDS[kind].follows_reports
        data = (
            self._answers.get(
                (study.id, "figure", kind, by, wanted, *parameters), table.revision, lambda: KINDS[kind].data(look)
            )
            if keeps
            else KINDS[kind].data(look)
        )
        about = {"study": study.name, "kind": kind, "revision": table.revision}
        if form == "data":
            return Drawing({**about, "data": data}, table.revision, keeps)
        figure = KINDS[kind].draw(data)
        figure["layout"]["meta"] = about
        return Drawing(figure, table.revision, keeps)

    def _curves(self, study: Study, numbers: Sequence[int]) -> Curves:
        with self._database.read() as tx:
            return outcomes.curves_of(tx, study.id, numbers, MOST_STEPS)


def _check_weights(weights: Mapping[str, float], metrics: Mapping[str, str]) -> None:
    """Raises `InvalidInput`."""
    faults = []
    for metric, weight in weights.items():
        faults += _unknown(f"weight.{metric}"[:100], metric, metrics)
        if not (math.isfinite(weight) and 0 <= weight <= MOST_WEIGHT):
            faults.append(Fault(f"weight.{metric}"[:100], f"must be from 0 to {MOST_WEIGHT:g}, not {weight:g}"))
    if not faults and not any(weights.get(metric, 1.0) for metric in metrics):
        faults.append(Fault("weight", "must be above 0 for one metric at least"))
    if faults:
        raise InvalidInput(faults=faults)


def _unknown(path: str, name: str, known: Iterable[str]) -> list[Fault]:
    names = list(known)
    if name in names:
        return []
    return [Fault(path, f"{name[:80]!r} is not known; known: {', '.join(names)}", near(name, names))]


def _method_faults(kind: str, method: str | None) -> list[Fault]:
    """What is wrong with the method that a kind of figure is asked for by."""
    if method is None:
        return []
    if kind != "importances" and KINDS[kind].parameters is None:
        return [Fault("method", f"{kind} looks at no importances: leave it out")]
    return _unknown("method", method, METHODS)


def _metric_of(study: Study, metric: str | None, kind: str | None = None) -> str:
    """The metric that is asked for, for a kind of figure where one is named. Raises `InvalidInput`."""
    first, *_ = metrics = list(study.spec.objective.searched)
    if metric is None:
        return first
    faults = _unknown("metric", metric, metrics)
    if not faults and kind is not None:
        if KINDS[kind].metric == "none":
            faults.append(Fault("metric", f"{kind} is of no metric in particular: leave it out"))
        elif KINDS[kind].metric == "first" and metric != first:
            faults.append(Fault("metric", f"{kind} are of {first[:80]!r} alone: trials report the first metric"))
    if faults:
        raise InvalidInput(faults=faults)
    return metric


def _check_parameters(table: Table, kind: str, parameters: Sequence[str]) -> None:
    """Raises `InvalidInput`."""
    most, names = KINDS[kind].parameters, [dimension.name for dimension in table.dimensions]
    faults = []
    if parameters and most is None:
        faults.append(Fault("parameter", f"{kind} shows no parameters to choose from"))
    elif most is not None and len(parameters) > most:
        faults.append(Fault("parameter", f"at most {most} fit into {kind}, not {len(parameters)}"))
    elif kind in ("contour", "ranks") and len(parameters) == 1:
        faults.append(Fault("parameter", f"{kind} needs two, not one"))
    for place, name in enumerate(parameters):
        faults += _unknown(f"parameter.{place}", name, names)
        if name in parameters[:place]:
            faults.append(Fault(f"parameter.{place}", f"{name!r} is there already"))
    if faults:
        raise InvalidInput(faults=faults)


def endings_of(table: Table) -> Sequence[Ending]:
    """Trials that ended other than complete, those of one kind of reason together; the most frequent first."""
    kinds = [None if text is None else _NUMBER.sub("#", text) for text in (*table.reason_texts, None)]
    groups: dict[tuple[TrialState, str | None], list[int]] = {}
    ended = (TrialState.PRUNED, TrialState.FAILED, TrialState.CANCELLED)
    for number in np.flatnonzero(np.isin(table.states, [STATES.index(state) for state in ended])):
        key = STATES[table.states[number]], kinds[table.reasons[number]]
        groups.setdefault(key, []).append(int(number))
    found = [
        Ending(
            state=state, reason=_reason(table, numbers[0]), count=len(numbers), numbers=tuple(numbers[:_NUMBERS_SHOWN])
        )
        for (state, _), numbers in groups.items()
    ]
    return sorted(found, key=lambda ending: -ending.count)[:MOST_ENDINGS]


def _reason(table: Table, number: int) -> str | None:
    code = table.reasons[number]
    return None if code < 0 else table.reason_texts[code]
