"""Whole studies moved to and from Optuna's databases, without loss either way: what only we know travels in system
attributes called `hpsearch:…`."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.errors import HpsearchError, InvalidInput, StudyExists, StudyNotFound, near
from hpsearch.optuna_port import OptunaPort
from hpsearch.search.storage import Storage, document_of

SPEC, STATE, OURS = "hpsearch:spec", "hpsearch:state", "hpsearch:trial"
BATCH = 500

Progress = Callable[[int, int], None]
"""Called with how many trials are moved, and of how many."""


def open_optuna(url: str, *, create: bool) -> BaseStorage:
    """A database of Optuna's. Raises `InvalidInput` where it is none, or not there and not to be made."""
    if not create and url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if not path.is_file():
            raise InvalidInput(f"there is no file {path}")
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # whatever its driver raises
        raise InvalidInput(f"{url} is no database of Optuna's: {error}") from error


def study_in(storage: BaseStorage, name: str | None) -> str:
    """The name of the study that is meant: the only one, where none is given.

    Raises `StudyNotFound` with the near name, `InvalidInput` where there are several to choose from.
    """
    names = [study.study_name for study in storage.get_all_studies()]
    if name is None:
        if len(names) != 1:
            raise InvalidInput(f"which study? There are {len(names)}: {', '.join(sorted(names)[:20]) or 'none'}")
        return names[0]
    if name not in names:
        close = near(name, names)
        raise StudyNotFound(f"there is no study {name!r} there" + (f" (did you mean {close!r}?)" if close else ""))
    return name


def export_study(port: OptunaPort, name: str, target: BaseStorage, ours: "OursOf", progress: Progress) -> int:
    """Copy a study of ours to a database of Optuna's; how many trials there were. Raises `StudyExists`.

    `ours` gives what only we know of it. On a failure nothing of the study is left there.
    """
    source = Storage(port)
    study_id = _found(source, name)
    directions, name = source.get_study_directions(study_id), source.get_study_name_from_id(study_id)
    if name in {study.study_name for study in target.get_all_studies()}:
        raise StudyExists(f"study {name!r} exists there")
    made = target.create_new_study(directions, name)
    with _undone(target, made):
        for key, value in source.get_study_user_attrs(study_id).items():
            target.set_study_user_attr(made, key, value)
        for key, value in source.get_study_system_attrs(study_id).items():
            target.set_study_system_attr(made, key, value)
        if ours.spec is not None:
            target.set_study_system_attr(made, SPEC, ours.spec)
        target.set_study_system_attr(made, STATE, ours.state)
        trials = source.get_all_trials(study_id)
        for trial in trials:
            trial.system_attrs = {**trial.system_attrs, OURS: ours.trial(trial.number)}
            target.create_new_trial(made, _legal(trial))
            progress(trial.number + 1, len(trials))
    return len(trials)


class OursOf:
    """What only we know of a study: its spec (none where scripts defined it), and of each trial."""

    def __init__(self, spec: dict[str, Any] | None, state: str, trials: dict[int, dict[str, Any]]) -> None:
        self.spec = spec
        self.state = state
        self._trials = trials

    def trial(self, number: int) -> dict[str, Any]:
        return self._trials[number]


def import_study(
    source: BaseStorage, name: str, port: OptunaPort, create: Callable[[dict[str, Any]], int], new_name: str,
    progress: Progress,
) -> tuple[int, str | None]:  # fmt: skip
    """Copy a study of a database of Optuna's to ours: how many trials there were, and the state that the study had
    with us before, if it came from us. Raises `StudyExists`.

    `create` makes a study of ours from its spec and gives its id. On a failure nothing of the study is left here.
    """
    from_id = source.get_study_id_from_name(name)
    system = source.get_study_system_attrs(from_id)
    spec, state = system.pop(SPEC, None), system.pop(STATE, None)
    target = Storage(port)
    trials = source.get_all_trials(from_id)
    if spec is not None:
        made = create({**spec, "name": new_name})
    else:
        directions = [direction.name.lower() for direction in source.get_study_directions(from_id)]
        made = port.create_study(new_name, directions, uuid.uuid4().hex)
    with _undone(target, made):
        for key, value in source.get_study_user_attrs(from_id).items():
            target.set_study_user_attr(made, key, value)
        for key, value in system.items():
            target.set_study_system_attr(made, key, value)
        for start in range(0, len(trials), BATCH):
            batch = trials[start : start + BATCH]
            port.create_trials(made, [_document(trial) for trial in batch], uuid.uuid4().hex)
            progress(start + len(batch), len(trials))
    return len(trials), state


def _found(storage: Storage, name: str) -> int:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError as error:
        raise StudyNotFound(str(error.args[0])) from error


def _document(trial: FrozenTrial) -> str:
    """A template for the port, with what only we know beside it."""
    attributes = dict(trial.system_attrs)
    ours = attributes.pop(OURS, None)
    trial.system_attrs = attributes
    document: dict[str, Any] = json.loads(document_of(trial))
    return json.dumps(document | ({"ours": ours} if ours else {}))


def _legal(trial: FrozenTrial) -> FrozenTrial:
    """Optuna wants times where ours may have none: of a trial that was cancelled before it began, say."""
    if trial.state.is_finished() and trial.datetime_start is None:
        trial.datetime_start = trial.datetime_complete
    if trial.state is OptunaState.RUNNING and trial.datetime_start is None:
        trial.state = OptunaState.WAITING
    return trial


@contextmanager
def _undone(storage: BaseStorage, study_id: int) -> Iterator[None]:
    """A study that is half there is taken away again."""
    try:
        yield
    except BaseException:
        with suppress(KeyError, HpsearchError):
            storage.delete_study(study_id)
        raise
