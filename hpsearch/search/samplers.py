"""Suggestions: history in, parameters out."""

import hashlib
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler as OptunaRandomSampler
from optuna.samplers import TPESampler as OptunaTPESampler
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpsearch.search.history import History, HistoryStorage, running_trial
from hpsearch.spec import RandomSampler, StudySpec, TPESampler
from hpsearch.trials import Parameters, Suggestion


def suggest(history: History, fixed: Sequence[Parameters]) -> list[Suggestion]:
    """Parameters of the next trials, one for each item of `fixed`.

    `fixed` holds parameters that are settled already (mostly none). Each suggestion sees those before it as running.
    The same history, numbers and study seed give the same suggestions.
    """
    spec = history.spec
    directions = [StudyDirection[spec.objective.direction.upper()]]
    storage = HistoryStorage(history.trials, directions, spec.name)
    suggestions = []
    for number, settled in enumerate(fixed, start=len(history)):
        trial = running_trial(number, dict(settled), history.distributions)
        study = OptunaStudy(spec.name, storage, sampler=_sampler(spec, number))
        parameters = _sample(study, trial, history.distributions, settled, spec)
        storage.add(running_trial(number, parameters, history.distributions))
        suggestions.append(Suggestion(parameters, storage.attributes.get(number, {})))
    return suggestions


def _sample(
    study: OptunaStudy,
    trial: FrozenTrial,
    distributions: dict[str, BaseDistribution],
    settled: Parameters,
    spec: StudySpec,
) -> dict[str, Any]:
    """What `optuna.Trial` does on `suggest_*`, without the writes in between."""
    sampler = study.sampler
    free = {name: item for name, item in distributions.items() if name not in settled and not item.single()}
    sampler.before_trial(study, trial)
    joint = free if isinstance(spec.sampler, TPESampler) and spec.sampler.multivariate else {}
    relative = sampler.sample_relative(study, trial, joint) if joint else {}
    parameters: dict[str, Any] = {}
    for name, distribution in distributions.items():
        if name in settled:
            parameters[name] = settled[name]
        elif name in relative:
            parameters[name] = relative[name]
        elif distribution.single():
            parameters[name] = distribution.to_external_repr(_only_value(distribution))
        else:
            parameters[name] = sampler.sample_independent(study, trial, name, distribution)
    return parameters


def _only_value(distribution: BaseDistribution) -> float:
    """The internal representation of the one value of a distribution of a single value."""
    return float(getattr(distribution, "low", 0))  # a categorical one: its choice's index


def _sampler(spec: StudySpec, number: int) -> BaseSampler:
    """A fresh sampler, seeded by the study's seed and the trial's number: no state to lose in a restart."""
    digest = hashlib.sha256(f"hpsearch sampler {spec.seed} {number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    match spec.sampler:
        case RandomSampler():
            return OptunaRandomSampler(seed=seed)
        case TPESampler() as options:
            return OptunaTPESampler(
                seed=seed,
                n_startup_trials=options.startup_trials,
                multivariate=options.multivariate,
                constant_liar=options.constant_liar,
            )
