"""Studies made of others: another space, and the trials that are of it too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.conditions import unmet, without_inactive
from hpsearch.earlier import Found
from hpsearch.errors import Fault, StudyExists
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.parameters import problem_with
from hpsearch.sampler_spec import GridSampler
from hpsearch.search.distributions import configuration_faults
from hpsearch.service import life
from hpsearch.service.checks import difference
from hpsearch.service.extending import extended
from hpsearch.spec import StudySpec
from hpsearch.store import earlier as kept
from hpsearch.store import studies, trials
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, new_trial
from hpsearch.store.rows import violations_of
from hpsearch.studies import Clone, Study
from hpsearch.trials import DIVERGED, Parameters, Scalar, Trial, TrialState

_NOTHING = object()


def described(source: StudySpec, raw: object, name: str) -> object:
    """The new study's description: the given one, or the first study's, under its own name."""
    if raw is None:
        raw = source.model_dump(mode="json")
    return {**raw, "name": name} if isinstance(raw, Mapping) else raw


def faults(source: StudySpec, raw: object, info: ObjectiveInfo | None) -> Iterator[Fault]:
    """Why trials of one study say nothing of the other. Silent on what is not even of the right shape."""
    study = raw if isinstance(raw, Mapping) else {}
    if study.get("name") == source.name:
        yield Fault("name", "must be another than the first study's")
    objective = study.get("objective")
    objective = objective if isinstance(objective, Mapping) else {}
    several = source.objective.has_several or objective.get("metrics") is not None
    alike = [("metrics", None)] if several else [("metric", "value"), ("direction", None)]
    for part, default in [("name", None), *alike]:
        present, wanted = getattr(source.objective, part), objective.get(part, default)
        in_order = [list(item) if isinstance(item, Mapping) else None for item in (present, wanted)]
        if wanted != present or in_order[0] != in_order[1]:
            yield Fault(f"objective.{part}", f"must be {present!r} as in {source.name!r}, not {wanted!r}")
    sampler = study.get("sampler")
    if isinstance(sampler, Mapping) and sampler.get("name") == "grid":
        yield Fault("sampler.name", "must be another: a grid visits every point itself")
    settings, space = objective.get("settings") or {}, study.get("space") or {}
    if isinstance(settings, Mapping) and isinstance(space, Mapping):
        yield from _setting_faults(source, settings, space, defaults_of(info))


def _setting_faults(
    source: StudySpec, settings: Mapping[str, Any], space: Mapping[str, Any], defaults: Parameters
) -> Iterator[Fault]:
    """What is fixed in both must be fixed alike: trials on other data, say, are no trials of this study."""
    before = {**defaults, **source.objective.settings}
    after = {**defaults, **settings}
    for name in sorted(map(str, before.keys() | after.keys())):
        if name in source.space or name in space:
            continue  # looked at trial by trial
        if not _same(before.get(name, _NOTHING), after.get(name, _NOTHING)):
            was = repr(before[name]) if name in before else "not given"
            problem = f"must be as in {source.name!r}, where it is {was}: its trials say nothing of others"
            yield Fault(f"objective.settings.{name}", problem)


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def defaults_of(info: ObjectiveInfo | None) -> Parameters:
    """Of the parameters that have one."""
    return {} if info is None else {item.name: item.default for item in info.parameters if not item.required}


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a trial's parameters look in another space."""

    source: Parameters
    """What was fixed for all trials of the first study, or a default."""
    target: StudySpec
    fixed: Parameters
    """The same of the new study."""

    def parameters(self, found: Parameters) -> Parameters | None:
        """The parameters of the new space, in its order; None where the trial is none of its."""
        before = {**self.source, **found}
        if any(
            not _same(found[name], self.fixed.get(name, _NOTHING)) for name in found.keys() - self.target.space.keys()
        ):
            return None
        space = self.target.space
        known = {name: before[name] for name in space if name in before}
        if any(problem_with(space[name], value) for name, value in known.items()):
            return None
        active = without_inactive(space, {**dict.fromkeys(space), **known})
        if active.keys() - known.keys() or (found.keys() & space.keys()) - active.keys():
            return None
        return None if configuration_faults(self.target, active, "") else active


class Cloning:
    """One study on its way to be made of another."""

    def __init__(
        self,
        source: Study,
        spec: StudySpec,
        info: ObjectiveInfo | None,
        found: Iterable[Trial],
        earlier: Sequence[Found],
        *,
        counted: bool,
    ) -> None:
        defaults = defaults_of(info)
        fit = _Fit({**defaults, **source.spec.objective.settings}, spec, {**defaults, **spec.objective.settings})
        self._source = source
        self._spec = spec
        self._earlier = earlier
        self._counted = counted
        self._copies: list[tuple[Trial, Parameters]] = []
        self._outside = self._unfinished = 0
        for trial in found:
            parameters = fit.parameters(trial.parameters)
            if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) and not trial.diverged:
                self._unfinished += 1
            elif parameters is None:
                self._outside += 1
            else:
                self._copies.append((trial, parameters))

    @property
    def _request(self) -> str:
        """By which copies are known: an id is never given to two studies."""
        return f"clone:{self._source.id}"

    def make(self, tx: Transaction) -> Clone:
        """Make it. Raises `sqlalchemy.exc.IntegrityError` where the name is taken: see `found` then."""
        studies.create(tx, self._with_budget(len(self._copies)))
        study = studies.lock(tx, self._spec.name)
        kept.keep(tx, study.id, self._earlier)
        for trial, parameters in self._copies:
            self._copy(tx, study, trial, parameters)
        # what the first study had found is confirmed there; with new trials, this one's best is confirmed here
        return self._answer(life.save(tx, study, confirms=False), len(self._copies))

    def found(self, tx: Transaction) -> Clone:
        """The study that has the name, where it was made just so. Raises `StudyExists`."""
        study = studies.lock(tx, self._spec.name)
        copied = len(trials.of_request(tx, study, self._request))
        wanted = self._with_budget(copied)
        if study.spec != wanted:
            what = difference(study.spec, wanted)
            raise StudyExists(f"study {study.name!r} exists with another description: {what}")
        return self._answer(study.save(), copied)

    def _with_budget(self, copied: int) -> StudySpec:
        """The budget counts new trials alone, unless told otherwise; it is never less than what is there."""
        budget = self._spec.budget.trials
        if budget is None or isinstance(self._spec.sampler, GridSampler):
            return self._spec
        return extended(self._spec, max(budget, copied) if self._counted else budget + copied)

    def _copy(self, tx: Transaction, study: LockedStudy, trial: Trial, parameters: Parameters) -> None:
        values = {
            "state": trial.state.value,
            "parameters": dict(parameters),
            "sampler_attributes": {},
            "enqueued": True,
            "values": None if trial.values is None else list(trial.values),
            "metrics": dict(trial.metrics),
            "reason": self._reason(trial),
            "last_step": trial.last_step,
            "last_value": trial.last_value,
            "attempt": trial.attempt,
            "worker": trial.worker,
            "request_id": self._request,
            "started_at": None if trial.started_at is None else trial.started_at.timestamp(),
            "finished_at": None if trial.finished_at is None else trial.finished_at.timestamp(),
        }
        made = new_trial(study, tx.now, values)
        study.add(made)
        if trial.state is TrialState.COMPLETE and trial.values and not violations_of(vars(made), study.spec):
            study.offer_best(made.number, trial.values[0])

    def _reason(self, trial: Trial) -> str:
        """Where a copy comes from. Of one that diverged the reason must still say so: samplers learn by it."""
        copied = f"copied from trial {trial.number} of {self._source.name}"
        if not trial.diverged:
            return copied
        _, _, how = (trial.reason or "").partition(":")
        return f"{DIVERGED}:{how}; {copied}" if how else f"{DIVERGED}: {copied}"

    def _answer(self, study: Study, copied: int) -> Clone:
        return Clone(study=study, copied=copied, outside=self._outside, unfinished=self._unfinished)


def best_configurations(target: StudySpec, best_first: Iterable[Trial], count: int) -> list[dict[str, Scalar]]:
    """Up to so many configurations that differ, of trials of another study from the best on; of each the parameters
    that are of this one's space."""
    chosen: list[dict[str, Scalar]] = []
    for trial in best_first:
        shared = {
            name: value
            for name, value in trial.parameters.items()
            if name in target.space and not problem_with(target.space[name], value)
        }
        while alone := [name for name in shared if any(unmet(target.space, shared, name))]:
            shared = {name: value for name, value in shared.items() if name not in alone}
        if shared and shared not in chosen and not configuration_faults(target, shared, ""):
            chosen.append(shared)
        if len(chosen) == count:
            break
    return chosen
