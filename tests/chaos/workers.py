"""Simulated workers, a few in one process: `python -m tests.chaos.workers --help`.

Each speaks as a worker of ours does, trains nothing, and writes down every word in the process's journal.
"""

import argparse
import os
import random
import secrets
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hpsearch.client import Client
from hpsearch.errors import HpsearchError, LeaseLost, WorkerNotFound, WorkerReplaced
from hpsearch.gateway import Assignment, Registration, Terms
from hpsearch.trials import Artifact, Decision, Lease, Receipt, Release, Report, Result, TrialState
from tests.chaos.journal import Journal

T = TypeVar("T")

STEPS = 5
STEP_SECONDS = 0.02
"""How long a step takes to train."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one attempt of a trial, fixed by the run's seed."""

    end: str
    """`complete`, `fail`, `release` or `crash` (released as crashed)."""
    last_step: int
    artifact_step: int | None
    renews: frozenset[int]
    afterwards: str
    """What a confused worker does once it was answered: `nothing`, or it speaks `again`, or says something `other`."""


def plan_of(seed: int, lease: Lease) -> Plan:
    """The plan for an attempt."""
    draw = random.Random(f"{seed} {lease.number} {lease.attempt}")
    (end,) = draw.choices(["complete", "fail", "release", "crash"], [84, 7, 5, 4])
    return Plan(
        end=end,
        last_step=STEPS if end == "complete" else draw.randrange(1, STEPS + 1),
        artifact_step=draw.randrange(1, STEPS + 1) if draw.random() < 0.3 else None,
        renews=frozenset(step for step in range(STEPS + 1) if draw.random() < 0.2),
        afterwards=draw.choices(["nothing", "again", "other"], [70, 15, 15])[0],
    )


@dataclass(slots=True)
class Run:
    """A trial in a worker's hands."""

    lease: Lease
    plan: Plan
    step: int = 0
    """The last one that was reported and answered."""
    ending: str | None = None
    artifacts: set[int] = field(default_factory=set)
    """Steps whose artifact is kept."""

    @property
    def nonce(self) -> float:
        """A number that stands for the lease: what is stored shows under which it was written."""
        return float(int(self.lease.token[:12], 16))

    def next_report(self) -> Report:
        step = self.step + 1
        value = (self.lease.number * 7919 % 101) / (step + 1) + self.lease.attempt * 1e-3
        return Report(lease=self.lease, step=step, value=value, metrics={"nonce": self.nonce, "step": float(step)})

    def result(self) -> Result:
        metrics = {"nonce": self.nonce}
        if self.ending == "complete":
            values = ((self.lease.number * 7919 % 101) / 7 + self.lease.attempt * 1e-3,)
            return Result(lease=self.lease, state=TrialState.COMPLETE, values=values, metrics=metrics)
        if self.ending == "prune":
            return Result(lease=self.lease, state=TrialState.PRUNED, metrics=metrics)
        reason = f"simulated: trial {self.lease.number} failed at step {self.step}"
        return Result(lease=self.lease, state=TrialState.FAILED, metrics=metrics, reason=reason)

    def other_result(self) -> Result:
        """One that was not meant."""
        return Result(lease=self.lease, state=TrialState.COMPLETE, values=(-1e6,), metrics={"nonce": -1.0})


class SimulatedWorker:
    """One worker with a few slots; `turn` after `turn` it goes on with what it holds."""

    def __init__(self, name: str, client: Client, journal: Journal, seed: int, slots: int, scratch: Path) -> None:
        self._name = name
        self._session = secrets.token_hex(8)
        self._client = client
        self._journal = journal
        self._seed = seed
        self._slots = slots
        self._file = scratch / f"{name}.bin"
        self._held: dict[str, Run] = {}
        self._registered = False

    def work(self, stop: threading.Event) -> None:
        """Until told to stop."""
        try:
            while not stop.is_set():
                self._turn()
                stop.wait(STEP_SECONDS if self._held else 5 * STEP_SECONDS)
        except Exception:
            self._journal.say(session=self._session, crashed=traceback.format_exc())
            raise

    def _turn(self) -> None:
        if not self._registered:
            self._register()
            return
        if len(self._held) < self._slots:
            self._claim()
        self._renew([run for run in self._held.values() if run.step in run.plan.renews])
        self._report([run for run in self._held.values() if run.ending is None])
        for run in list(self._held.values()):
            if run.plan.artifact_step == run.step and run.step not in run.artifacts:
                self._put_artifact(run)
        self._tell([run for run in self._held.values() if run.ending in ("complete", "fail", "prune")])
        self._release([run for run in self._held.values() if run.ending in ("release", "crash")])

    def _say(self, what: str, items: Sequence[Any], send: Callable[[], T], answer_of: Callable[[T], Any]) -> T | None:
        """The answer; None where there was none, and the same is said again in the next turn."""
        answer = self._journal.call(self._session, what, items, send, answer_of)
        if isinstance(answer, WorkerReplaced | WorkerNotFound):
            self._registered = False
        return None if isinstance(answer, HpsearchError) else answer

    def _register(self) -> None:
        me = Registration(name=self._name, session=self._session, host="chaos", pid=os.getpid(), slots=self._slots,
                          objectives=("rnn",))  # fmt: skip
        send: Callable[[], Terms] = lambda: self._client.register(me)  # noqa: E731
        self._registered = self._say("register", [self._name], send, lambda terms: terms.lease_seconds) is not None

    def _claim(self) -> None:
        holding, limit = list(self._held), self._slots - len(self._held)
        send: Callable[[], list[Assignment]] = lambda: self._client.claim(self._name, self._session, holding, limit)  # noqa: E731
        for assignment in self._say("claim", [self._name, *holding], send, _claimed) or ():
            lease = assignment.lease
            self._held[lease.token] = Run(lease, plan_of(self._seed, lease))

    def _renew(self, runs: Sequence[Run]) -> None:
        leases = [run.lease for run in runs]
        if leases:
            items = [_lease_of(lease) for lease in leases]
            self._heed(runs, self._say("renew", items, lambda: self._client.renew(leases), list))

    def _report(self, runs: Sequence[Run]) -> None:
        reports = [run.next_report() for run in runs]
        if not reports:
            return
        items = [
            _lease_of(report.lease) | {"step": report.step, "value": report.value, "metrics": dict(report.metrics)}
            for report in reports
        ]
        decisions = self._say("report", items, lambda: self._client.report(reports), list)
        if decisions is None:
            return
        for run, decision in zip(runs, decisions, strict=True):
            run.step += 1
            if decision is Decision.PRUNE:
                run.ending = "prune"
            elif run.step >= run.plan.last_step:
                run.ending = run.plan.end
        self._heed(runs, decisions)

    def _heed(self, runs: Sequence[Run], decisions: Sequence[Decision] | None) -> None:
        """Drop what is lost; a confused worker speaks once more on it."""
        for run, decision in zip(runs, decisions or (), strict=decisions is not None):
            if decision is Decision.PAUSE:
                run.ending = "release"
            if decision is Decision.LOST and self._held.pop(run.lease.token, None):
                if run.plan.afterwards == "again":
                    self._report([run])
                elif run.plan.afterwards == "other":
                    self._send_results([run.other_result()])

    def _put_artifact(self, run: Run) -> None:
        content = f"{run.lease.token} {run.lease.number} ".encode() * 40
        self._file.write_bytes(content)
        send: Callable[[], Artifact | None] = lambda: self._send_artifact(run.lease)  # noqa: E731
        kept = self._say("artifact", [_lease_of(run.lease)], send, lambda kept: [kept.sha256 if kept else "lost"])
        if kept is not None:
            run.artifacts.add(run.step)

    def _send_artifact(self, lease: Lease) -> Artifact | None:
        try:
            return self._client.put_artifact(lease, "note", self._file)
        except LeaseLost:
            return None

    def _tell(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        receipts = self._send_results([run.result() for run in runs])
        for run, _ in zip(runs, receipts or (), strict=receipts is not None):
            del self._held[run.lease.token]
            if run.plan.afterwards == "again":
                self._send_results([run.result()])
            elif run.plan.afterwards == "other":
                self._send_results([run.other_result()])

    def _send_results(self, results: Sequence[Result]) -> list[Receipt] | None:
        items = [
            _lease_of(result.lease)
            | {
                "state": result.state.value,
                "values": list(result.values) if result.values else None,
                "metrics": dict(result.metrics),
                "reason": result.reason,
            }
            for result in results
        ]
        return self._say("tell", items, lambda: self._client.tell(results), list)

    def _release(self, runs: Sequence[Run]) -> None:
        releases = [Release(lease=run.lease, reason="simulated", crashed=run.ending == "crash") for run in runs]
        if releases:
            items = [_lease_of(release.lease) | {"crashed": release.crashed} for release in releases]
            receipts = self._say("release", items, lambda: self._client.release(releases), list)
            for run, _ in zip(runs, receipts or (), strict=receipts is not None):
                del self._held[run.lease.token]


def _lease_of(lease: Lease) -> dict[str, Any]:
    return {"number": lease.number, "attempt": lease.attempt, "token": lease.token}


def _claimed(assignments: Sequence[Assignment]) -> list[dict[str, Any]]:
    return [_lease_of(assignment.lease) for assignment in assignments]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the journal is kept")
    parser.add_argument("--names", nargs="+", required=True, help="a worker a name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    journal = Journal(options.folder / f"{options.names[0]}.{os.getpid()}.jsonl")
    client = Client(options.server, timeout=10.0, retries=0)
    workers = [
        SimulatedWorker(name, client, journal, options.seed, options.slots, options.folder) for name in options.names
    ]
    threads = [threading.Thread(target=worker.work, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
