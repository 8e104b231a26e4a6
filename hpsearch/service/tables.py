"""The tables of studies in this process's memory, each brought up to date by what changed."""

import threading
from collections import OrderedDict

from hpsearch.search.table import GrowingTable, Table
from hpsearch.store import outcomes
from hpsearch.store.database import Database
from hpsearch.studies import Study

MOST_KEPT = 16
"""Studies; 100,000 trials of ten parameters are 17 MB."""


class _Kept:
    def __init__(self, study: Study) -> None:
        self.lock = threading.Lock()
        self.growing = GrowingTable(study.spec)
        self.table: Table | None = None


class Tables:
    """By study; those looked at last are kept. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Kept] = OrderedDict()

    def table(self, study: Study) -> Table:
        """A study's table, no older than `study`."""
        with self._lock:
            kept = self._kept.get(study.id) or self._kept.setdefault(study.id, _Kept(study))
            self._kept.move_to_end(study.id)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            if kept.table is None or kept.table.revision < study.revision:
                growing = kept.growing
                with self._database.read() as tx:
                    growing.update(outcomes.outcomes_since(tx, study.id, study.spec, growing.revision))
                growing.revision = max(growing.revision, study.revision)
                kept.table = growing.table()
            return kept.table

    def forget(self, study_id: int) -> None:
        """The study was deleted."""
        with self._lock:
            self._kept.pop(study_id, None)
