"""`hpsearch study model`: a trial's model taken home, whole or not at all."""

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpsearch.cli.card import card
from hpsearch.client import Client, StudyHandle
from hpsearch.errors import ArtifactNotFound, ConfigurationError, HpsearchError, TrialNotFound
from hpsearch.trials import Artifact, Trial

CHECKPOINTS = "checkpoint."
"""Good for going on with a trial alone."""
CARD = "card.md"
MODEL = "model.json"


def take_model(client: Client, name: str, number: int | None, to: Path, *, force: bool) -> tuple[Trial, list[str]]:
    """Write a trial's files and a card into a folder; returns the files' names. Without a number the trial is the best
    run of the confirmed best, or where nothing was confirmed the searched best; of several metrics the one of the front
    that is nearest to the best of each.

    Raises `ConfigurationError` where the folder is not free, `TrialNotFound` where there is no best trial yet,
    `ArtifactNotFound` where the trial kept nothing, `HpsearchError` where the folder cannot be written.
    """
    try:
        folder = to.expanduser().resolve()
        is_there = _check_free(folder, to, force)
        study = client.study(name)
        trial, files = _model_of(study, number)
        with _replacing(folder, is_there) as partial:
            for file in files:
                client.get_artifact(name, trial.number, file.name, partial / file.name)
            if not (partial / CARD).exists():  # an objective may write a better one
                (partial / CARD).write_text(
                    card(study.info, trial, _read(partial / MODEL), files, folder.name), encoding="utf-8"
                )
            names = sorted(path.name for path in partial.iterdir())
        return trial, names
    except OSError as error:
        raise HpsearchError(f"{to} cannot be written: {error.strerror or error}") from error


def _model_of(study: StudyHandle, number: int | None) -> tuple[Trial, Sequence[Artifact]]:
    trial = None
    if number is None and study.info.spec.objective.has_several:
        number = study.pareto().chosen
    elif number is None:
        best = study.best()
        trial, number = best.trial, best.confirmed.best_run if best.confirmed else None
    if number is not None:
        trial = study.trial(number)
    if trial is None:
        raise TrialNotFound(f"study {study.name!r} has no complete trial yet (it is {study.info.state})")
    # a server's word is no path: nothing may land beside the folder
    files = [file for file in study.artifacts(trial.number) if Path(file.name).name == file.name]
    files = [file for file in files if not file.name.startswith(CHECKPOINTS)]
    if not files:
        because = f" ({trial.reason})" if trial.reason else ""
        raise ArtifactNotFound(f"trial {trial.number} of {study.name!r} has no model: it is {trial.state}{because}")
    return trial, files


def _read(path: Path) -> Mapping[str, Any]:
    """What a `model.json` says; nothing where it is not there, or not ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_free(folder: Path, to: Path, force: bool) -> bool:
    """Whether there is a former model to replace. Raises `ConfigurationError` unless one may be put there."""
    if folder == Path.cwd():
        raise ConfigurationError("--to: give the model a folder of its own, not the one that you are in")
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--to: {to} is no folder")
    present = list(folder.iterdir()) if folder.exists() else []
    if present and not force:
        raise ConfigurationError(f"--to: {to} is not empty; --force replaces a model that is there")
    if present and not ((folder / CARD).is_file() and all(path.is_file() for path in present)):
        raise ConfigurationError(f"--to: {to} holds something else than a model; name another folder, or empty it")
    return bool(present)


@contextmanager
def _replacing(folder: Path, is_there: bool) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends well, and goes when it does not."""
    token = secrets.token_hex(4)
    partial, former = (folder.with_name(f".{folder.name}.{token}.{end}") for end in ("part", "former"))
    partial.mkdir(parents=True)
    try:
        yield partial
        if is_there:
            folder.rename(former)
        try:
            partial.rename(folder)  # an empty folder gives way, another does not
        except OSError:
            if is_there:
                former.rename(folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)
