"""What ends by itself: leases that nobody has renewed, and studies whose time is up."""

import logging
import threading

from hpsearch.errors import HpsearchError
from hpsearch.service import checks, life
from hpsearch.store import studies, trials
from hpsearch.store.database import Database
from hpsearch.store.locked import lock_by_id

logger = logging.getLogger(__name__)

REAP_BATCH = 1000


class Reaper:
    """Looks for them, on a thread of its own once it is started."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look again and again, until it is closed."""
        self._thread = threading.Thread(target=self._reap_forever, name="reaper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns once it looks no more."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _reap_forever(self) -> None:
        # After a start nobody has had the chance to renew: a whole lease's grace first.
        pause = self._lease_seconds
        while not self._closing.wait(pause):
            pause = min(1.0, self._lease_seconds / 4)
            try:
                self.reap()
            except HpsearchError as error:
                logger.warning("could not look for dead leases: %s", error)
            except Exception:
                logger.exception("could not look for dead leases")

    def reap(self) -> int:
        """See `Service.reap`."""
        with self._database.read() as tx:
            expired = trials.expired(tx, REAP_BATCH)
            overdue = studies.overdue(tx)
        reaped = 0
        for study_id, numbers in checks.by_study(expired):
            with self._database.write() as tx:
                for study in lock_by_id(tx, [study_id]).values():
                    reaped += sum(trials.expire(tx, study, trial) for trial in study.trials(numbers).values())
                    life.save(tx, study)
        for study_id in overdue:
            with self._database.write() as tx:
                for study in lock_by_id(tx, [study_id]).values():
                    if study.is_searching and (because := life.out_of_time(study, tx.now)):
                        life.end_search(tx, study, because)
                        reaped += 1
                    life.save(tx, study)
        return reaped
