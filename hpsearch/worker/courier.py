"""The threads that talk to the service, so that no slow call delays another, the renewals least of all.

One thread renews the leases, one sends what the trials have to say (`Outbox`), and each claim and each file has a
thread for as long as it takes. Every call is repeated until it is answered: calls are safe to repeat, as `Gateway`
promises.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from hpsearch.errors import HpsearchError, InvalidInput, WorkerNotFound
from hpsearch.gateway import Gateway, Registration
from hpsearch.trials import Decision, Lease
from hpsearch.worker.backoff import FATAL, REFUSALS, Backoff
from hpsearch.worker.letters import (
    Claimed,
    Download,
    Fatal,
    Forgotten,
    Item,
    Letter,
    Lost,
    Registered,
    Transfer,
    Transferred,
    Upload,
)
from hpsearch.worker.outbox import Outbox

logger = logging.getLogger("hpsearch.worker")


class Courier:
    """Carries the agent's calls to the gateway, and posts the answers to the agent's mailbox."""

    def __init__(self, gateway: Gateway, post: Callable[[Letter], None]) -> None:
        self._gateway = gateway
        self._post = post
        self._closed = threading.Event()
        self._hurried = threading.Event()
        self._claims_given_up = threading.Event()
        self._outbox = Outbox(gateway, post, self._hurried)
        self._leases: Sequence[Lease] = ()

    def start(self) -> None:
        """Begin to send."""
        _in_thread("outbox", self._outbox.run)

    def register(self, worker: Registration) -> None:
        """Answered by `Registered`."""

        def call() -> Letter:
            return Registered(self._gateway.register(worker))

        self._in_background("registering", call, Fatal)

    def claim(self, worker: str, session: str, holding: Sequence[str], limit: int) -> None:
        """Answered by `Claimed`, or `Forgotten`. `holding` need not name what is still unanswered."""
        known = [*holding, *self._outbox.tokens()]

        def call() -> Letter:
            return Claimed(self._gateway.claim(worker, session, known, limit))

        def refused(error: HpsearchError) -> Letter:
            return Forgotten() if isinstance(error, WorkerNotFound) else Fatal(error)

        self._in_background("claiming", call, refused, self._claims_given_up, Claimed(()))

    def give_up_claims(self) -> None:
        """A claim under way may still be answered; it is not tried again."""
        self._claims_given_up.set()

    def renew_every(self, seconds: float) -> None:
        """Start to renew the leases named by `keep`."""
        _in_thread("renewals", lambda: self._renew_forever(seconds))

    def keep(self, leases: Sequence[Lease]) -> None:
        """Renew these leases from now on. A lost one is answered by `Lost`."""
        self._leases = leases

    def send(self, item: Item, *, can_wait: bool = False) -> None:
        """Answered by `Answered` or `Refused`, unless it is dropped; reports go in the order of sending."""
        self._outbox.put(item, can_wait=can_wait)

    def flush(self) -> None:
        """Send at once what can wait."""
        self._outbox.flush()

    def drop(self, item: Item) -> None:
        """Do not send it any more."""
        self._outbox.drop(item)

    def transfer(self, transfer: Transfer) -> None:
        """Answered by `Transferred`, unless it is given up."""

        def call() -> Letter:
            if isinstance(transfer, Upload):
                self._upload(transfer)
            else:
                self._download(transfer)
            return Transferred(transfer)

        def refused(error: HpsearchError) -> Letter:
            return Transferred(transfer, error)

        what = f"{'uploading' if isinstance(transfer, Upload) else 'fetching'} {transfer.name!r}"
        self._in_background(what, call, refused, transfer.given_up)

    def _upload(self, upload: Upload) -> None:
        try:
            self._gateway.put_artifact(upload.lease, upload.name, upload.path)
        except OSError as error:  # no network's: the file is no longer there, say
            raise InvalidInput(f"artifact {upload.name!r} cannot be read: {error}") from error

    def _download(self, download: Download) -> None:
        try:
            self._gateway.get_artifact(download.study, download.number, download.name, download.path)
        except OSError as error:  # no network's: the disk is full, say
            if download.is_checkpoint:  # worth waiting for: without it work would be done again
                raise
            raise InvalidInput(f"artifact {download.name!r} cannot be written: {error}") from error

    @property
    def is_idle(self) -> bool:
        """Whether everything sent has been answered."""
        return not self._outbox.tokens()

    def hurry(self) -> None:
        """Cut the waits between tries short from now on: the agent is about to end."""
        self._hurried.set()

    def close(self) -> None:
        """Let every thread end after the call it is in."""
        self._closed.set()
        self.hurry()
        self._outbox.close()

    def _in_background(
        self,
        what: str,
        call: Callable[[], Letter],
        refused: Callable[[HpsearchError], Letter],
        given_up: threading.Event | None = None,
        abandoned: Letter | None = None,
    ) -> None:
        """In a thread of its own: call until it is answered, refused or given up; post the letter for either."""

        def carry() -> None:
            backoff = Backoff(what, given_up or self._hurried)
            while not self._closed.is_set() and not (given_up and given_up.is_set()):
                try:
                    letter = call()
                    backoff.succeeded()
                except FATAL as error:
                    letter = Fatal(error)
                except REFUSALS as error:
                    letter = refused(error)
                except Exception as error:
                    if not (given_up and given_up.is_set()):
                        backoff.failed(error)
                    continue
                self._post(letter)
                return
            if abandoned is not None:
                self._post(abandoned)

        _in_thread(what, carry)

    def _renew_forever(self, seconds: float) -> None:
        backoff = Backoff("renewing the leases", self._hurried)
        pause = seconds
        while not self._closed.wait(pause):
            try:
                self._renew(self._leases)
            except FATAL as error:
                self._post(Fatal(error))
                return
            except Exception as error:
                backoff.failed(error)
                pause = 0.0
            else:
                backoff.succeeded()
                pause = seconds

    def _renew(self, leases: Sequence[Lease]) -> None:
        # PAUSE needs no word here: the answer to the trial's next report says it too, and says it fresher
        decisions = self._gateway.renew(leases) if leases else ()
        for lease, decision in zip(leases, decisions, strict=True):
            if decision is Decision.LOST:
                self._post(Lost(lease))


def _in_thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=f"hpsearch-{name}", daemon=True).start()
