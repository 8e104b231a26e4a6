"""Artifacts of trials: their records, and the files that hold their bytes."""

from pathlib import Path

from hpsearch.errors import ArtifactNotFound, HpsearchError, LeaseLost, StoreUnavailable, TrialNotFound
from hpsearch.store import artifacts, studies, trials
from hpsearch.store.artifacts import ArtifactFolder
from hpsearch.store.database import Database, Transaction
from hpsearch.store.rows import AnyRow
from hpsearch.trials import Artifact, Lease


class Artifacts:
    """Keeps both in step."""

    def __init__(self, database: Database, files: ArtifactFolder) -> None:
        self._database = database
        self._files = files

    def open(self, study: str, number: int | None, name: str) -> tuple[Artifact, Path]:
        """See `Service.open_artifact`."""
        with self._database.read() as tx:
            found = studies.find(tx, study)
            number = found.best_number if number is None else number
            if number is None:
                several = "searches several metrics, which have no one best trial: name one"
                problem = several if found.spec.objective.has_several else "has no complete trial yet"
                raise TrialNotFound(f"study {study!r} {problem}")
            record, relative = artifacts.find(tx, found, trials.find(tx, found, number).number, name)
        path = self._files.path(relative)
        if not path.is_file():
            raise ArtifactNotFound(f"artifact {name!r} is no longer there")
        return record, path

    def put(self, lease: Lease, name: str, path: Path) -> Artifact:
        """See `Service.put_artifact`."""
        artifacts.check_name(name)
        with self._database.read() as tx:  # no copying for a lease that is gone already
            row = self._leased(tx, lease)
        blob = self._files.keep(row.study_id, row.number, path)
        try:
            with self._database.write() as tx:
                row = self._leased(tx, lease)
                trials.renew(tx, [row])
                record, former = artifacts.record(tx, row, name, blob)
        except HpsearchError as error:
            # after an unknown outcome (the connection broke at the commit) the bytes may be named: leave them
            if not isinstance(error, StoreUnavailable):
                self._files.discard(blob.path)
            raise
        if former is not None:
            self._files.discard(former)
        return record

    def _leased(self, tx: Transaction, lease: Lease) -> AnyRow:
        """The trial's row, locked. Raises `LeaseLost`."""
        row = trials.lock_leased(tx, [lease]).get((lease.study, lease.number))
        if row is None or not trials.is_held(row, lease):
            raise LeaseLost
        return row
