"""Optuna and hpsearch: a storage for plain Optuna scripts, and whole studies moved to and from Optuna's databases.

storage = hpsearch.optuna.Storage("http://server:8421", token="…")
study = optuna.create_study(study_name="mine", storage=storage, load_if_exists=True)
"""

from dataclasses import asdict
from typing import Any

from hpsearch.client import Client
from hpsearch.client.optuna_port import HttpPort
from hpsearch.errors import StudyExists
from hpsearch.optuna_port import Ours
from hpsearch.search import moves, storage
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Trial


class Storage(storage.Storage):
    """The studies of the server at `url` as an Optuna storage. Can be pickled.

    `timeout` is in seconds, for each call; `retries` is how often a call is repeated while the server is away.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 60.0, retries: int = 8) -> None:
        super().__init__(HttpPort(url, token, timeout=timeout, retries=retries))


def export_study(
    name: str, optuna_url: str, url: str, token: str | None = None, progress: moves.Progress = lambda _done, _of: None
) -> int:
    """Copy a study of the server at `url` to a database of Optuna's (made where it is not there); how many trials.

    On a failure nothing of the study is left there. Raises `StudyNotFound`, `StudyExists`, `InvalidInput`.
    """
    with Client(url, token) as client:
        study = client.study(name)
        known = {trial.number: _ours_of(trial) for trial in study.trials()}
        ours = moves.OursOf(_spec_of(study.info), study.info.state.value, known)
        target = moves.open_optuna(optuna_url, create=True)
        return moves.export_study(HttpPort(url, token), name, target, ours, progress)


def import_study(
    optuna_url: str,
    url: str,
    token: str | None = None,
    name: str | None = None,
    new_name: str | None = None,
    progress: moves.Progress = lambda _done, _of: None,
) -> tuple[str, int]:
    """Copy a study of a database of Optuna's to the server at `url`; its name there, and how many trials.

    `name` may be left out where there is only one. On a failure nothing of the study is left on the server. Raises
    `StudyNotFound`, `StudyExists`, `InvalidInput`.
    """
    source = moves.open_optuna(optuna_url, create=False)
    name = moves.study_in(source, name)
    with Client(url, token) as client:
        if any(study.name == (new_name or name) for study in client.studies()):
            raise StudyExists(f"study {new_name or name!r} exists on the server")

        def create(spec: dict[str, Any]) -> int:
            # what it knew of earlier studies stayed with its server: others may have their names here
            return client.create_study({**spec, "earlier": []}).info.id

        count, state = moves.import_study(source, name, HttpPort(url, token), create, new_name or name, progress)
        if state == StudyState.STOPPED:
            client.study(new_name or name).stop()
    return new_name or name, count


def _spec_of(study: Study) -> dict[str, Any] | None:
    """None where scripts defined the study."""
    return study.spec.model_dump(mode="json") if study.spec.space else None


def _ours_of(trial: Trial) -> dict[str, Any]:
    return asdict(
        Ours(
            state=trial.state,
            metrics=dict(trial.metrics),
            reason=trial.reason,
            pruning=trial.pruning,
            enqueued=trial.enqueued,
            attempt=trial.attempt,
            worker=trial.worker,
        )
    )
