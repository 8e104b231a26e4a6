"""The use cases: what hpsearch does, without HTTP. Each change is one transaction, none is held while sampling."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import IntegrityError

from hpsearch.errors import (
    BudgetExceeded,
    Fault,
    HpsearchError,
    InvalidInput,
    LeaseLost,
    ObjectiveNotFound,
    StoreUnavailable,
    StudyEnded,
    StudyExists,
    TrialFinished,
    near,
)
from hpsearch.gateway import Assignment, Registration, Terms, WorkerStatus
from hpsearch.objectives.check import study_faults
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.search.distributions import configuration_faults
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.service import checks, life
from hpsearch.settings import Settings
from hpsearch.spec import parse_study
from hpsearch.store import artifacts, reports, studies, trials, workers
from hpsearch.store.artifacts import ArtifactFolder
from hpsearch.store.database import Database, Transaction
from hpsearch.store.migrate import migrate
from hpsearch.store.rows import AnyRow
from hpsearch.store.studies import LockedStudy
from hpsearch.store.trials import Holder
from hpsearch.studies import Best, Page, Study, StudyState
from hpsearch.trials import (
    Artifact,
    Decision,
    Intermediate,
    Lease,
    Parameters,
    Receipt,
    Release,
    Report,
    Result,
    Suggestion,
    Trial,
    TrialState,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

REAP_BATCH = 1000


@dataclass(slots=True)
class _KeptHistory:
    """A study's history in this process's memory. The lock is for the sampler's sake (one thread a history), not for
    the truth's: that is in the database."""

    history: History
    lock: threading.Lock = field(default_factory=threading.Lock)


class Service:
    """Implements `Gateway`, and what people and outside loops need besides. Thread-safe.

    `objectives` are those that studies may name; `clock` replaces the database's clock in tests. Any method raises
    `StoreUnavailable` where the database cannot be reached or is full: nothing was done then, or all of it, and the
    same call again is safe.
    """

    def __init__(
        self, settings: Settings, objectives: Sequence[ObjectiveInfo] = (), clock: Callable[[], float] | None = None
    ) -> None:
        self._settings = settings
        self._objectives = {info.name: info for info in objectives}
        self._database = Database(settings.sqlalchemy_url, clock)
        self._files = ArtifactFolder(settings.home_folder / "artifacts", settings.max_artifact_mb * 2**20)
        self._histories: dict[int, _KeptHistory] = {}
        self._closing = threading.Event()
        self._reaper: threading.Thread | None = None

    # --- the service itself ------------------------------------------------------------------------------------------

    def open(self, *, reaper: bool = True) -> None:
        """Bring the tables up to date, and start to look for dead leases unless told not to.

        Raises `ConfigurationError`, `StoreUnavailable`.
        """
        migrate(self._database)
        if reaper:
            self._reaper = threading.Thread(target=self._reap_forever, name="reaper", daemon=True)
            self._reaper.start()

    def close(self) -> None:
        """Stop the reaper and drop the database's connections."""
        self._closing.set()
        if self._reaper is not None:
            self._reaper.join()
        self._database.close()

    def check_ready(self) -> None:
        """Raises `StoreUnavailable` where the database cannot be asked."""
        with self._database.read() as tx:
            studies.page(tx, after_id=0, limit=1)

    def _reap_forever(self) -> None:
        # After a start nobody has had the chance to renew: a whole lease's grace first.
        pause = self._settings.lease_seconds
        while not self._closing.wait(pause):
            pause = min(1.0, self._settings.lease_seconds / 4)
            try:
                self.reap()
            except HpsearchError as error:
                logger.warning("could not look for dead leases: %s", error)
            except Exception:
                logger.exception("could not look for dead leases")

    def reap(self) -> int:
        """Hand back the trials whose leases have ended, end the studies whose time is up; returns how many of both.

        Any number of servers may do this at once.
        """
        with self._database.read() as tx:
            expired = trials.expired(tx, REAP_BATCH)
            overdue = studies.overdue(tx)
        reaped = 0
        for study_id, numbers in checks.by_study(expired):
            with self._database.write() as tx:
                if study := studies.lock_by_id(tx, study_id):
                    reaped += sum(trials.expire(tx, study, number) for number in numbers)
                    life.save(tx, study)
        for study_id in overdue:
            with self._database.write() as tx:
                study = studies.lock_by_id(tx, study_id)
                if study and not study.state.has_ended:
                    life.end(tx, study, StudyState.COMPLETE, "its wall clock has run out")
                    study.save()
                    reaped += 1
        return reaped

    # --- studies -----------------------------------------------------------------------------------------------------

    def create_study(self, raw: object) -> tuple[Study, bool]:
        """The study and whether it is new. The same description again answers with the study that exists.

        Raises `InvalidSpec` with every fault, `StudyExists`.
        """
        spec = parse_study(raw, study_faults(raw, self._objectives))
        try:
            with self._database.write() as tx:
                return studies.create(tx, spec), True
        except IntegrityError:
            with self._database.read() as tx:
                study = studies.find(tx, spec.name)
        if study.spec != spec:
            what = checks.difference(study.spec, spec)
            raise StudyExists(f"study {spec.name!r} exists with another description: {what}")
        return study, False

    def get_study(self, name: str) -> Study:
        """Raises `StudyNotFound`."""
        with self._database.read() as tx:
            return studies.find(tx, name)

    def list_studies(self, after: str | None = None, limit: int = 100) -> Page[Study]:
        """Studies in the order of creation. Raises `InvalidInput` for a cursor that is none."""
        with self._database.read() as tx:
            found = studies.page(tx, checks.cursor_of(after, 0), checks.limit_of(limit))
        return Page(items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)

    def pause_study(self, name: str) -> Study:
        """Hand out nothing more; running trials are handed back with their next report. Paused already: as it is.

        Raises `StudyNotFound`, `IllegalTransition`.
        """
        return self._move_study(name, StudyState.PAUSED, "paused by a user")

    def resume_study(self, name: str) -> Study:
        """Open a paused study again. Raises `StudyNotFound`, `IllegalTransition`."""
        return self._move_study(name, StudyState.RUNNING, None)

    def _move_study(self, name: str, to: StudyState, reason: str | None) -> Study:
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            if study.state is not to:
                study.move(to, reason)
            return study.save()

    def stop_study(self, name: str) -> Study:
        """End a study for good: what runs or waits is cancelled, its leases are dead at once. Ended: as it is.

        Raises `StudyNotFound`.
        """
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            if not study.state.has_ended:
                life.end(tx, study, StudyState.STOPPED, "stopped by a user")
            return study.save()

    def delete_study(self, name: str) -> None:
        """Remove a study with its trials, reports and artifacts; leases on them are dead at once.

        Raises `StudyNotFound`.
        """
        with self._database.write() as tx:
            study_id = studies.lock(tx, name).id
            studies.remove(tx, study_id)
        self._histories.pop(study_id, None)
        self._files.discard_study(study_id)

    def best(self, name: str) -> Best:
        """The best complete trial so far; of equals the one that was told first. Raises `StudyNotFound`."""
        with self._database.read() as tx:
            study = studies.find(tx, name)
            trial = None if study.best_number is None else trials.find(tx, study, study.best_number)
        return Best(study=name, state=study.state, reason=study.reason, trial=trial)

    def change_marker(self, name: str) -> int:
        """The study's revision, by one indexed read: what a long poll looks at. Raises `StudyNotFound`."""
        with self._database.read() as tx:
            return studies.revision(tx, name)

    # --- trials ------------------------------------------------------------------------------------------------------

    def list_trials(
        self, study: str, states: Sequence[TrialState] = (), after: str | None = None, limit: int = 100
    ) -> Page[Trial]:
        """Trials by number. Raises `StudyNotFound`, `InvalidInput`."""
        with self._database.read() as tx:
            start, count = checks.cursor_of(after, -1), checks.limit_of(limit)
            found = trials.page(tx, studies.find(tx, study), start, count, states)
        return Page(items=tuple(found), next=str(found[-1].number) if len(found) == limit else None)

    def get_trial(self, study: str, number: int) -> Trial:
        """Raises `StudyNotFound`, `TrialNotFound`."""
        with self._database.read() as tx:
            return trials.find(tx, studies.find(tx, study), number)

    def list_reports(self, study: str, number: int) -> list[Intermediate]:
        """A trial's reports by step. Raises `StudyNotFound`, `TrialNotFound`."""
        with self._database.read() as tx:
            found = studies.find(tx, study)
            return reports.of_trial(tx, found, trials.find(tx, found, number).number)

    def list_artifacts(self, study: str, number: int) -> list[Artifact]:
        """A trial's artifacts by name. Raises `StudyNotFound`, `TrialNotFound`."""
        with self._database.read() as tx:
            found = studies.find(tx, study)
            return artifacts.of_trial(tx, found, trials.find(tx, found, number).number)

    def open_artifact(self, study: str, number: int, name: str) -> tuple[Artifact, Path]:
        """The record, and the file that holds its bytes.

        Raises `StudyNotFound`, `TrialNotFound`, `ArtifactNotFound`.
        """
        with self._database.read() as tx:
            found = studies.find(tx, study)
            record, relative = artifacts.find(tx, found, trials.find(tx, found, number).number, name)
        return record, self._files.path(relative)

    def enqueue(self, study: str, configurations: Sequence[Parameters]) -> list[Trial]:
        """Trials with given parameters, ahead of new suggestions; the sampler fills in what is left out.

        Raises `StudyNotFound`, `InvalidInput`, `StudyEnded`, `BudgetExceeded`; then nothing was enqueued.
        """
        found = self.get_study(study)
        faults = [
            fault
            for position, configuration in enumerate(configurations)
            for fault in configuration_faults(found.spec.space, configuration, f"configurations.{position}")
        ]
        if faults:
            raise InvalidInput(faults=faults)
        checks.check_open(found.state, study)
        suggestions = self._suggest(found, configurations)
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            checks.check_open(locked.state, study)
            if locked.room is not None and locked.room < len(configurations):
                raise BudgetExceeded(f"the budget of {study!r} leaves room for {locked.room} more trials")
            made = trials.create(tx, locked, suggestions, holder=None)
            locked.save()
        return made

    def retry_failed(self, study: str, numbers: Sequence[int] | None = None) -> list[Trial]:
        """Let failed trials (all, where none is named) be run again, under their numbers: no trial counts twice.

        A study that its budget had ended opens again. Raises `StudyNotFound`, `StudyEnded` where it was stopped, and
        `InvalidInput` where a number is not of a failed trial; then none is run again.
        """
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            if locked.state is StudyState.STOPPED:
                raise StudyEnded(f"study {study!r} was stopped")
            failed = trials.failed(tx, locked)
            chosen = list(failed) if numbers is None else sorted(set(numbers))
            checks.check([Fault(f"numbers.{n}", "is not a failed trial") for n in chosen if n not in failed])
            made = [trials.try_again(tx, locked, number) for number in chosen]
            if made and locked.state is StudyState.COMPLETE:
                locked.move(StudyState.RUNNING, None)
            life.save(tx, locked)
        return made

    def export(self, study: str) -> Iterator[Trial]:
        """Every trial by number, a page at a time. Raises `StudyNotFound` at once."""
        found = self.get_study(study)
        return self._all_trials(found)

    def _all_trials(self, study: Study) -> Iterator[Trial]:
        after = -1
        while True:
            with self._database.read() as tx:
                found = trials.page(tx, study, after, checks.MAX_PAGE)
            yield from found
            if len(found) < checks.MAX_PAGE:
                return
            after = found[-1].number

    # --- ask and tell, for outside loops -----------------------------------------------------------------------------

    def ask(
        self,
        study: str,
        count: int = 1,
        *,
        request_id: str | None = None,
        worker: str | None = None,
        lease_seconds: float = 3600.0,
    ) -> list[Assignment]:
        """Up to `count` trials: waiting ones, then new ones. Empty where the study is paused or all that its budget
        allows is running elsewhere. The same `request_id` again is answered with the same trials.

        Raises `StudyNotFound`, `StudyEnded`, `InvalidInput`.
        """
        checks.check_ask(count, lease_seconds)
        found = self.get_study(study)
        fresh: list[Suggestion] = []
        if found.state is StudyState.RUNNING and (missing := checks.room_of(found, count - found.counts.waiting)) > 0:
            fresh = self._suggest(found, [{}] * missing)
        holder = Holder(worker, None, lease_seconds, request_id)
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            known = trials.of_request(tx, locked, request_id) if request_id else []
            if known:
                return [life.assignment(tx, locked, trials.held(tx, locked, number)) for number in known]
            checks.check_open(locked.state, study)
            taken = life.take_all(tx, locked, trials.waiting_of(tx, locked, count), holder)
            taken += life.create_held(tx, locked, fresh[: count - len(taken)], holder)
            life.save(tx, locked)
            return [life.assignment(tx, locked, held) for held in taken]

    def report_one(self, report: Report) -> Decision:
        """Raises `StudyNotFound`, `TrialNotFound`, `LeaseLost`, `InvalidInput`."""
        (decision,) = self.report([report])
        if decision is Decision.LOST:
            raise self._why_lost(report.lease)
        return decision

    def tell_one(self, result: Result) -> Trial:
        """Raises `StudyNotFound`, `TrialNotFound`, `LeaseLost`, `TrialFinished`, `InvalidInput`."""
        (receipt,) = self.tell([result])
        if receipt is Receipt.LOST:
            raise self._why_lost(result.lease)
        trial = self.get_trial(result.lease.study, result.lease.number)
        if receipt is Receipt.CONFLICT:
            raise TrialFinished(f"trial {trial.number} was told as {trial.state} before, with another result")
        return trial

    def _why_lost(self, lease: Lease) -> HpsearchError:
        trial = self.get_trial(lease.study, lease.number)
        because = f": {trial.reason}" if trial.reason else ""
        return LeaseLost(f"the lease on trial {trial.number} is no longer yours; it is {trial.state}{because}")

    # --- the gateway -------------------------------------------------------------------------------------------------

    def register(self, worker: Registration) -> Terms:
        """See `Gateway.register`. Raises `InvalidInput`."""
        if not worker.name or worker.slots < 1:
            raise InvalidInput(faults=[Fault("name" if worker.slots else "slots", "must not be empty")])
        try:
            with self._database.write() as tx:
                workers.register(tx, worker)
        except IntegrityError:  # two first registrations met: the row is there now
            with self._database.write() as tx:
                workers.register(tx, worker)
        lease_seconds = self._settings.lease_seconds
        return Terms(lease_seconds=lease_seconds, renew_seconds=lease_seconds / 3)

    def claim(self, worker: str, session: str, holding: Sequence[str], limit: int) -> list[Assignment]:
        """See `Gateway.claim`."""
        limit = checks.limit_of(limit)
        with self._database.read() as tx:
            row = workers.check_session(tx, worker, session)
            keys = trials.own_and_waiting(tx, worker, holding, row.objectives, limit)[:limit]
            open_studies = studies.open_to(tx, row.objectives) if len(keys) < limit else []
        fresh = self._plan(open_studies, limit - len(keys))
        holder = Holder(worker, session, self._settings.lease_seconds)
        assignments: list[Assignment] = []
        with self._database.write() as tx:
            workers.check_session(tx, worker, session)
            numbers = dict(checks.by_study(keys))
            for study_id in sorted(numbers.keys() | fresh.keys()):
                if study := studies.lock_by_id(tx, study_id):
                    taken = life.take_all(tx, study, numbers.get(study_id, ()), holder)
                    taken += life.create_held(tx, study, fresh.get(study_id, ()), holder)
                    life.save(tx, study)
                    assignments += [life.assignment(tx, study, held) for held in taken]
            workers.seen(tx, worker)
        return assignments

    def _plan(self, open_studies: Iterable[Study], wanted: int) -> dict[int, list[Suggestion]]:
        """New suggestions by study id, from the least served study first."""
        fresh: dict[int, list[Suggestion]] = {}
        for study in open_studies:
            if wanted <= 0:
                break
            count = checks.room_of(study, wanted)
            fresh[study.id] = self._suggest(study, [{}] * count)
            wanted -= count
        return fresh

    def renew(self, leases: Sequence[Lease]) -> list[Decision]:
        """See `Gateway.renew`."""
        with self._database.write() as tx:
            return life.in_lock_order(leases, lambda lease: lease, lambda lease: self._renew(tx, lease))

    def _renew(self, tx: Transaction, lease: Lease) -> Decision:
        row = trials.row_for_update(tx, lease)
        if row is None:
            return Decision.LOST
        trials.renew(tx, row)
        return Decision.PAUSE if row.study_state == StudyState.PAUSED.value else Decision.CONTINUE

    def report(self, batch: Sequence[Report]) -> list[Decision]:
        """See `Gateway.report`. Raises `InvalidInput`."""
        checks.check_reports(batch)
        with self._database.write() as tx:
            return life.in_lock_order(batch, lambda report: report.lease, lambda report: self._report(tx, report))

    def _report(self, tx: Transaction, report: Report) -> Decision:
        row = trials.row_for_update(tx, report.lease)
        if row is None:
            return Decision.LOST
        known = reports.on_record(tx, row, report.step)
        if known:
            trials.renew(tx, row)
            decision = known.decision
        else:
            decision = life.record(tx, row, replace(report, metrics=checks.finite(report.metrics)))
        if decision is Decision.CONTINUE and row.study_state == StudyState.PAUSED.value:
            return Decision.PAUSE
        return decision

    def tell(self, results: Sequence[Result]) -> list[Receipt]:
        """See `Gateway.tell`. Raises `InvalidInput`."""
        checks.check_results(results)
        results = [checks.storable(result) for result in results]
        return self._change_leased(results, lambda result: result.lease, life.finish)

    def release(self, releases: Sequence[Release]) -> list[Receipt]:
        """See `Gateway.release`."""
        return self._change_leased(releases, lambda release: release.lease, life.release)

    def _change_leased(
        self,
        items: Sequence[T],
        lease_of: Callable[[T], Lease],
        change: Callable[[Transaction, LockedStudy, AnyRow, T], Receipt],
    ) -> list[Receipt]:
        """Apply a change of state to each item's trial, with its study locked, in one transaction."""
        locked: dict[str, LockedStudy | None] = {}
        finished: dict[str, int] = {}

        def apply(tx: Transaction, item: T) -> Receipt:
            lease = lease_of(item)
            if lease.study not in locked:
                locked[lease.study] = studies.lock_if_there(tx, lease.study)
            study = locked[lease.study]
            row = trials.row_of_lease(tx, study, lease) if study else None
            if study is None or row is None:
                return Receipt.LOST
            before = study.finished
            receipt = change(tx, study, row, item)
            if row.worker and row.session:
                finished[row.worker] = finished.get(row.worker, 0) + study.finished - before
            return receipt

        with self._database.write() as tx:
            receipts = life.in_lock_order(items, lease_of, lambda item: apply(tx, item))
            for study in locked.values():
                if study:
                    life.save(tx, study)
            for worker in sorted(finished):
                workers.seen(tx, worker, finished=finished[worker])
        return receipts

    def put_artifact(self, lease: Lease, name: str, path: Path) -> Artifact:
        """See `Gateway.put_artifact`. Raises `InvalidInput` for a name that is no plain file name."""
        artifacts.check_name(name)
        with self._database.read() as tx:  # no copying for a lease that is gone already
            row = trials.row_for_update(tx, lease)
        if row is None:
            raise LeaseLost
        blob = self._files.keep(row.study_id, row.number, path)
        try:
            with self._database.write() as tx:
                row = trials.row_for_update(tx, lease)
                if row is None:
                    raise LeaseLost
                trials.renew(tx, row)
                record, former = artifacts.record(tx, row, name, blob)
        except HpsearchError as error:
            # after an unknown outcome (the connection broke at the commit) the bytes may be named: leave them
            if not isinstance(error, StoreUnavailable):
                self._files.discard(blob.path)
            raise
        if former is not None:
            self._files.discard(former)
        return record

    def get_artifact(self, study: str, number: int, name: str, path: Path) -> Artifact:
        """See `Gateway.get_artifact`."""
        record, source = self.open_artifact(study, number, name)
        artifacts.copy_out(source, record, path)
        return record

    # --- around them -------------------------------------------------------------------------------------------------

    def list_workers(self, after: str | None = None, limit: int = 100) -> Page[WorkerStatus]:
        """Workers by name, those of the last days."""
        with self._database.read() as tx:
            found = workers.page(tx, after or "", checks.limit_of(limit))
        return Page(items=tuple(found), next=found[-1].name if len(found) == limit else None)

    def objectives(self) -> tuple[ObjectiveInfo, ...]:
        """What the objectives publish of themselves."""
        return tuple(self._objectives.values())

    def objective(self, name: str) -> ObjectiveInfo:
        """Raises `ObjectiveNotFound`."""
        if name not in self._objectives:
            close = near(name, self._objectives)
            raise ObjectiveNotFound(
                f"there is no objective {name!r}" + (f" (did you mean {close!r}?)" if close else "")
            )
        return self._objectives[name]

    def _suggest(self, study: Study, settled: Sequence[Parameters]) -> list[Suggestion]:
        """Parameters for new trials. Reads what changed since the last time, then samples without a transaction."""
        if not settled:
            return []
        kept = self._histories.setdefault(study.id, _KeptHistory(History(study.spec)))
        with kept.lock:
            with self._database.read() as tx:
                kept.history.update(trials.changed_since(tx, study, kept.history.revision))
            return suggest(kept.history, settled)
