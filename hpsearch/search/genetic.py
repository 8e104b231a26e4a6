"""NSGA-II (Deb et al. 2002) and NSGA-III (Deb and Jain 2014) by Optuna's samplers, over a view of the history."""

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler as OptunaNSGAIIISampler
from optuna.samplers import NSGAIISampler as OptunaNSGAIISampler
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.sampler_spec import NSGA2Sampler, NSGA3Sampler
from hpsearch.search.chance import random_points
from hpsearch.search.distributions import distributions_of
from hpsearch.search.feasible import is_feasible
from hpsearch.search.history import History
from hpsearch.search.space import Floats

CHILDREN = 10
"""Bred at most, where they violate a constraint over parameters."""
_APART = 0x9E3779B1
_MEMORY = "genetic"
OptunaSampler = OptunaNSGAIISampler | OptunaNSGAIIISampler


@dataclass(slots=True)
class _Shown:
    """What the sampler sees, after the first `read` lessons."""

    read: int = 0
    members: Counter[int] = field(default_factory=Counter)
    trials: list[FrozenTrial] = field(default_factory=list)
    generation: int = 0
    """Whose parents are chosen."""
    study_attributes: dict[str, Any] = field(default_factory=dict)


def draw(
    history: History, options: NSGA2Sampler | NSGA3Sampler, number: int, count: int, seed: int
) -> tuple[list[Floats], list[dict[str, Any]]]:
    """Points of the trials from `number` on, and the generation that each belongs to."""
    view = HistoryStorage(history, options.population, _sampler(options, seed)._get_generation_key())
    points, attributes = [], []
    for turn in range(count):
        for again in range(CHILDREN):
            point = _child(history, options, view, number + turn, seed + turn + _APART * again)
            if is_feasible(history, history.space.without_inactive(point[None]))[0]:
                break
        points.append(point)
        attributes.append(view.written.get(number + turn, {}))
    return points, attributes


def _sampler(options: NSGA2Sampler | NSGA3Sampler, seed: int) -> OptunaSampler:
    common: dict[str, Any] = {
        "population_size": options.population,
        "mutation_prob": options.mutation,
        "crossover_prob": options.crossover,
        "seed": seed % 2**32,
    }
    if isinstance(options, NSGA3Sampler):
        with warnings.catch_warnings():  # its interface may change: we pin Optuna's minor version
            warnings.simplefilter("ignore", ExperimentalWarning)
            return OptunaNSGAIIISampler(**common, dividing_parameter=options.divisions)
    return OptunaNSGAIISampler(**common)


def _child(
    history: History, options: NSGA2Sampler | NSGA3Sampler, view: "HistoryStorage", number: int, seed: int
) -> Floats:
    sampler = _sampler(options, seed)
    study = OptunaStudy(history.spec.name, view, sampler=sampler)
    trial = _trial(number, OptunaState.RUNNING)
    # Optuna orders parents in one way as it chooses them and in another once it knows them: let it know them first
    generation = sampler.get_trial_generation(study, trial)
    view.choose_parents(study, options, history.spec.seed, generation)
    found = sampler.sample_relative(study, trial, view.searched)
    for name, distribution in view.searched.items():
        if name not in found:
            found[name] = sampler.sample_independent(study, trial, name, distribution)
    whole = {dimension.name: dimension.value(dimension.low) for dimension in history.space.dimensions} | found
    return np.array(history.space.point(whole), dtype=np.float64)


class HistoryStorage(BaseStorage):
    """A history as Optuna's storage, for the time of a call: what a sampler writes about trials is caught in
    `written`, and what it keeps of the study (parents that it can find again) in the history's memory.

    Of each generation it shows as many trials as the population has, those that were told first: a straggler would
    change the parents that others have been bred from.
    """

    def __init__(self, history: History, population: int, generation_key: str) -> None:
        self._history = history
        distributions = distributions_of(history.spec.space)
        self.searched = {name: item for name, item in distributions.items() if not item.single()}
        self.written: dict[int, dict[str, Any]] = {}
        shown: _Shown = history.memory.setdefault(_MEMORY, _Shown())
        self._shown = shown
        for number in history.lessons[shown.read :]:
            generation = history.attributes.get(number, {}).get(generation_key)
            if generation is not None and shown.members[generation] < population:
                shown.members[generation] += 1
                shown.trials.append(self._complete_trial(number))
        shown.read = len(history.lessons)
        self._study_attributes, self._trials = shown.study_attributes, shown.trials

    def choose_parents(
        self, study: OptunaStudy, options: NSGA2Sampler | NSGA3Sampler, seed: int, generation: int
    ) -> None:
        """Let the parents of all generations up to this one be known. NSGA-III draws some of them by lot: from a seed
        of the generation's own, so that a restart draws the same."""
        for number in range(self._shown.generation + 1, generation + 1):
            _sampler(options, seed * 1_000_003 + number).get_parent_population(study, number)
            self._shown.generation = number

    def _complete_trial(self, number: int) -> FrozenTrial:
        history = self._history
        parameters = history.space.parameters(self._genes(number), {})
        losses = np.minimum(history.every_loss[number], sys.float_info.max)  # of what diverged
        values = (losses * history.spec.objective.signs).tolist()
        broken = zip(history.spec.constraints, history.violations[number], strict=True)
        attributes = history.attributes.get(number, {}) | {f"constraints:{text}": float(by) for text, by in broken}
        return _trial(number, OptunaState.COMPLETE, parameters, self.searched, values, attributes)

    def _genes(self, number: int) -> Floats:
        """A trial's point; where it lacks a dimension, one that chance gives it, to be passed on to children that have
        the dimension."""
        point = self._history.points[number]
        return np.asarray(np.where(np.isnan(point), random_points(self._history, number, 1)[0], point))

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._history.spec.name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection[way.upper()] for way in self._history.spec.objective.searched.values()]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return dict(self._study_attributes)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study_attributes[key] = value

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return next(trial for trial in self._trials if trial._trial_id == trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.written.setdefault(trial_id, {})[key] = value

    def _unsupported(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError("a sampler wrote to the history of a study")

    create_new_study = delete_study = set_study_user_attr = _unsupported
    get_study_user_attrs = get_all_studies = create_new_trial = set_trial_param = _unsupported
    set_trial_state_values = set_trial_intermediate_value = set_trial_user_attr = _unsupported


def _trial(
    number: int,
    state: OptunaState,
    parameters: dict[str, Any] | None = None,
    distributions: dict[str, Any] | None = None,
    values: Sequence[float] | None = None,
    attributes: dict[str, Any] | None = None,
) -> FrozenTrial:
    """A trial as Optuna has it; its id is its number."""
    searched = distributions or {}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        values=values,
        datetime_start=None,
        datetime_complete=None,
        params={name: value for name, value in (parameters or {}).items() if name in searched},
        distributions=searched,
        user_attrs={},
        system_attrs=attributes or {},
        intermediate_values={},
    )
