"""A slot: one warm child process, and the trial that it runs, from its claim until the service knows how it ended."""

import logging
import math
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hpsearch.errors import ConfigurationError, HpsearchError, LeaseLost
from hpsearch.gateway import Assignment
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.trials import CHECKPOINTS, Decision, Lease, Receipt, Release, Report, Result, TrialState
from hpsearch.worker.child import Child
from hpsearch.worker.courier import Courier
from hpsearch.worker.letters import Download, Item, Transfer, Upload
from hpsearch.worker.messages import Briefing, Broken, Ended, Fetching, FromChild, Measured, Ready, Reply, Saving, Task
from hpsearch.worker.options import AgentOptions

logger = logging.getLogger("hpsearch.worker")

LOST_SECONDS = 2.0
"""A trial whose lease is lost may end by itself, at its next report, for so long; then its process is killed."""
MOST_UNANSWERED = 32
"""A trial goes on training while no more of its reports are unanswered."""
SHUT_DOWN = "worker shut down"
PAUSED = "told to pause"  # its study pauses, or it does itself, at a rung


@dataclass(slots=True, eq=False)
class Run:
    """A trial in a slot."""

    assignment: Assignment
    folder: Path
    """The trial's own, with its workspace in it."""
    checkpoint: Path | None = None
    awaiting: Item | Transfer | None = None
    """What the child waits for, or how the trial ended; None while the child computes."""
    is_held: bool = False
    """Whether that is to be sent when all reports are answered."""
    unanswered: list[Report] = field(default_factory=list)
    """Reports on their way, oldest first; the child waits for the last of them at most."""
    noted: Decision | HpsearchError | None = None
    """What the service answered to a report that the child did not wait for: it hears that at its next one."""
    started_at: float = field(default_factory=time.monotonic)
    computing_since: float = field(default_factory=time.monotonic)
    handed_back_for: str | None = None
    """Why the child was told to PAUSE: whatever it returns then, the trial is released."""
    lost_at: float | None = None
    """When its lease was found to be lost: the service hears nothing more of it."""

    @property
    def lease(self) -> Lease:
        return self.assignment.lease

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def needs_answer(self, report: Report) -> bool:
        """Whether the child must wait for the answer to its newest report."""
        judged = self.assignment.judged_steps
        return judged is None or report.step in judged or len(self.unanswered) > MOST_UNANSWERED

    def settle(self, report: Report) -> bool:
        """Take a report from the unanswered ones; whether it was one."""
        left = [other for other in self.unanswered if other is not report]
        is_one, self.unanswered = len(left) < len(self.unanswered), left
        return is_one

    @property
    def is_over(self) -> bool:
        """Whether it has ended here, and the service is yet to take note."""
        return isinstance(self.awaiting, Result | Release)

    @property
    def is_fetching(self) -> bool:
        """Whether its checkpoint is on the way, and the child idle."""
        return isinstance(self.awaiting, Download) and self.awaiting.is_checkpoint

    def __str__(self) -> str:
        return f"study {self.lease.study}: trial {self.lease.number}"


def _begin(assignment: Assignment, folder: Path) -> Run:
    lease = assignment.lease
    run = Run(assignment, Path(tempfile.mkdtemp(prefix=f"{lease.study}-{lease.number}-", dir=folder)))
    run.workspace.mkdir()
    return run


def _result(run: Run, ended: Ended) -> Result:
    """A trial's end, as it is told: complete only with a value for every metric that its study searches."""
    state, reason, values = TrialState(ended.state), ended.reason, None
    if ended.value is not None:
        first, *others = run.assignment.objective.searched
        found = [ended.value, *(ended.metrics.get(name) for name in others)]
        values = tuple(value for value in found if value is not None and math.isfinite(value))
        if state is TrialState.COMPLETE and len(values) < len(found):
            name = next(name for name, value in zip((first, *others), found, strict=True) if value not in values)
            what = f"diverged: {name} is not finite" if name in ended.metrics else f"its end has no {name}"
            state, reason, values = TrialState.FAILED, f"{what}, which the study searches", None
    return Result(lease=run.lease, state=state, values=values, metrics=ended.metrics, reason=reason)


class Slot:
    """Tells the service what its child says and the child what the service answers. Never blocks."""

    def __init__(self, courier: Courier, options: AgentOptions, folder: Path, number: int = 0) -> None:
        self._courier = courier
        self._options = options
        self._folder = folder
        self._number = number
        briefing = Briefing(
            objectives=dict(options.objectives), own=dict(options.own), threads=options.threads, folder=folder
        )
        self._child = Child(briefing)
        self.published: tuple[ObjectiveInfo, ...] | None = None
        """What the users' own objectives say of themselves, once they are imported."""
        self.run: Run | None = None
        self.is_handing_back = False
        """Whether trials are told to PAUSE at their next report."""

    @property
    def is_free(self) -> bool:
        """Whether a trial could start at once."""
        return self._child.is_ready and self.run is None

    @property
    def waitables(self) -> list[Connection]:
        """What becomes readable when there is something to do."""
        return self._child.waitables

    def start(self) -> None:
        """See that there is a child process."""
        if not self._child.is_started:
            self._child.start()

    def close(self) -> None:
        """End the child process and forget its trial."""
        self._child.bury()
        self._forget()

    def take(self, assignment: Assignment) -> None:
        """Run a trial, from its checkpoint where it has one."""
        self.run = run = _begin(assignment, self._folder)
        logger.info("%s started (attempt %d)", run, run.lease.attempt)
        if assignment.checkpoint is None:
            self._launch(run)
            return
        lease, name = run.lease, assignment.checkpoint.name
        self._await(run, Download(lease.study, lease.number, name, run.folder / name, is_checkpoint=True))

    def _await(self, run: Run, item: Result | Release | Transfer) -> None:
        """Ask the service for something: at once, or when it has answered all reports of the trial. It must have them
        before it hears how the trial ended, and before a checkpoint from which another attempt goes on after them."""
        run.awaiting = item
        if run.unanswered:
            self._courier.flush()
        comes_after = isinstance(item, Result | Release) or item.name in CHECKPOINTS
        run.is_held = comes_after and bool(run.unanswered)
        if not run.is_held:
            self._ask(run)

    def _ask(self, run: Run) -> None:
        run.is_held = False
        if isinstance(run.awaiting, Result) and isinstance(run.noted, HpsearchError):
            reason = f"{type(run.noted).__name__}: {run.noted}"
            run.awaiting = Result(lease=run.lease, state=TrialState.FAILED, reason=reason)
        if isinstance(run.awaiting, Upload | Download):
            self._courier.transfer(run.awaiting)
        elif run.awaiting is not None:
            self._courier.send(run.awaiting)

    def _launch(self, run: Run) -> None:
        assignment, objective = run.assignment, run.assignment.objective
        run.awaiting, run.computing_since = None, time.monotonic()
        self._child.send(
            Task(
                objective=str(objective.name),
                parameters={**objective.settings, **assignment.parameters},
                seed=assignment.seed,
                metrics=objective.searched,
                workspace=run.workspace,
                data_roots=self._options.data_roots,
                checkpoint=run.checkpoint,
                number=run.lease.number,
                attempt=run.lease.attempt,
                study=run.lease.study,
                slot=self._number,
            )
        )

    # --- what the child says ---------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear what the child has to say, and notice its death.

        Raises `ConfigurationError` where it cannot import an objective.
        """
        for message in self._child.receive():
            self._hear(message)
        if self._child.is_dead:
            self._child_died()

    def _hear(self, message: FromChild) -> None:
        run = self.run
        if isinstance(message, Broken):
            if not self._child.was_ever_ready:
                raise ConfigurationError(f"an objective cannot be imported: {message.reason}")
            logger.error("an objective could not be imported again: %s", message.reason)
        elif isinstance(message, Ready):
            self.published = message.published
        elif run is None:
            return
        elif isinstance(message, Ended):
            self._ended(run, message)
        elif isinstance(message, Measured | Saving | Fetching) and run.lost_at is not None:
            self._child.send(Decision.LOST)
        elif isinstance(message, Measured):
            self._measured(run, message)
        elif isinstance(message, Saving):
            self._await(run, Upload(run.lease, message.name, message.path))
        elif isinstance(message, Fetching):
            source = message.study, message.number, message.name
            self._await(run, Download(*source, message.path, is_checkpoint=False))

    def _measured(self, run: Run, measured: Measured) -> None:
        """Send a report. The child waits where the answer may be a decision about its trial, else it goes on."""
        report = Report(lease=run.lease, step=measured.step, value=measured.value, metrics=measured.metrics)
        run.awaiting = report
        run.unanswered.append(report)
        goes_on = not run.needs_answer(report)
        self._courier.send(report, can_wait=goes_on)
        if goes_on:
            self._answer(run, Decision.CONTINUE)

    def _ended(self, run: Run, ended: Ended) -> None:
        if ended.traceback:
            logger.error("%s raised an exception\n%s", run, ended.traceback.rstrip())
        if run.lost_at is not None:
            self._forget()
        elif run.handed_back_for is not None:
            self._release(run, run.handed_back_for, crashed=False)
        else:
            self._finish(run, _result(run, ended))

    def _child_died(self) -> None:
        epitaph = self._child.bury()
        run = self.run
        if run is None or run.is_over:
            logger.error("an idle slot's process died: %s", epitaph)
        elif run.lost_at is not None:
            self._forget()
        else:
            self._release(run, f"its process died: {epitaph}", crashed=not run.is_fetching)

    # --- what the service answers ----------------------------------------------------------------------------------

    def answered(self, item: Item, answer: Decision | Receipt) -> None:
        """Act on the service's answer, if it is to what this slot waits for."""
        run = self.run
        if run is None:
            return
        if isinstance(item, Report) and isinstance(answer, Decision):
            self._report_answered(run, item, answer)
        elif isinstance(answer, Receipt) and run.awaiting is item:
            self._conclude(run, answer)

    def _report_answered(self, run: Run, report: Report, answer: Decision | HpsearchError) -> None:
        if not run.settle(report):
            return
        if answer is Decision.LOST:
            self._lose(run)
        elif run.awaiting is report:
            self._answer(run, answer)
            return
        elif answer is not Decision.CONTINUE and not isinstance(run.noted, HpsearchError):
            run.noted = answer
        if run.is_held and not run.unanswered:
            self._ask(run)

    def _answer(self, run: Run, answer: Decision | HpsearchError) -> None:
        """Answer the child's report: with what was noted of an earlier one, where there is nothing newer."""
        noted, run.noted = run.noted, None
        if noted is not None and (answer is Decision.CONTINUE or isinstance(noted, HpsearchError)):
            answer = noted
        if answer is Decision.PAUSE:
            self._pause(run, PAUSED)
        elif answer is Decision.CONTINUE and self.is_handing_back:
            self._pause(run, SHUT_DOWN)
        else:
            self._reply(run, answer)

    def refused(self, item: Item, error: HpsearchError) -> None:
        """Act on an item that the service will not take."""
        run = self.run
        if run is None:
            return
        if isinstance(item, Report):
            self._report_answered(run, item, error)
        elif run.awaiting is not item:
            return
        elif isinstance(item, Result) and (item.values or item.metrics):
            reason = f"the service refused its result: {error}"
            self._finish(run, Result(lease=run.lease, state=TrialState.FAILED, reason=reason))
        else:
            logger.error("%s: the service refused how it ended: %s", run, error)
            self._forget()

    def transferred(self, transfer: Transfer, error: HpsearchError | None) -> None:
        """Act on a file that has arrived, or was refused."""
        run = self.run
        if run is None or run.awaiting is not transfer:
            return
        if run.is_fetching:
            if error is None:
                run.checkpoint = transfer.path
            else:
                logger.warning("%s starts from its beginning, its checkpoint is gone: %s", run, error)
            self._launch(run)
        elif isinstance(error, LeaseLost):
            self._lose(run)
        else:
            self._reply(run, error or Decision.CONTINUE)

    def lease_lost(self, lease: Lease) -> None:
        """End the trial under this lease, if it is here."""
        if self.run is not None and self.run.lease.token == lease.token:
            self._lose(self.run)

    def _reply(self, run: Run, reply: Reply) -> None:
        run.awaiting, run.computing_since = None, time.monotonic()
        self._child.send(reply)

    def _pause(self, run: Run, reason: str) -> None:
        run.handed_back_for = reason
        self._reply(run, Decision.PAUSE)

    def _lose(self, run: Run) -> None:
        """Let go of a trial: at once where its child is idle, else at its next report or soon after."""
        if run.is_over or run.lost_at is not None:
            return
        logger.warning("%s is no longer this worker's: stopping it", run)
        run.lost_at = time.monotonic()
        self._drop_reports(run)
        if run.is_fetching:
            self._forget()
        elif run.awaiting is not None:
            self._cancel(run)
            self._reply(run, Decision.LOST)

    def _conclude(self, run: Run, receipt: Receipt) -> None:
        """Log how the trial ended; the slot is free."""
        seconds = time.monotonic() - run.started_at
        ending = run.awaiting
        if receipt is not Receipt.ACCEPTED:
            logger.warning("%s: its end was not accepted (%s), after %.1f s", run, receipt, seconds)
        elif isinstance(ending, Release):
            logger.info("%s handed back (%s), after %.1f s", run, ending.reason, seconds)
        elif isinstance(ending, Result):
            value = f", {run.assignment.objective.metric} {ending.values[0]:.6g}" if ending.values else ""
            reason = f" ({ending.reason})" if ending.reason else ""
            logger.info("%s %s%s%s, after %.1f s", run, ending.state, value, reason, seconds)
        self._forget()

    # --- how it ends -----------------------------------------------------------------------------------------------

    def check_deadlines(self) -> None:
        """Kill what hangs, and what goes on without a lease."""
        now, run = time.monotonic(), self.run
        hang_seconds = self._options.hang_seconds
        if run is None:
            if self._child.is_started and not self._child.is_ready and now - self._child.started_at > hang_seconds:
                logger.error("a slot's process was not ready after %g s: starting it again", hang_seconds)
                self._child.bury()
        elif run.lost_at is not None:
            if now - run.lost_at > LOST_SECONDS:
                self.close()
        elif (run.awaiting is None or run.is_fetching) and now - run.computing_since > hang_seconds:
            what = "its checkpoint could not be fetched" if run.is_fetching else "it reported nothing"
            self._child.bury()
            self._release(run, f"killed: {what} for {hang_seconds:g} s", crashed=True)

    def evict(self) -> None:
        """Kill the child process; hand its trial back unless that has ended."""
        self._child.bury()
        if self.run is not None and self.run.lost_at is not None:
            self._forget()
        elif self.run is not None and not self.run.is_over:
            self._release(self.run, SHUT_DOWN, crashed=False)

    def _finish(self, run: Run, result: Result) -> None:
        self._cancel(run)
        shutil.rmtree(run.folder, ignore_errors=True)
        self._await(run, result)

    def _release(self, run: Run, reason: str, *, crashed: bool) -> None:
        if crashed:
            logger.error("%s: %s", run, reason)
        self._cancel(run)
        shutil.rmtree(run.folder, ignore_errors=True)
        self._await(run, Release(lease=run.lease, reason=reason, crashed=crashed))

    def _forget(self) -> None:
        """Drop the trial, without a word to the service."""
        if self.run is not None:
            self._cancel(self.run)
            self._drop_reports(self.run)
            shutil.rmtree(self.run.folder, ignore_errors=True)
            self.run = None

    def _cancel(self, run: Run) -> None:
        """Wait no more for what the service has yet to answer."""
        if isinstance(run.awaiting, Upload | Download):
            run.awaiting.given_up.set()
        elif run.awaiting is not None:
            self._courier.drop(run.awaiting)
        if isinstance(run.awaiting, Report):
            run.settle(run.awaiting)
        run.awaiting, run.is_held = None, False

    def _drop_reports(self, run: Run) -> None:
        """Nobody wants them any more."""
        for report in run.unanswered:
            self._courier.drop(report)
        run.unanswered = []
