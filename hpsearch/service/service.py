"""The use cases: what hpsearch does, without HTTP. Each change is one transaction, none is held while sampling."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from hpsearch.confirmation import Confirmation
from hpsearch.errors import (
    Fault,
    HpsearchError,
    IllegalTransition,
    InvalidInput,
    LeaseLost,
    StoreUnavailable,
    TrialFinished,
)
from hpsearch.gateway import Assignment, Registration, Terms, WorkerStatus
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.search import quasi_random
from hpsearch.service import checks, confirmations, extending, leased, life
from hpsearch.service.ahead import Ahead
from hpsearch.service.artifacts import Artifacts
from hpsearch.service.claims import Claim, Claims, Later
from hpsearch.service.creating import Creation
from hpsearch.service.every_trial import every_trial
from hpsearch.service.histories import Histories
from hpsearch.service.known import KnownObjectives
from hpsearch.service.markers import Markers
from hpsearch.service.optuna_port import ServicePort
from hpsearch.service.queue import Queue
from hpsearch.service.reaper import Reaper
from hpsearch.service.tables import Tables
from hpsearch.service.understanding import Understanding
from hpsearch.settings import Settings
from hpsearch.store import artifacts, events, reports, studies, trials, workers
from hpsearch.store.artifacts import ArtifactFolder
from hpsearch.store.database import Database
from hpsearch.store.migrate import migrate
from hpsearch.store.trials import Holder
from hpsearch.studies import Best, Clone, Event, Page, Study, StudyState
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
    Trial,
    TrialKind,
    TrialState,
)

PATIENCE = 2.0
"""Seconds that a claim waits for a point that is being drawn; then its worker asks again."""


class Service:
    """Implements `Gateway`, and what people and outside loops need besides. Thread-safe.

    `objectives` are those that studies may name; `clock` replaces in tests the database's clock, and the one that slow
    answers are told by. Any method raises `StoreUnavailable` where the database cannot be reached or is full: nothing
    was done then, or all of it, and the same call again is safe.
    """

    def __init__(
        self, settings: Settings, objectives: Sequence[ObjectiveInfo] = (), clock: Callable[[], float] | None = None
    ) -> None:
        self._settings = settings
        self._database = Database(settings.sqlalchemy_url, clock)
        self._files = ArtifactFolder(settings.home_folder / "artifacts", settings.max_artifact_mb * 2**20)
        self._artifacts = Artifacts(self._database, self._files)
        self.markers = Markers(self._database)
        self.optuna = ServicePort(self._database)
        """Optuna's storage interface."""
        self._tables = Tables(self._database)
        self._objectives = KnownObjectives(self._database, objectives)
        self._creation = Creation(self._database, self._tables, self._objectives)
        self.understanding = Understanding(self._database, self._tables, clock or time.monotonic)
        """Importances, figures, a summary."""
        self._ahead = Ahead()
        self._histories = Histories(self._database, self._ahead)
        self._queue = Queue(self._database, self._tables, self._histories)
        self._claims = Claims(self._database, self._histories, settings.lease_seconds)
        self._reaper = Reaper(self._database, settings.lease_seconds)

    # --- the service itself ------------------------------------------------------------------------------------------

    def open(self, *, reaper: bool = True) -> None:
        """Bring the tables up to date, remove what a killed server left half written, and start to look for dead leases
        unless told not to.

        Raises `ConfigurationError`, `StoreUnavailable`.
        """
        migrate(self._database)
        self._files.sweep()
        if reaper:
            self._reaper.start()

    def close(self) -> None:
        """Stop the reaper and drop the database's connections."""
        self._reaper.close()
        self._ahead.close()
        self._database.close()

    def import_ahead(self) -> None:
        """Import in the background what the first claim will need, where a study is open: for servers, once they
        answer."""
        with contextlib.suppress(StoreUnavailable), self._database.read() as tx:
            if studies.are_open(tx):
                quasi_random.import_ahead()

    def check_ready(self) -> None:
        """Raises `StoreUnavailable` where the database cannot be asked."""
        with self._database.read() as tx:
            studies.page(tx, after_id=0, limit=1)

    def reap(self) -> int:
        """Hand back the trials whose leases have ended, end the studies whose time is up; returns how many of both.

        Any number of servers may do this at once.
        """
        return self._reaper.reap()

    # --- studies -----------------------------------------------------------------------------------------------------

    def create_study(self, raw: object) -> tuple[Study, bool]:
        """The study and whether it is new. The same description again answers with the study that exists.

        Raises `InvalidSpec` with every fault, `StudyExists`.
        """
        return self._creation.create(raw)

    def get_study(self, name: str) -> Study:
        """Raises `StudyNotFound`."""
        return studies.read(self._database, name)

    def list_studies(self, after: str | None = None, limit: int = 100) -> Page[Study]:
        """Studies in the order of creation. Raises `InvalidInput` for a cursor that is none."""
        with self._database.read() as tx:
            found = studies.page(tx, checks.cursor_of(after, 0), checks.limit_of(limit))
        return Page(items=tuple(found), next=str(found[-1].id) if len(found) == limit else None)

    def pause_study(self, name: str) -> Study:
        """Hand out nothing more; running trials are handed back with their next report. Paused already: as it is.

        Raises `StudyNotFound`, `IllegalTransition`.
        """
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            if study.state is not StudyState.PAUSED:
                study.move(StudyState.PAUSED, "paused by a user")
            return study.save()

    def resume_study(self, name: str) -> Study:
        """Open a paused study again, where it was. Raises `StudyNotFound`, `IllegalTransition`."""
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            if study.state.has_ended:
                raise IllegalTransition(f"a {study.state} study cannot become running")
            if study.state is StudyState.PAUSED:
                life.reopen(study)
            return study.save()

    def stop_study(self, name: str) -> Study:
        """End a study for good: what runs or waits is cancelled, its leases are dead at once. Ended: as it is.

        Raises `StudyNotFound`.
        """
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            if not study.state.has_ended:
                life.stop(tx, study)
            return study.save()

    def extend_study(self, name: str, trials: int) -> Study:
        """Raise a study's budget to so many finished trials in all; one that its budget had ended goes on. The same
        again changes nothing.

        Raises `StudyNotFound`; `InvalidInput` for fewer than it has; `StudyEnded` where it was stopped; `Conflict`
        where more trials would not let it go on.
        """
        with self._database.write() as tx:
            study = studies.lock(tx, name)
            extending.extend(tx, study, trials)
            return life.save(tx, study)

    def clone_study(self, name: str, new_name: str, raw: object = None, *, counted: bool = False) -> Clone:
        """A study under another name, of another description where `raw` gives one: another space, mostly. What the
        trials of the first one found is copied where their parameters are of the new space; its budget counts them
        only if told to. The same again answers with the study that was made.

        Raises `StudyNotFound`, `InvalidSpec` with every fault, `StudyExists`.
        """
        return self._creation.clone(name, new_name, raw, counted=counted)

    def delete_study(self, name: str) -> None:
        """Remove a study with its trials, reports and artifacts; leases on them are dead at once.

        Raises `StudyNotFound`.
        """
        with self._database.write() as tx:
            study_id = studies.lock(tx, name).id
            studies.remove(tx, study_id)
        self._histories.forget(study_id)
        self.understanding.forget(study_id)
        self.markers.forget(name)
        self._files.discard_study(study_id)

    def best(self, name: str) -> Best:
        """The best complete trial so far (of equals the one that was told first), and once the study has ended the
        best configuration on fresh seeds. Raises `StudyNotFound`."""
        confirmed = None
        with self._database.read() as tx:
            study = studies.find(tx, name)
            trial = None if study.best_number is None else trials.find(tx, study, study.best_number)
            if study.state.has_ended and study.confirm_counts.complete:
                confirmed = confirmations.find(tx, study).best
        return Best(
            study=name,
            state=study.state,
            reason=study.reason,
            ended_because=study.ended_because,
            trial=trial,
            confirmed=confirmed,
        )

    def confirmation(self, name: str) -> Confirmation:
        """What the best configurations are worth on fresh seeds, as far as that is known. Raises `StudyNotFound`."""
        with self._database.read() as tx:
            return confirmations.find(tx, studies.find(tx, name))

    def events(self, name: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """What happened in a study after a revision. Raises `StudyNotFound`."""
        with self._database.read() as tx:
            return events.after(tx, studies.find(tx, name).id, after, checks.limit_of(limit))

    # --- trials ------------------------------------------------------------------------------------------------------

    def list_trials(
        self,
        study: str,
        states: Sequence[TrialState] = (),
        after: str | None = None,
        limit: int = 100,
        kind: TrialKind = TrialKind.SEARCH,
    ) -> Page[Trial]:
        """Trials by number; those of the search, unless others are meant. Raises `StudyNotFound`, `InvalidInput`."""
        with self._database.read() as tx:
            start, count = checks.cursor_of(after, -1), checks.limit_of(limit)
            found = trials.page(tx, studies.find(tx, study), start, count, states, kind)
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

    def open_artifact(self, study: str, number: int | None, name: str) -> tuple[Artifact, Path]:
        """The record, and the file that holds its bytes; without a number of the best trial.

        Raises `StudyNotFound`, `TrialNotFound`, `ArtifactNotFound`.
        """
        return self._artifacts.open(study, number, name)

    def enqueue(
        self, study: str, configurations: Sequence[Parameters], *, request_id: str | None = None
    ) -> list[Trial]:
        """Trials with given parameters, ahead of new suggestions; the sampler fills in what is left out. The same
        `request_id` again is answered with the same trials.

        Raises `StudyNotFound`, `InvalidInput`, `StudyEnded`, `BudgetExceeded`; then nothing was enqueued.
        """
        return self._queue.enqueue(study, configurations, request_id)

    def enqueue_best(self, study: str, source: str, count: int, *, request_id: str | None = None) -> list[Trial]:
        """The best complete trials' configurations of another study, as far as they are of this one's space: a search
        that begins where an earlier one came to (Feurer et al. 2015). The sampler fills in the rest.

        Raises what `enqueue` does, and `InvalidInput` where none of them says anything of this space.
        """
        return self._queue.enqueue_best(study, source, count, request_id)

    def retry_failed(self, study: str, numbers: Sequence[int] | None = None) -> list[Trial]:
        """Let failed trials (all, where none is named) be run again, under their numbers: no trial counts twice.

        Those that wait or run already are left as they are, so that the same call again is safe. A study that its
        budget had ended opens again, and confirms what has become best after it. Raises `StudyNotFound`, `StudyEnded`
        where it was stopped, `Conflict` where it has reached its target or used up its time, and `InvalidInput` where
        a number is not of a failed trial; then none is run again.
        """
        return self._queue.retry(study, numbers)

    def export(self, study: str, kind: TrialKind = TrialKind.SEARCH) -> Iterator[Trial]:
        """Every trial of the search by number (of another kind, where that is meant), a page at a time. Raises
        `StudyNotFound` at once."""
        found = self.get_study(study)
        return every_trial(self._database, found, kind)

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
        call = partial(self.ask_once, study, count, request_id=request_id, worker=worker, lease_seconds=lease_seconds)
        return self._patiently(call)

    def ask_once(
        self,
        study: str,
        count: int = 1,
        *,
        request_id: str | None = None,
        worker: str | None = None,
        lease_seconds: float = 3600.0,
    ) -> list[Assignment]:
        """The same at once: `Later` where trials are being drawn."""
        checks.check_ask(count, lease_seconds)
        return self._claims.ask(study, count, Holder(worker, None, lease_seconds, request_id))

    def soon(self) -> Future[None] | None:
        """Done when something more is drawn: for whoever was answered with `Later`. None where it just was."""
        return self._ahead.soon

    def _patiently(self, call: Callable[[], list[Assignment]]) -> list[Assignment]:
        """The call's answer; where it says `Later`, what it says a little later."""
        deadline = time.monotonic() + PATIENCE
        while isinstance(answer := call(), Later) and (left := deadline - time.monotonic()) > 0:
            if (soon := self.soon()) is not None:
                wait([soon], left)
        return answer

    def report_one(self, report: Report) -> Decision:
        """Raises `StudyNotFound`, `TrialNotFound`, `LeaseLost`, `InvalidInput`."""
        with checks.of_one():
            (decision,) = self.report([report])
        self.check_kept(report.lease, decision)
        return decision

    def check_kept(self, lease: Lease, answer: Decision | Receipt) -> None:
        """Raises why a lease is lost, where the answer says so: `StudyNotFound`, `TrialNotFound`, `LeaseLost`."""
        if answer in (Decision.LOST, Receipt.LOST):
            trial = self.get_trial(lease.study, lease.number)
            because = f": {trial.reason}" if trial.reason else ""
            raise LeaseLost(f"the lease on trial {trial.number} is no longer yours; it is {trial.state}{because}")

    def tell_one(self, result: Result) -> Trial:
        """Raises `StudyNotFound`, `TrialNotFound`, `LeaseLost`, `TrialFinished`, `InvalidInput`."""
        with checks.of_one():
            (receipt,) = self.tell([result])
        return self.trial_told(result.lease, receipt)

    def trial_told(self, lease: Lease, receipt: Receipt) -> Trial:
        """The trial after a tell that was answered so. Raises like `tell_one`."""
        self.check_kept(lease, receipt)
        trial = self.get_trial(lease.study, lease.number)
        if receipt is Receipt.CONFLICT:
            raise TrialFinished(f"trial {trial.number} was told as {trial.state} before, with another result")
        return trial

    # --- the gateway -------------------------------------------------------------------------------------------------

    def register(self, worker: Registration) -> Terms:
        """See `Gateway.register`. Raises `InvalidInput`."""
        if not worker.name or worker.slots < 1:
            raise InvalidInput(faults=[Fault("name" if worker.slots else "slots", "must not be empty")])
        self._objectives.publish(worker.published, besides=partial(workers.register, worker=worker))
        lease_seconds = self._settings.lease_seconds
        return Terms(lease_seconds=lease_seconds, renew_seconds=lease_seconds / 3)

    def claim(self, worker: str, session: str, holding: Sequence[str], limit: int) -> list[Assignment]:
        """See `Gateway.claim`."""

        def call() -> list[Assignment]:
            (answer,) = self.claim_all([Claim(worker, session, holding, limit)])
            if isinstance(answer, HpsearchError):
                raise answer
            return answer

        return self._patiently(call)

    def claim_all(self, claims: Sequence[Claim]) -> list[list[Assignment] | HpsearchError]:
        """Several workers' claims in one transaction; an answer or a refusal each, `Later` where it is being drawn."""
        for claim in claims:
            checks.limit_of(claim.limit)
        return self._claims.answer(claims)

    def renew(self, leases: Sequence[Lease]) -> list[Decision]:
        """See `Gateway.renew`."""
        return leased.renew(self._database, leases)

    def report(self, batch: Sequence[Report]) -> list[Decision]:
        """See `Gateway.report`. Raises `InvalidInput`."""
        checks.check_reports(batch)
        return leased.report(self._database, batch)

    def tell(self, results: Sequence[Result]) -> list[Receipt]:
        """See `Gateway.tell`. Raises `InvalidInput`."""
        checks.check_results(results)
        return leased.tell(self._database, results)

    def release(self, releases: Sequence[Release]) -> list[Receipt]:
        """See `Gateway.release`."""
        return leased.release(self._database, releases)

    def uploading(self) -> AbstractContextManager[Path]:
        """Where an upload may be written, for as long as the block takes: `put_artifact` moves it away. Raises
        `StoreUnavailable` where there is no room."""
        return self._files.uploading()

    def put_artifact(self, lease: Lease, name: str, path: Path) -> Artifact:
        """See `Gateway.put_artifact`. Raises `InvalidInput` for a name that is no plain file name."""
        return self._artifacts.put(lease, name, path)

    def get_artifact(self, study: str, number: int | None, name: str, path: Path) -> Artifact:
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
        """What the objectives publish of themselves: the server's, then users' own."""
        return tuple(self._objectives.known().values())

    def objective(self, name: str) -> ObjectiveInfo:
        """Raises `ObjectiveNotFound`."""
        return self._objectives.find(name)

    def publish_objectives(self, infos: Sequence[ObjectiveInfo]) -> None:
        """Make users' own objectives known before a worker does, or again. Raises `InvalidInput`."""
        self._objectives.publish(infos)
