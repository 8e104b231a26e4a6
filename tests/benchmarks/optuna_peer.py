"""The peer: Optuna's own relational storage in process, as its users have it. What is measured runs in processes of its
own, so that nobody pays for another's memory."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Engine, func, select, text

from tests.benchmarks.databases import insert_rows, settle
from tests.benchmarks.load import Lives, Timings
from tests.benchmarks.workload import REPORTS, SPACE, draw, report_of, value_of

STUDY = "bowl"
PATIENCE = 300
"""Seconds after which a process of the peer's that says nothing is an error."""
T = TypeVar("T")
_SPAWN = multiprocessing.get_context("spawn")
_KEPT: list[optuna.Study] = []
"""In a process of `kept`."""


def apart(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN) as pool:
        return pool.submit(function, *arguments, **named).result()


def distributions() -> dict[str, BaseDistribution]:
    """The space in Optuna's words."""
    return {name: _distribution(dict(parameter)) for name, parameter in SPACE.items()}


def _distribution(parameter: dict[str, Any]) -> BaseDistribution:
    kind = parameter.pop("type")
    return {"float": FloatDistribution, "int": IntDistribution, "categorical": CategoricalDistribution}[kind](
        **parameter
    )


def _sampler(name: str) -> BaseSampler:
    return RandomSampler() if name == "random" else TPESampler()


def _load(url: str, sampler: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=STUDY, storage=RDBStorage(url), sampler=_sampler(sampler))


# --- trials in bulk --------------------------------------------------------------------------------------------------


def prepare(url: str, *, finished: int = 0, running: int = 0, reports: int = 20) -> None:
    """A study in a fresh database, with so many finished trials, and running ones with `reports` reports each."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name=STUDY, storage=RDBStorage(url), direction="minimize")
    fill(url, finished=finished, running=running, reports=reports)


def fill(url: str, *, finished: int = 0, running: int = 0, reports: int = 20) -> None:
    """More trials, put into Optuna's tables: through its API they would take hours."""
    engine = RDBStorage(url).engine
    with engine.connect() as connection:
        study_id = connection.execute(select(models.StudyModel.study_id)).scalar_one()
        first = connection.execute(select(func.count(models.TrialModel.trial_id))).scalar_one()
    numbers = range(first, first + finished + running)
    done = set(numbers[:finished])
    chance = random.Random(first)
    drawn = {number: draw(chance) for number in numbers}
    insert_rows(engine, models.TrialModel.__table__, (_trial(study_id, n, n in done) for n in numbers))
    insert_rows(engine, models.TrialParamModel.__table__, _parameters(drawn))
    insert_rows(engine, models.TrialValueModel.__table__, (_value(n, drawn[n]) for n in numbers if n in done))
    insert_rows(
        engine,
        models.TrialIntermediateValueModel.__table__,
        (_report(n, drawn[n], step) for n in numbers if n not in done for step in range(1, reports + 1)),
    )
    _follow_ids(engine, first + finished + running)
    settle(engine)


def _trial(study_id: int, number: int, done: bool) -> dict[str, Any]:
    now = models.datetime.datetime(2026, 1, 1)
    state = optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.RUNNING
    row = {"trial_id": number + 1, "number": number, "study_id": study_id, "state": state}
    return row | {"datetime_start": now, "datetime_complete": now if done else None}


def _parameters(drawn: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    known = {name: (item, distribution_to_json(item)) for name, item in distributions().items()}
    for number, parameters in drawn.items():
        for name, value in parameters.items():
            distribution, described = known[name]
            stored = {"param_name": name, "param_value": float(distribution.to_internal_repr(value))}
            yield {"trial_id": number + 1} | stored | {"distribution_json": described}


def _value(number: int, parameters: dict[str, Any]) -> dict[str, Any]:
    finite = models.TrialValueModel.TrialValueType.FINITE
    return {"trial_id": number + 1, "objective": 0, "value": value_of(parameters), "value_type": finite}


def _report(number: int, parameters: dict[str, Any], step: int) -> dict[str, Any]:
    finite = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    value = {"intermediate_value": report_of(value_of(parameters), step), "intermediate_value_type": finite}
    return {"trial_id": number + 1, "step": step} | value


def _follow_ids(engine: Engine, last: int) -> None:
    """PostgreSQL's own count of ids knows nothing of ids that were given."""
    if engine.dialect.name == "postgresql" and last:
        with engine.begin() as connection:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence('trials', 'trial_id'), :last)"), {"last": last}
            )


# --- what is measured ------------------------------------------------------------------------------------------------


@contextmanager
def kept(url: str) -> Iterator[Callable[[int], Timings]]:
    """A process that has read a study's history; the function asks, reports and tells in it so many times."""
    with ProcessPoolExecutor(1, mp_context=_SPAWN, initializer=_keep, initargs=(url,)) as pool:
        yield lambda repetitions: pool.submit(_ask_and_tell, repetitions).result()


def _keep(url: str) -> None:
    _KEPT.append(_load(url, "tpe"))


def _ask_and_tell(repetitions: int) -> Timings:
    study, space, timings = _KEPT[0], distributions(), Timings()
    for _ in range(repetitions):
        began = time.perf_counter()
        trial = study.ask(space)
        asked = timings.add("ask", began)
        value = value_of(trial.params)
        trial.report(value, 1)
        reported = timings.add("report", asked)
        study.tell(trial, value)
        told = timings.add("tell", reported)
        timings.seconds.setdefault("ask+tell", []).append(asked - began + told - reported)
    return timings


def live(url: str, sampler: str, processes: int, seconds: float) -> Lives:
    """Processes for a time: each asks, reports five times, tells, and again."""
    before, _ = _count(url)
    barrier, answers = _SPAWN.Barrier(processes), _SPAWN.Queue()
    work = (url, sampler, seconds, barrier, answers)
    started = [_SPAWN.Process(target=_live_apart, args=work, daemon=True) for _ in range(processes)]
    for process in started:
        process.start()
    lives = _together([answers.get(timeout=seconds + PATIENCE) for _ in started], seconds)
    for process in started:
        process.join()
    complete, numbers = _count(url)
    lives.exact = complete - before == len(lives.numbers) and numbers == complete
    return lives


def _together(all_lives: Sequence[Lives], seconds: float) -> Lives:
    lives = Lives(seconds=seconds)
    for one in all_lives:
        lives.timings.join(one.timings)
        lives.numbers += one.numbers
        lives.in_time += one.in_time
        lives.errors += one.errors
    return lives


def _count(url: str) -> tuple[int, int]:
    """Complete trials, and distinct numbers of trials that are complete."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trial = models.TrialModel
    complete = trial.state == optuna.trial.TrialState.COMPLETE
    engine = RDBStorage(url).engine
    with engine.connect() as connection:
        total = connection.execute(select(func.count(trial.trial_id)).where(complete)).scalar_one()
        numbers = connection.execute(select(func.count(trial.number.distinct())).where(complete)).scalar_one()
    engine.dispose()
    return total, numbers


def _live_apart(url: str, sampler: str, seconds: float, barrier: Any, answers: Any) -> None:
    lives = Lives()
    study, space = _load(url, sampler), distributions()
    study.get_trials(deepcopy=False)  # the history is read before the clock runs
    barrier.wait()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        try:
            _live_once(study, space, deadline, lives)
        except Exception:  # SQLite's lock, mostly: its users see it too
            lives.errors += 1
    answers.put(lives)


def _live_once(study: optuna.Study, space: dict[str, BaseDistribution], deadline: float, lives: Lives) -> None:
    began = time.perf_counter()
    trial = study.ask(space)
    at = lives.timings.add("claim", began)
    value = value_of(trial.params)
    for step in range(1, REPORTS + 1):
        trial.report(report_of(value, step), step)
        at = lives.timings.add("report", at)
    study.tell(trial, value)
    lives.numbers.append(trial.number)
    lives.in_time += lives.timings.add("tell", at) < deadline


def best(url: str, calls: int) -> Timings:
    """`study.best_trial`, after one that nobody counts."""
    study, timings = _load(url, "tpe"), Timings()
    for turn in range(-1, calls):
        began = time.perf_counter()
        _ = study.best_trial
        if turn >= 0:
            timings.add("poll", began)
    return timings


def start(url: str) -> float:
    """Seconds of `load_study` and the first `ask`, Optuna being imported already."""
    began = time.perf_counter()
    _load(url, "tpe").ask(distributions())
    return time.perf_counter() - began
