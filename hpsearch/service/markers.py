"""Where studies stand, remembered for a moment: what thousands of pollers ask."""

import time
from collections.abc import Sequence

from hpsearch.store import studies
from hpsearch.store.database import Database
from hpsearch.store.locked import LockedStudy
from hpsearch.store.studies import Marker
from hpsearch.trials import TrialState

FRESH_SECONDS = 0.05
"""A change made through another server may be overlooked for so long; one made through this server never is."""


class Markers:
    """By study's name. Thread-safe: each entry is replaced whole."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[Marker, float]] = {}
        database.on_commit.append(self._put_study)

    def fresh(self, name: str) -> Marker | None:
        """Where a study stands, without asking the database; None where that is not known well enough."""
        known = self._known.get(name)
        return known[0] if known and time.monotonic() - known[1] <= FRESH_SECONDS else None

    def read(self, names: Sequence[str]) -> list[Marker | None]:
        """Where studies stand, in one read for any number of callers; None for those that are not there."""
        asked_at = time.monotonic()
        with self._database.look() as tx:
            found = studies.markers(tx, set(names))
        for name, marker in found.items():
            self._put(name, marker, asked_at)
        return [found.get(name) for name in names]

    def forget(self, name: str) -> None:
        """The study was deleted."""
        self._known.pop(name, None)

    def _put_study(self, study: LockedStudy) -> None:
        marker = Marker(
            study.id, study.revision, study.state, study.best_number, study.confirm_counts[TrialState.COMPLETE]
        )
        self._put(study.name, marker, time.monotonic())

    def _put(self, name: str, marker: Marker, at: float) -> None:
        known = self._known.get(name)
        # commits of two threads may arrive here the other way round
        if known is None or (known[0].id, known[0].revision) <= (marker.id, marker.revision):
            self._known[name] = (marker, at)
