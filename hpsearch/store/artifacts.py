"""Artifacts: bytes in files below one folder, records in the database. A record never names bytes that are not there.

The bytes are written under a fresh name, synced and then recorded; what a record no longer names is removed after the
commit. A server that dies between leaves a file that nobody names, never a record without its file. What arrives over
HTTP is written beside them first, and moved to its place.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import bindparam, delete, insert, select

from hpsearch.errors import ArtifactNotFound, Fault, InvalidInput, StoreUnavailable, TooLarge
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow, artifact_of
from hpsearch.store.tables import artifacts
from hpsearch.studies import Study
from hpsearch.trials import CHECKPOINTS, Artifact

STALE_SECONDS = 86_400.0
"""An upload that nothing was written to for so long was left by a server that was killed."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# built once: SQLAlchemy takes longer to build a statement than SQLite to run it
_TRIAL = (artifacts.c.study_id == bindparam("study"), artifacts.c.number == bindparam("of"))
_CHECKPOINT = (
    select(artifacts).where(*_TRIAL, artifacts.c.name.in_(CHECKPOINTS)).order_by(artifacts.c.created_at.desc()).limit(1)
)
_OF_TRIAL = select(artifacts).where(*_TRIAL).order_by(artifacts.c.name)
_NAMED = select(artifacts).where(*_TRIAL, artifacts.c.name == bindparam("named"))
_DELETE = delete(artifacts).where(*_TRIAL, artifacts.c.name == bindparam("named"))
_INSERT = insert(artifacts)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are in the folder, whether a record names them or not."""

    path: str
    size: int
    sha256: str


class ArtifactFolder:
    """The files."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._uploads = root / "uploads"
        self._max_bytes = max_bytes

    @contextmanager
    def uploading(self) -> Iterator[Path]:
        """Where an upload may be written, for as long as the block takes; what is there then and was not kept goes.

        Raises `StoreUnavailable` where there is no room.
        """
        path = self._uploads / secrets.token_hex(16)
        try:
            self._uploads.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"the artifact could not be written: {error.strerror}") from error
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed servers left of uploads. Other servers may share the folder, and be at theirs."""
        with suppress(OSError):  # there is none yet, or another sweeps
            for path in self._uploads.iterdir():
                if path.stat().st_mtime < time.time() - STALE_SECONDS:
                    path.unlink(missing_ok=True)

    def keep(self, study_id: int, number: int, source: Path) -> Blob:
        """Take a file in, durably: an upload is moved, another file copied.

        Raises `TooLarge`, and `StoreUnavailable` where the disk is full.
        """
        relative = f"{study_id}/{number}/{secrets.token_hex(16)}"
        target = self._root / relative
        try:
            size = source.stat().st_size
            if size > self._max_bytes:
                raise TooLarge(f"the artifact has {size} bytes, this server takes {self._max_bytes}")
            target.parent.mkdir(parents=True, exist_ok=True)
            take_in = move if source.parent == self._uploads else copy
            digest, size = take_in(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise StoreUnavailable(f"the artifact could not be written: {error.strerror}") from error
        return Blob(relative, size, digest)

    def path(self, relative: str) -> Path:
        """Where a record's bytes are."""
        return self._root / relative

    def discard(self, relative: str) -> None:
        """Remove bytes that no record names any more."""
        self.path(relative).unlink(missing_ok=True)

    def discard_study(self, study_id: int) -> None:
        """Remove all bytes of a deleted study."""
        shutil.rmtree(self._root / str(study_id), ignore_errors=True)


def copy_out(source: Path, record: Artifact, target: Path) -> None:
    """Write an artifact's bytes to `target`, atomically.

    Raises `ArtifactNotFound` where they were replaced or deleted meanwhile, or are not what the record says.
    """
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        digest, _ = copy(source, partial)
        if digest != record.sha256:
            raise ArtifactNotFound(f"artifact {record.name!r} is damaged: its bytes do not match its digest")
        partial.replace(target)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"artifact {record.name!r} is no longer there") from error
    finally:
        partial.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file durably; returns its SHA-256 and its size."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(1 << 20):
            digest.update(chunk)
            size += writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest(), size


def move(source: Path, target: Path) -> tuple[str, int]:
    """Move a file within its file system, durably; returns its SHA-256 and its size."""
    with source.open("rb+") as file:
        digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        os.fsync(file.fileno())
    source.replace(target)
    return digest, size


def check_name(name: str) -> None:
    """Raises `InvalidInput` unless `name` is a plain file name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            faults=[Fault("name", "may hold letters, digits, '.', '_' and '-', and starts with neither")]
        )


def record(tx: Transaction, trial: AnyRow, name: str, blob: Blob) -> tuple[Artifact, str | None]:
    """Name the bytes; returns the record and the path of what it replaces. The trial's row is locked."""
    key = {"study": trial.study_id, "of": trial.number, "named": name}
    former = tx.connection.execute(_NAMED, key).one_or_none()
    if former is not None:
        tx.connection.execute(_DELETE, key)
    values = {"size": blob.size, "sha256": blob.sha256, "attempt": trial.attempt, "created_at": tx.now}
    row = {"study_id": trial.study_id, "number": trial.number, "name": name, "path": blob.path} | values
    tx.connection.execute(_INSERT, row)
    made = Artifact(name=name, **values | {"created_at": datetime.fromtimestamp(tx.now, UTC)})
    return made, None if former is None else former.path


def find(tx: Transaction, study: Study, number: int, name: str) -> tuple[Artifact, str]:
    """The record and its path. Raises `ArtifactNotFound`."""
    row = tx.connection.execute(_NAMED, {"study": study.id, "of": number, "named": name}).one_or_none()
    if row is None:
        raise ArtifactNotFound(f"trial {number} of study {study.name!r} has no artifact {name!r}")
    return artifact_of(row), row.path


def checkpoint(tx: Transaction, study_id: int, number: int) -> Artifact | None:
    """The newest checkpoint of a trial."""
    row = tx.connection.execute(_CHECKPOINT, {"study": study_id, "of": number}).first()
    return None if row is None else artifact_of(row)


def of_trial(tx: Transaction, study: Study, number: int) -> list[Artifact]:
    """A trial's artifacts by name."""
    rows = tx.connection.execute(_OF_TRIAL, {"study": study.id, "of": number})
    return [artifact_of(row) for row in rows]
