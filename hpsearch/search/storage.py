"""Our studies as an Optuna storage: what a plain Optuna script needs to join in."""

import copy
import json
import threading
import uuid
import weakref
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from pydantic import TypeAdapter

from hpsearch.errors import Conflict, HpsearchError, InvalidInput, LeaseLost, NotFound, StudyExists, TrialFinished
from hpsearch.optuna_port import Kind, OptunaPort, OptunaStudy, OptunaTrial
from hpsearch.parameters import SpaceParameter
from hpsearch.search.distributions import distributions_of

NUMBER_BITS = 26
"""A trial's id is its study's id and its number: 67 million trials a study, 134 million studies below 2**53."""
PAGE = 500
BEAT_SECONDS = 20.0

_SPACE: TypeAdapter[dict[str, SpaceParameter]] = TypeAdapter(dict[str, SpaceParameter])


class Storage(BaseStorage):
    """Optuna's storage over a port to our service. Reads only what changed since it last looked.

    Besides what `BaseStorage` says its methods raise the errors of the service: a budget that is spent ends a script
    with `StudyEnded` or `BudgetExceeded`. A trial that a worker of ours holds cannot be written to.
    """

    def __init__(self, port: OptunaPort) -> None:
        self._port = port
        self._known: dict[int, _Known] = {}
        self.beats = Beats(port)
        weakref.finalize(self, self.beats.stop.set)

    def __reduce__(self) -> Any:
        return Storage, (self._port,)  # what this process holds and knows stays here

    # --- studies -----------------------------------------------------------------------------------------------------

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4()) if study_name is None else study_name
        try:
            return self._port.create_study(name, [item.name.lower() for item in directions], uuid.uuid4().hex)
        except StudyExists as error:
            raise DuplicatedStudyError(str(error)) from error

    def delete_study(self, study_id: int) -> None:
        with _translated():
            self._port.delete_study(study_id)
        self._known.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        with _translated():
            self._port.set_study(study_id, "user", key, json.dumps(value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with _translated():
            self._port.set_study(study_id, "system", key, json.dumps(value))

    def get_study_id_from_name(self, study_name: str) -> int:
        with _translated():
            return self._port.find_study(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        known = self._known.get(study_id)
        return list(known.directions) if known else _directions(self._study(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        attributes: dict[str, Any] = json.loads(self._study(study_id).user)
        return attributes

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        attributes: dict[str, Any] = json.loads(self._study(study_id).system)
        return attributes

    def get_all_studies(self) -> list[FrozenStudy]:
        return [
            FrozenStudy(
                study_name=study.name,
                direction=None,
                directions=_directions(study),
                user_attrs=json.loads(study.user),
                system_attrs=json.loads(study.system),
                study_id=study.id,
            )
            for study in self._port.list_studies()
        ]

    def _study(self, study_id: int) -> OptunaStudy:
        with _translated():
            return self._port.get_study(study_id)

    # --- trials ------------------------------------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        document = None if template_trial is None else document_of(template_trial)
        with _translated():
            (taken,) = self._port.create_trials(study_id, [document], uuid.uuid4().hex)
        return self._hold(study_id, taken.number, taken.token)

    def _hold(self, study_id: int, number: int, token: str | None) -> int:
        trial_id = trial_id_of(study_id, number)
        if token is not None:
            self.beats.hold(trial_id, token)
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        value = {"internal": param_value_internal, "distribution": distribution_to_json(distribution)}
        value["external"] = distribution.to_external_repr(param_value_internal)
        self._set(trial_id, "parameter", param_name, value)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._set(trial_id, "intermediate", str(step), float(intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set(trial_id, "user", key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set(trial_id, "system", key, value)

    def _set(self, trial_id: int, kind: Kind, key: str, value: Any) -> None:
        study_id, number = split(trial_id)
        with _translated():
            self._port.set_trial(study_id, number, self.beats.token(trial_id), kind, key, json.dumps(value))

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        study_id, number = split(trial_id)
        with _translated():
            if state is OptunaState.RUNNING:
                taken = self._port.take_trial(study_id, number, uuid.uuid4().hex)
                if taken is not None:
                    self._hold(study_id, number, taken.token)
                return taken is not None
            told = None if values is None else [float(value) for value in values]
            self._port.end_trial(study_id, number, self.beats.token(trial_id), state.name.lower(), json.dumps(told))
        self.beats.drop(trial_id)
        return True

    def get_trial(self, trial_id: int) -> FrozenTrial:
        study_id, number = split(trial_id)
        with _translated():
            return self._known_of(study_id).frozen(self._port.get_trial(study_id, number))

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        with _translated():
            return trial_id_of(study_id, self._port.get_trial(study_id, trial_number).number)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        with _translated():
            known = self._known_of(study_id)
            known.bring_up(self._port)
        found = [trial for trial in known.trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _known_of(self, study_id: int) -> "_Known":
        if study_id not in self._known:
            self._known[study_id] = _Known(self._port.get_study(study_id))
        return self._known[study_id]


class Beats:
    """Signs of life for the trials that a process holds, from a thread of its own; a process that is killed gives none.

    Ours rather than Optuna's heartbeat, which beats for `optimize` alone and warns whoever asks and tells.
    """

    def __init__(self, port: OptunaPort) -> None:
        self.stop = threading.Event()
        self._port = port
        self._tokens: dict[int, str] = {}
        self._dead: set[int] = set()
        self._thread: threading.Thread | None = None

    def token(self, trial_id: int) -> str | None:
        """The right to write to a trial, if it is held."""
        return self._tokens.get(trial_id)

    def hold(self, trial_id: int, token: str) -> None:
        """Beat for a trial."""
        self._tokens[trial_id] = token
        self._dead.discard(trial_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hpsearch-beats", daemon=True)
            self._thread.start()

    def drop(self, trial_id: int) -> None:
        """It has ended."""
        self._tokens.pop(trial_id, None)

    def beat(self) -> None:
        """Give one sign of life for each trial. A lost one keeps its token: writes must go on being refused."""
        for trial_id, token in list(self._tokens.items()):
            if trial_id in self._dead:
                continue
            try:
                self._port.beat(*split(trial_id), token)
            except (NotFound, Conflict):
                self._dead.add(trial_id)
            except HpsearchError:
                continue  # the server is away: the next one may reach it

    def _run(self) -> None:
        while not self.stop.wait(BEAT_SECONDS):
            self.beat()


class _Known:
    """A study's trials as far as they are known."""

    def __init__(self, study: OptunaStudy) -> None:
        self.directions = _directions(study)
        self._id = study.id
        self._space = distributions_of(_SPACE.validate_json(study.space))
        self._revision = 0
        self._trials: dict[int, FrozenTrial] = {}

    @property
    def trials(self) -> list[FrozenTrial]:
        """By number."""
        return [self._trials[number] for number in sorted(self._trials)]

    def bring_up(self, port: OptunaPort) -> None:
        """Read what changed."""
        while True:
            found = port.list_trials(self._id, self._revision, PAGE)
            for trial in found:
                self._trials[trial.number] = self.frozen(trial)
                self._revision = trial.revision
            if len(found) < PAGE:
                return

    def frozen(self, trial: OptunaTrial) -> FrozenTrial:
        """As Optuna has it. Parameters that our sampler or a user chose have the space's distributions."""
        document = json.loads(trial.document)
        distributions = {name: json_to_distribution(text) for name, text in document["distributions"].items()}
        values = {name: distributions[name].to_external_repr(value) for name, value in document["internal"].items()}
        for name, value in document["parameters"].items():
            if name not in values and name in self._space:
                values[name], distributions[name] = value, self._space[name]
        return FrozenTrial(
            number=trial.number,
            state=OptunaState[trial.state.upper()],
            value=None,
            values=document["values"],
            datetime_start=_time(document["start"]),
            datetime_complete=_time(document["complete"]),
            params=values,
            distributions=distributions,
            user_attrs=document["user"],
            system_attrs=document["system"],
            intermediate_values={int(step): value for step, value in document["intermediate"].items()},
            trial_id=trial_id_of(self._id, trial.number),
        )


def document_of(trial: FrozenTrial) -> str:
    """A trial of Optuna's, as the port wants a template."""
    document = {
        "state": trial.state.name.lower(),
        "parameters": dict(trial.params),
        "internal": {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
        "distributions": {name: distribution_to_json(item) for name, item in trial.distributions.items()},
        "user": trial.user_attrs,
        "system": trial.system_attrs,
        "values": trial.values,
        "intermediate": trial.intermediate_values,
        "start": trial.datetime_start.isoformat() if trial.datetime_start else None,
        "complete": trial.datetime_complete.isoformat() if trial.datetime_complete else None,
    }
    return json.dumps(document)


def trial_id_of(study_id: int, number: int) -> int:
    """Raises `OverflowError` beyond 67 million trials."""
    if number >= 1 << NUMBER_BITS:
        raise OverflowError(f"trial {number} has no id: Optuna's interface reaches to {(1 << NUMBER_BITS) - 1}")
    return (study_id << NUMBER_BITS) + number


def split(trial_id: int) -> tuple[int, int]:
    """A trial's study id and number."""
    return trial_id >> NUMBER_BITS, trial_id & ((1 << NUMBER_BITS) - 1)


def _directions(study: OptunaStudy) -> list[StudyDirection]:
    return [StudyDirection[item.upper()] for item in study.directions]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@contextmanager
def _translated() -> Iterator[None]:
    """Our errors as those that Optuna expects of a storage."""
    try:
        yield
    except NotFound as error:
        raise KeyError(str(error)) from error
    except (TrialFinished, LeaseLost) as error:
        raise UpdateFinishedTrialError(str(error)) from error
    except InvalidInput as error:
        raise ValueError(str(error)) from error
