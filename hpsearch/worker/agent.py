"""The agent: claims trials for its slots, keeps their leases alive, forwards what they report and tells how they end.

    objectives = {"rnn": "hpsearch.objectives.rnn.objective:RnnObjective"}
    agent = Agent(gateway, AgentOptions(name="box-1", objectives=objectives))
    agent.install_signal_handlers()  # in the main thread only; a program that has handlers of its own calls stop()
    agent.run()                      # until stopped

`run` returns None after a clean stop (exit code 0) and raises what ended it otherwise, for the command to print and
exit with 1: `WorkerReplaced`, `Unauthorized`, `ConfigurationError` (an objective cannot be imported here),
`InvalidInput` (the service refused the registration). The gateway is called from several threads at once.

The main loop talks to the slots' child processes and waits for nothing else; the courier's threads talk to the service
and leave its answers in the mailbox. So neither a slow upload nor a server that is away keeps it from noticing a crash,
a hang or a signal, or the renewals from going out.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from hpsearch import __version__
from hpsearch.gateway import Assignment, Gateway, Registration, Terms
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.trials import Lease, Release
from hpsearch.worker.courier import Courier
from hpsearch.worker.letters import (
    Answered,
    Claimed,
    Fatal,
    Forgotten,
    Letter,
    Lost,
    Refused,
    Registered,
    Transferred,
)
from hpsearch.worker.mailbox import Mailbox
from hpsearch.worker.options import AgentOptions
from hpsearch.worker.slot import SHUT_DOWN, Slot

__all__ = ["Agent", "AgentOptions"]

logger = logging.getLogger("hpsearch.worker")

TICK_SECONDS = 0.25
"""How often deadlines are looked at when nothing happens."""
HAND_BACK_SECONDS = 4.0
"""After the grace, trials are asked for so long to checkpoint and return; then their processes are killed."""
LAST_WORDS_SECONDS = 3.0
"""At the very end, the service has so long to answer what it has not answered yet."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """When an agent that was told to stop does what."""

    hand_back_at: float
    kill_at: float
    give_up_at: float


class Agent:
    """One worker process, for one `run`."""

    def __init__(self, gateway: Gateway, options: AgentOptions) -> None:
        self._options = options
        self._session = secrets.token_hex(8)
        self._mailbox: Mailbox[Letter] = Mailbox()
        self._courier = Courier(gateway, self._mailbox.post)
        self._slots: list[Slot] = []
        self._unplaced: deque[Assignment] = deque()
        """Claimed for a slot whose child died meanwhile."""
        self._published: tuple[ObjectiveInfo, ...] | None = None
        """What it has registered with."""
        self._terms: Terms | None = None
        self._is_claiming = False
        self._claim_at = 0.0
        self._unfilled = 0
        """How many free slots the last claim left empty."""
        self._stops = 0
        self._stop: _Stop | None = None

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and SIGINT call `stop`. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def stop(self) -> None:
        """The first call: claim no more, let trials finish, then hand them back. The second: stop at once.

        Safe from any thread and from a signal handler.
        """
        self._stops += 1
        self._mailbox.wake()

    def run(self) -> None:
        """Work until stopped."""
        options = self._options
        if options.workspace is not None:
            options.workspace.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="hpsearch-worker-", dir=options.workspace)).absolute()
        self._slots = [Slot(self._courier, options, folder, number) for number in range(options.slots)]
        try:
            self._courier.start()
            if not options.own:  # else once they are imported: with what they say of themselves
                self._register(())
            while not self._is_done():
                self._turn()
            self._say_goodbye()
        finally:
            self._courier.close()
            for slot in self._slots:
                slot.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _register(self, published: tuple[ObjectiveInfo, ...]) -> None:
        options, self._published = self._options, published
        self._courier.register(
            Registration(
                name=options.name,
                session=self._session,
                host=socket.gethostname(),
                pid=os.getpid(),
                slots=options.slots,
                objectives=(*options.objectives, *options.own),
                version=__version__,
                published=published,
            )
        )

    def _turn(self) -> None:
        """Wait for something to happen, and act on all that has."""
        for slot in self._slots:
            if self._stop is None:
                slot.start()
        tick = min(TICK_SECONDS, self._options.poll_seconds)
        wait([self._mailbox.fileno(), *(waitable for slot in self._slots for waitable in slot.waitables)], tick)
        for letter in self._mailbox.collect():
            self._read(letter)
        for slot in self._slots:
            slot.listen()
            slot.check_deadlines()
            if self._published is None and slot.published is not None:
                self._register(slot.published)
        self._heed_stop()
        self._place()
        self._claim()
        self._courier.keep(self._leases)

    def _read(self, letter: Letter) -> None:
        if isinstance(letter, Fatal):
            raise letter.error
        if isinstance(letter, Registered):
            self._registered(letter.terms)
        elif isinstance(letter, Forgotten):
            logger.warning("the service does not know this worker any more: registering again")
            self._register(self._published or ())
        elif isinstance(letter, Claimed):
            self._claimed(letter.assignments)
        else:
            for slot in self._slots:
                _deliver(letter, slot)

    # --- claims ------------------------------------------------------------------------------------------------------

    def _registered(self, terms: Terms) -> None:
        if self._terms is None:
            logger.info("worker %s registered, %d slots", self._options.name, self._options.slots)
            self._courier.renew_every(terms.renew_seconds)
        self._terms = terms
        self._is_claiming = False

    def _claim(self) -> None:
        """Ask for as many trials as could start at once, unless that was answered just now."""
        if self._terms is None or self._stop is not None or self._is_claiming:
            return
        free = sum(slot.is_free for slot in self._slots)
        if free > self._unfilled or (free and time.monotonic() >= self._claim_at):
            self._is_claiming = True
            self._unfilled = free
            self._courier.claim(self._options.name, self._session, [lease.token for lease in self._leases], free)

    def _claimed(self, assignments: Sequence[Assignment]) -> None:
        self._is_claiming = False
        self._unfilled -= len(assignments)
        self._claim_at = time.monotonic() + self._options.poll_seconds
        self._unplaced.extend(assignments)

    def _place(self) -> None:
        """Start what was claimed; hand it back where the agent was told to stop meanwhile."""
        if self._stop is not None:
            for assignment in self._unplaced:
                self._courier.send(Release(lease=assignment.lease, reason=SHUT_DOWN))
            self._unplaced.clear()
        for slot in self._slots:
            if slot.is_free and self._unplaced:
                slot.take(self._unplaced.popleft())

    @property
    def _leases(self) -> list[Lease]:
        """Every lease that this worker knows of and has not lost."""
        runs = [slot.run for slot in self._slots if slot.run is not None and slot.run.lost_at is None]
        return [assignment.lease for assignment in self._unplaced] + [run.lease for run in runs]

    # --- stopping ----------------------------------------------------------------------------------------------------

    def _heed_stop(self) -> None:
        """Do what is due after `stop`: nothing new, then hand back, then kill."""
        if not self._stops:
            return
        now = time.monotonic()
        if self._stop is None:
            hand_back_at = now + self._options.grace_seconds
            kill_at = hand_back_at + HAND_BACK_SECONDS
            self._stop = _Stop(hand_back_at, kill_at, kill_at + LAST_WORDS_SECONDS)
            self._courier.give_up_claims()
            logger.info("stopping; trials have %g s to finish", self._options.grace_seconds)
        if self._stops > 1 and now < self._stop.kill_at:
            self._stop = _Stop(now, now, now + LAST_WORDS_SECONDS)
        for slot in self._slots:
            slot.is_handing_back = now >= self._stop.hand_back_at
            if now >= self._stop.kill_at:
                slot.evict()
        if now >= self._stop.kill_at:
            self._courier.hurry()

    def _is_done(self) -> bool:
        if self._stop is None:
            return False
        is_quiet = self._courier.is_idle and not self._is_claiming and not self._unplaced
        return (is_quiet and all(slot.run is None for slot in self._slots)) or (
            time.monotonic() >= self._stop.give_up_at
        )

    def _say_goodbye(self) -> None:
        unanswered = [str(slot.run) for slot in self._slots if slot.run is not None]
        if unanswered:
            logger.warning("the service did not answer in time; these may run again: %s", "; ".join(unanswered))
        logger.info("worker %s stopped", self._options.name)


def _deliver(letter: Answered | Refused | Transferred | Lost, slot: Slot) -> None:
    """Hand the service's answer to a slot; one that does not wait for it lets it pass."""
    if isinstance(letter, Answered):
        slot.answered(letter.item, letter.answer)
    elif isinstance(letter, Refused):
        slot.refused(letter.item, letter.error)
    elif isinstance(letter, Transferred):
        slot.transferred(letter.transfer, letter.error)
    else:
        slot.lease_lost(letter.lease)
