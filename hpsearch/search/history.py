"""A study's trials as Optuna's samplers want to see them, kept up to date with what changed."""

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.search.distributions import distributions_of
from hpsearch.spec import StudySpec
from hpsearch.trials import Trial, TrialState

_STATES = {
    TrialState.WAITING: OptunaState.RUNNING,  # its parameters are settled: for a sampler it is as good as running
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}


class History:
    """What a sampler knows of a study. Not thread-safe: one user at a time."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.distributions = distributions_of(spec.space)
        self.revision = 0
        """The newest change that is in here."""
        self._trials: dict[int, FrozenTrial] = {}

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def trials(self) -> list[FrozenTrial]:
        """By number."""
        return [self._trials[number] for number in sorted(self._trials)]

    def update(self, changes: Iterable[Trial]) -> None:
        """Take in trials that changed their state."""
        for trial in changes:
            self._trials[trial.number] = self._frozen(trial)
            self.revision = max(self.revision, trial.revision)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        state = _STATES[trial.state]
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=state,
            value=None,
            values=list(trial.values) if trial.values and state is OptunaState.COMPLETE else None,
            datetime_start=trial.started_at,
            datetime_complete=trial.finished_at,
            params=dict(trial.parameters),
            distributions=self.distributions,
            user_attrs={},
            system_attrs=dict(trial.sampler_attributes),
            # the newest report is all that a sampler looks at (of pruned trials)
            intermediate_values={} if trial.last_step is None else {trial.last_step: float(trial.last_value or 0.0)},
        )


class HistoryStorage(BaseStorage):
    """An `optuna.storages.BaseStorage` over one history, for the time of one suggestion: reads come from the history,
    what a sampler writes about its trial is caught in `attributes`. `trial_id` is the trial's number."""

    def __init__(self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], name: str) -> None:
        self._trials = list(trials)
        self._directions = list(directions)
        self._name = name
        self.attributes: dict[int, dict[str, Any]] = {}

    def add(self, trial: FrozenTrial) -> None:
        """Let the sampler see one more trial."""
        self._trials.append(trial)

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Any = None,
    ) -> list[FrozenTrial]:
        if states is None:
            return self._trials
        return [trial for trial in self._trials if trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return next(trial for trial in self._trials if trial._trial_id == trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.attributes.setdefault(trial_id, {})[key] = value

    def _unsupported(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError("a sampler wrote to the history of a study")

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _unsupported
    get_study_user_attrs = get_all_studies = create_new_trial = set_trial_param = _unsupported
    set_trial_state_values = set_trial_intermediate_value = set_trial_user_attr = _unsupported


def running_trial(number: int, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """A trial that is being suggested, as a sampler sees it."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=OptunaState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
