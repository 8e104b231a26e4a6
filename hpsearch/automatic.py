"""What `auto` stands for: a sampler and a pruner, chosen from what a study says of itself.

The rules were made by looking at the four tasks of `CHOSEN_ON` in `tests.benchmarks.search`, with few seeds, and partly
by judgement. Of the other curves the first rung of version 2 was seen with 40 trials; version 3 was made by looking at
the grids, and at every other table of `HELD_OUT` for `PROCESS_SHARE`. A pure function of the spec, whose `version`
names the rules, and of how far the search is: what was chosen is on record with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from hpsearch.pruner_spec import AnyPruner, ASHAPruner, MedianPruner, NoPruner
from hpsearch.sampler_spec import (
    AutoSampler,
    BruteForceSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    SamplerSpec,
    TPESampler,
)
from hpsearch.spec import AutoPruner, PrunerSpec, StudySpec

EPOCHS = ("max_epochs", "epochs", "n_epochs", "max_steps", "num_epochs")
"""Settings that commonly say how many steps a trial reports."""
RUNGS_FROM = 30
"""The first rung is at a trial's end divided by this, and never before the first step."""
RUNGS_FROM_OF_FEW = 10
"""The same where a budget counts few trials (version 2): each is worth more then, and a misleading start costs less."""
FEW_TRIALS = 300
BREADTH = 1000
"""Where rungs make trials cheap and a budget bounds time or many trials (version 2): so many are drawn before a model
is trusted. Breadth is hard to beat there, as a model's trials are alike and most go on to their end."""
BREADTH_EXPLORATION = 0.8
BROAD_REDUCTION = 4
"""One in so many goes on from a rung then."""
SMALL_BUDGET = 10
STARTUP = 10
STARTUP_A_PARAMETER = 6
"""Where rungs make trials cheap: so many more are drawn before a model is trusted."""
MOST_STARTUP = 100
EXPLORATION = 0.5
"""Where rungs make trials cheap. On flat ground a model follows noise: chance with rungs is hard to beat there."""
PROCESS_TRIALS = 200
"""Without rungs a Gaussian process draws among the first so many finished trials (version 3): it makes more of few than
`tpe`, with 64 workers no less than with one, and then takes a third of a second a point; `tpe` is as quick after
100,000. Beside rungs neither is ahead of the other."""
PROCESS_SHARE = 1 / 3
"""So much of them it draws (after the start, of one metric), `tpe` the others. It is far ahead on some tables; on
others it keeps looking into corners, which cost most besides. Where it is ahead a third does as well as all."""
_GOLDEN = (5**0.5 - 1) / 2
MOST_PROCESS_PARAMETERS = 40
MOST_PROCESS_PARALLEL = 100
"""It keeps points apart from so many trials that run, and draws few a second."""
PROCESS_STARTUP = (4, 10)
"""Trials before it, at least and at most: one a parameter."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is."""

    finished: int = 0
    """Trials that are complete, pruned or paused."""
    running: int = 0
    """Trials that run or wait."""


BEGINNING = Progress()


class Choice(BaseModel):
    """What searches a study."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    sampler: SamplerSpec
    """The study's own, or what `auto` stands for."""
    pruner: PrunerSpec
    """The study's own, or what `auto` stands for."""
    reasons: tuple[str, ...] = ()
    """Why, where it was left to hpsearch."""


def sampler_of(spec: StudySpec, progress: Progress = BEGINNING) -> SamplerSpec:
    """The study's own sampler, or what `auto` stands for by then."""
    return _sampler(spec, progress)[0]


def next_sampler_of(spec: StudySpec, progress: Progress) -> SamplerSpec:
    """What draws the next trial: where `auto` stands for `gp`, by turns with `tpe`."""
    sampler = sampler_of(spec, progress)
    if not (isinstance(spec.sampler, AutoSampler) and isinstance(sampler, GPSampler)):
        return sampler
    if spec.objective.has_several or progress.finished < sampler.startup_trials:
        return sampler
    # multiples of the golden ratio: even for those too who ask for two or three at a time
    if (progress.finished + progress.running) * _GOLDEN % 1 < PROCESS_SHARE:
        return sampler
    return _beside_process(spec, spec.sampler.version, has_rungs=False)[0]


def pruner_of(spec: StudySpec) -> AnyPruner:
    """The study's own pruner, or what `auto` stands for."""
    return _pruner(spec)[0]


def choice_of(spec: StudySpec, progress: Progress = BEGINNING) -> Choice:
    """Both, and why, where they were left to hpsearch."""
    sampler, why = _sampler(spec, progress)
    pruner, because = _pruner(spec)
    return Choice(sampler=sampler, pruner=pruner, reasons=tuple(filter(None, (why, because))))


def _sampler(spec: StudySpec, progress: Progress) -> tuple[SamplerSpec, str]:
    """And why, where it was left to hpsearch."""
    if isinstance(spec.sampler, AutoSampler):
        return _sampler_for(spec, spec.sampler.version, progress)
    return spec.sampler, ""


def _pruner(spec: StudySpec) -> tuple[AnyPruner, str]:
    """And why, where it was left to hpsearch."""
    return _pruner_for(spec, spec.pruner.version) if isinstance(spec.pruner, AutoPruner) else (spec.pruner, "")


def _sampler_for(spec: StudySpec, version: int, progress: Progress) -> tuple[SamplerSpec, str]:
    has_rungs = isinstance(pruner_of(spec), ASHAPruner)
    suits = version > 2 and not has_rungs and _suits_a_process(spec)
    is_over = progress.finished >= PROCESS_TRIALS
    if suits and not is_over and progress.running <= MOST_PROCESS_PARALLEL:
        return _process(spec)
    sampler, why = _beside_process(spec, version, has_rungs)
    if not suits:
        return sampler, why
    if is_over:
        return sampler, f"{why}; gp had the first {PROCESS_TRIALS} trials"
    return sampler, f"{why}; gp would not keep up with more than {MOST_PROCESS_PARALLEL} trials at a time"


def _suits_a_process(spec: StudySpec) -> bool:
    """Whether a Gaussian process can search it, and has trials to learn from."""
    budget = spec.budget.trials
    return (
        0 < len(spec.space) <= MOST_PROCESS_PARAMETERS
        and (budget is None or budget > SMALL_BUDGET)
        and not spec.earlier
    )


def _process(spec: StudySpec) -> tuple[SamplerSpec, str]:
    least, most = PROCESS_STARTUP
    startup = min(max(least, len(spec.space)), most)
    if spec.objective.has_several:
        how = "then where a Gaussian process expects most, by weights of the metrics that are drawn for each"
    else:
        how = "then one in three where a Gaussian process expects most, the others by tpe"
    return GPSampler(startup_trials=startup, startup="quasi_random"), (
        f"gp: {startup} quasi-random trials first, {how}; from {PROCESS_TRIALS} finished trials on tpe alone, which "
        f"many do not slow down"
    )


def _beside_process(spec: StudySpec, version: int, has_rungs: bool) -> tuple[SamplerSpec, str]:
    """Where a Gaussian process is not, or no longer, what searches."""
    size, budget = spec.size, spec.budget.trials
    if spec.space and size is not None and budget is not None and size <= budget:
        enough = f"{budget} trials are enough for all {size} configurations"
        if version == 1:
            return BruteForceSampler(), f"brute_force: {enough}"
        return _tpe(version, STARTUP), f"tpe: {enough}; each comes once, and those first that promise most"
    if budget is not None and budget <= SMALL_BUDGET:
        return _of_very_few(spec, version)
    if has_rungs:
        return _beside_rungs(spec, version)
    return _tpe(version, STARTUP), (
        f"tpe: {STARTUP} quasi-random trials first, then by a model of the good and the bad ones"
    )


def _of_very_few(spec: StudySpec, version: int) -> tuple[SamplerSpec, str]:
    few = f"{spec.budget.trials} trials are too few to learn from"
    if spec.earlier:
        return _tpe(version, STARTUP), f"tpe: {few}, but the earlier studies say where to begin"
    if version > 1 and spec.is_countable:  # qmc might come to a configuration again
        return _tpe(version, STARTUP), f"tpe: {few}, so they are spread evenly, and no configuration comes twice"
    return QMCSampler(), f"qmc: {few}, so they are spread evenly"


def _beside_rungs(spec: StudySpec, version: int) -> tuple[SamplerSpec, str]:
    """Where rungs make trials cheap."""
    budget = spec.budget.trials
    startup, exploration = BREADTH, BREADTH_EXPLORATION
    if version == 1 or _counts_few(spec):
        startup, exploration = min(max(STARTUP, STARTUP_A_PARAMETER * len(spec.space)), MOST_STARTUP), EXPLORATION
        startup = startup if budget is None else max(STARTUP, min(startup, budget // 4))
    return _tpe(version, startup, multivariate=False, exploration=exploration), (
        f"tpe: {startup} quasi-random trials first, which rungs make cheap; then by a model of the good and the bad, "
        f"pruned ones among them by their last value; {exploration:.0%} stay at random, to find a misled model out"
    )


def _tpe(version: int, startup: int, multivariate: bool = True, exploration: float = 0.0) -> TPESampler:
    return TPESampler(
        startup_trials=startup,
        startup="quasi_random",
        multivariate=multivariate,
        exploration=exploration,
        rank_pruned_by="value",
        duplicates=version == 1,
    )


def _counts_few(spec: StudySpec) -> bool:
    return spec.budget.trials is not None and spec.budget.trials <= FEW_TRIALS


def _pruner_for(spec: StudySpec, version: int) -> tuple[AnyPruner, str]:
    settings = spec.objective.settings
    if isinstance(spec.sampler, GridSampler):
        return NoPruner(), "none: a grid is there to have a value of every point"
    if spec.objective.has_several:
        return NoPruner(), "none: what is hopeless by the first metric may be best by another"
    if any(_whole(settings, name) > 1 for name in ("folds", "repeats")):
        return MedianPruner(), "median: the steps are folds and repeats, which are too few for rungs"
    name, epochs = next(((name, _whole(settings, name)) for name in EPOCHS if _whole(settings, name)), ("", 0))
    if not epochs:
        return MedianPruner(), "median: how many steps a trial has is not said (max_epochs), so rungs cannot be laid"
    if epochs < 3:
        return NoPruner(), f"none: {name} is {epochs}, there is little to save"
    pruner = _rungs(spec, version, epochs)
    return pruner, (
        f"asha: {name} is {epochs}, so the first rung is at step {pruner.min_resource}, and one in "
        f"{pruner.reduction_factor} goes on from a rung"
    )


def _rungs(spec: StudySpec, version: int, epochs: int) -> ASHAPruner:
    if version == 1:
        return ASHAPruner(min_resource=max(1, epochs // RUNGS_FROM))
    end = None if version == 2 else epochs  # a trial that came to its end is not pruned there
    if _counts_few(spec):
        return ASHAPruner(min_resource=max(1, epochs // RUNGS_FROM_OF_FEW), max_resource=end)
    return ASHAPruner(min_resource=max(1, epochs // RUNGS_FROM), max_resource=end, reduction_factor=BROAD_REDUCTION)


def _whole(settings: Mapping[str, object], name: str) -> int:
    """A setting that is a whole number; 0 for any other."""
    value = settings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
