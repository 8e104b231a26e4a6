"""A study in a client's hands: watched, steered, asked and told."""

import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

from pydantic import TypeAdapter

from hpsearch.client.transport import Transport, part_of_path, study_path
from hpsearch.confirmation import Confirmation
from hpsearch.errors import Fault, InvalidInput, LeaseLost, StudyEnded, near
from hpsearch.gateway import Assignment
from hpsearch.insights import Front, Importances, Summary
from hpsearch.plain import plain
from hpsearch.studies import Best, Clone, Event, Page, Study
from hpsearch.trials import (
    DIVERGED,
    Artifact,
    Decision,
    Intermediate,
    Lease,
    Metrics,
    Parameters,
    Receipt,
    Release,
    Trial,
    TrialKind,
    TrialState,
)

_STUDY: TypeAdapter[Study] = TypeAdapter(Study)
_BEST: TypeAdapter[Best] = TypeAdapter(Best)
_CLONE: TypeAdapter[Clone] = TypeAdapter(Clone)
_CONFIRMATION: TypeAdapter[Confirmation] = TypeAdapter(Confirmation)
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)
_TRIALS: TypeAdapter[list[Trial]] = TypeAdapter(list[Trial])
_PAGE: TypeAdapter[Page[Trial]] = TypeAdapter(Page[Trial])
_REPORTS: TypeAdapter[list[Intermediate]] = TypeAdapter(list[Intermediate])
_ARTIFACTS: TypeAdapter[list[Artifact]] = TypeAdapter(list[Artifact])
_RECEIPTS: TypeAdapter[list[Receipt]] = TypeAdapter(list[Receipt])
_IMPORTANCES: TypeAdapter[Importances] = TypeAdapter(Importances)
_SUMMARY: TypeAdapter[Summary] = TypeAdapter(Summary)
_FRONT: TypeAdapter[Front] = TypeAdapter(Front)
_ASSIGNMENTS: TypeAdapter[list[Assignment]] = TypeAdapter(list[Assignment])

WAIT_SECONDS = 30.0
"""The longest single wait on the server; longer ones are made of several."""
ASK_AGAIN_SECONDS = 0.5


class TrialList(Sequence[Trial]):
    """Trials, as a list and as a table."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._trials = tuple(trials)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "TrialList": ...
    def __getitem__(self, index: int | slice) -> "Trial | TrialList":
        return TrialList(self._trials[index]) if isinstance(index, slice) else self._trials[index]

    def __len__(self) -> int:
        return len(self._trials)

    def __repr__(self) -> str:
        return f"<{len(self)} trials>"

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a row a trial: `parameters.…` and `metrics.…` a column each, indexed by number. Of
        several searched metrics `values.0`, `values.1` … are the values, in the study's order.

        Raises `ImportError` where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install 'hpsearch[pandas]'") from error
        rows = [
            {
                "number": trial.number,
                "state": trial.state.value,
                "value": trial.value,
                **{f"values.{place}": value for place, value in enumerate(_several(trial))},
                **{f"parameters.{name}": value for name, value in trial.parameters.items()},
                **{f"metrics.{name}": value for name, value in trial.metrics.items()},
                "confirms": trial.confirms,
                "seed": trial.seed,
                "reason": trial.reason,
                "worker": trial.worker,
                "attempt": trial.attempt,
                "started_at": trial.started_at,
                "finished_at": trial.finished_at,
            }
            for trial in self
        ]
        frame = pd.DataFrame(rows, columns=None if rows else ["number", "state", "value"])
        return frame.set_index("number")


def _several(trial: Trial) -> tuple[float, ...]:
    """A trial's values where it has more than one."""
    return trial.values if trial.values is not None and len(trial.values) > 1 else ()


def _in_order(values: Mapping[str, float], searched: Collection[str]) -> list[float]:
    """Values by metric, in the order of the study. Raises `InvalidInput`."""
    faults = [
        Fault(f"values.{name}", f"is not searched; searched: {', '.join(searched)}", near(name, searched))
        for name in values
        if name not in searched
    ]
    faults += [Fault(f"values.{name}", "is missing") for name in searched if name not in values]
    if faults:
        raise InvalidInput(faults=faults)
    return [values[name] for name in searched]


def _of(metric: str | None) -> dict[str, str]:
    """A query for what is of a metric."""
    return {} if metric is None else {"metric": metric}


def _told(**measured: Any) -> dict[str, Any]:
    """What a loop measured, plain. Raises `InvalidInput`, which says what to do with a trial that diverged."""
    try:
        told: dict[str, Any] = plain(measured)
    except InvalidInput as error:
        hint = "; a trial that diverged is told by `diverge()`"
        raise InvalidInput(faults=[Fault(fault.path, fault.problem + hint) for fault in error.faults]) from error
    return told


class StudyHandle:
    """One study on the server. Every method raises `StudyNotFound` once it is deleted."""

    def __init__(self, transport: Transport, info: Study) -> None:
        self._transport = transport
        self.info = info
        """The study as it was when last looked at; `refresh` looks again."""

    def __repr__(self) -> str:
        return f"<study {self.name!r}: {self.info.state}, {self.info.counts.finished} trials finished>"

    @property
    def name(self) -> str:
        return self.info.spec.name

    def _path(self, rest: str = "") -> str:
        return study_path(self.name, rest)

    def _get(self, rest: str = "", *, wait: float = 0.0, **options: Any) -> bytes:
        return self._transport.request("GET", self._path(rest), wait=wait, **options).content

    def _post(self, rest: str, body: Any = None) -> bytes:
        return self._send(rest, None if body is None else plain(body))

    def _send(self, rest: str, body: Any) -> bytes:
        """The answer to a body that is plain."""
        options: dict[str, Any] = {}
        if body is not None:
            options = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
        return self._transport.request("POST", self._path(rest), **options).content

    # --- watched -----------------------------------------------------------------------------------------------------

    def refresh(self) -> Study:
        """The study as it is now."""
        self.info = _STUDY.validate_json(self._get())
        return self.info

    def best(self) -> Best:
        """The best trial so far, and whether more can come; once the study has ended, what is best on fresh seeds."""
        return _BEST.validate_json(self._get("/best"))

    def confirmation(self) -> Confirmation:
        """The best configurations, trained again on fresh seeds: as far as that has come."""
        return _CONFIRMATION.validate_json(self._get("/confirmation"))

    @property
    def best_trial(self) -> Trial | None:
        """The best complete trial that the search has seen so far; None where there is none yet."""
        return self.best().trial

    def wait(self, timeout: float | None = None) -> Best:
        """The best trial, once the study has ended. Raises `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_SECONDS if deadline is None else max(0.0, min(WAIT_SECONDS, deadline - time.monotonic()))
            best = self.wait_for_change(left)
            if best.state.has_ended:
                self.refresh()
                return best
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"study {self.name!r} is still {best.state} after {timeout} s")

    def wait_for_change(self, seconds: float = WAIT_SECONDS) -> Best:
        """The best trial, as soon as it changes or the study ends; after so many seconds, as it is."""
        return _BEST.validate_json(self._get("/best", wait=seconds, params={"wait": seconds}))

    def trials(self, *states: TrialState, kind: TrialKind = TrialKind.SEARCH) -> TrialList:
        """The trials by number, those of the search unless others are meant; of these states alone where any is
        named."""
        found: list[Trial] = []
        query: dict[str, Any] = {"limit": 1000, "state": [TrialState(state).value for state in states]}
        query["kind"] = TrialKind(kind).value
        while True:
            page = _PAGE.validate_json(self._get("/trials", params=query))
            found += page.items
            if page.next is None:
                return TrialList(found)
            query["cursor"] = page.next

    def trial(self, number: int) -> Trial:
        """Raises `TrialNotFound`."""
        return _TRIAL.validate_json(self._get(f"/trials/{number}"))

    def reports(self, number: int) -> list[Intermediate]:
        """A trial's reports by step. Raises `TrialNotFound`."""
        return _REPORTS.validate_json(self._get(f"/trials/{number}/reports"))

    def artifacts(self, number: int) -> list[Artifact]:
        """A trial's files. Raises `TrialNotFound`."""
        return _ARTIFACTS.validate_json(self._get(f"/trials/{number}/artifacts"))

    def export(self, path: str | Path, form: str = "jsonl", kind: TrialKind = TrialKind.SEARCH) -> None:
        """Write every trial of the search (or of another kind) to a file, as `jsonl` or `csv`."""
        partial = Path(f"{path}.part")
        try:
            url = self._path(f"/export?format={quote(form)}&kind={TrialKind(kind).value}")
            with self._transport.stream(url) as response, partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def events(self, after: int = 0) -> Iterator[Event]:
        """What happened after an event, and then what happens, as it does; ends with the study.

        Goes on where it was after a cut connection. Raises `ServerUnreachable` where the server stays away.
        """
        for _, data in self._transport.events(self._path("/events"), after):
            yield _EVENT.validate_json(data)

    # --- understood --------------------------------------------------------------------------------------------------

    def importances(self, method: str = "ped_anova", metric: str | None = None) -> Importances:
        """Which parameters mattered to a metric (the first one that is searched, where none is named); by `ped_anova`,
        `fanova` or `shapley`. Raises `InvalidInput`."""
        return _IMPORTANCES.validate_json(self._get("/importances", params={"method": method} | _of(metric)))

    def summary(self, count: int = 10) -> Summary:
        """The best trials, how the others ended, and how well earlier studies agree."""
        return _SUMMARY.validate_json(self._get("/summary", params={"count": count}))

    def pareto(self, weights: Mapping[str, float] | None = None) -> Front:
        """The trials that no other one beats in every metric, and which of them to take by weights (1 for a metric of
        which nothing is said). Raises `InvalidInput`."""
        query = {"weight": [f"{metric}:{weight!r}" for metric, weight in (weights or {}).items()]}
        return _FRONT.validate_json(self._get("/pareto", params=query))

    def figure(
        self,
        kind: str,
        *parameters: str,
        form: str = "figure",
        metric: str | None = None,
        method: str | None = None,
    ) -> dict[str, Any]:
        """A Plotly figure of it as JSON: `plotly.graph_objects.Figure(study.figure("history"))`; with the form "data"
        the numbers in it. It is of a metric, the first one that is searched where none is named, and parameters are
        important by a method, `ped_anova` where none is named. Raises `InvalidInput` with the known kinds."""
        query = {"parameter": list(parameters), "form": form} | _of(metric)
        query |= {} if method is None else {"method": method}
        content = self._get(f"/plots/{part_of_path(kind, 'kind')}", params=query)
        return TypeAdapter(dict[str, Any]).validate_json(content)

    # --- steered -----------------------------------------------------------------------------------------------------

    def pause(self) -> Study:
        """Hand out nothing more; running trials are handed back with their next report."""
        return self._move("/pause")

    def resume(self) -> Study:
        """Open it again. Raises `IllegalTransition` where it has ended."""
        return self._move("/resume")

    def stop(self) -> Study:
        """End it for good; what runs or waits is cancelled."""
        return self._move("/stop")

    def extend(self, trials: int) -> Study:
        """Raise its budget to so many trials in all; it goes on where its budget had ended it.

        Raises `InvalidInput`, `StudyEnded` where it was stopped, `Conflict`.
        """
        return self._move("/extend", {"trials": trials})

    def clone(self, name: str, description: Mapping[str, Any] | None = None, *, counted: bool = False) -> Clone:
        """A study under another name, of another description (another space, mostly) where one is given. What the
        trials of this one found is copied where it is of that space; the budget counts it only if told to.

        Raises `InvalidSpec` with every fault, `StudyExists`.
        """
        body = {"name": name, "description": description, "counted": counted}
        return _CLONE.validate_json(self._post("/clone", body))

    def _move(self, rest: str, body: Any = None) -> Study:
        self.info = _STUDY.validate_json(self._post(rest, body))
        return self.info

    def delete(self) -> None:
        """Remove it with all that belongs to it."""
        self._transport.request("DELETE", self._path())

    def enqueue(self, *configurations: Parameters) -> list[Trial]:
        """Have configurations tried before new suggestions.

        Raises `InvalidInput`, `StudyEnded`, `BudgetExceeded`.
        """
        body = {"configurations": list(configurations), "request_id": secrets.token_hex(16)}
        return _TRIALS.validate_json(self._post("/trials", body))

    def enqueue_best(self, source: str, count: int = 5) -> list[Trial]:
        """Have the best configurations of another study tried first, as far as they are of this one's space.

        Raises `StudyNotFound`, `InvalidInput`, `StudyEnded`, `BudgetExceeded`.
        """
        body = {"source": source, "best": count, "request_id": secrets.token_hex(16)}
        return _TRIALS.validate_json(self._post("/warm-start", body))

    def retry_failed(self, *numbers: int) -> list[Trial]:
        """Let failed trials (all, where none is named) run again, under their numbers."""
        return _TRIALS.validate_json(self._post("/retry", {"numbers": list(numbers) or None}))

    # --- asked and told ----------------------------------------------------------------------------------------------

    def ask(self, *, worker: str | None = None, lease_seconds: float = 3600.0) -> "AskedTrial | None":
        """A trial to run here; None once the study has ended. Waits while all is handed out or the study is paused.

        The trial goes to another asker after `lease_seconds` without a report.
        """
        body = {"request_id": secrets.token_hex(16), "lease_seconds": lease_seconds, "worker": worker}
        while True:
            try:
                assignments = _ASSIGNMENTS.validate_json(self._post("/ask", body))
            except StudyEnded:
                return None
            if assignments:
                return AskedTrial(self, assignments[0])
            time.sleep(ASK_AGAIN_SECONDS)

    def _report(self, lease: Lease, step: int, value: float, metrics: Metrics) -> Decision:
        told = plain({"step": step}) | _told(value=value, metrics=metrics)
        body = {"token": lease.token, "attempt": lease.attempt} | told
        answer = self._send(f"/trials/{lease.number}/report", body)
        return TypeAdapter(dict[str, Decision]).validate_json(answer)["decision"]

    def _release(self, lease: Lease, reason: str) -> None:
        body = json.dumps([asdict(Release(lease=lease, reason=reason))])
        headers = {"Content-Type": "application/json"}
        answer = self._transport.request("POST", "api/v1/releases", content=body, headers=headers).content
        if _RECEIPTS.validate_json(answer) != [Receipt.ACCEPTED]:
            raise LeaseLost

    def _tell(self, lease: Lease, state: str, told: Mapping[str, Any]) -> Trial:
        """`told` is plain."""
        body = {"token": lease.token, "attempt": lease.attempt, "state": state, **told}
        return _TRIAL.validate_json(self._send(f"/trials/{lease.number}/tell", body))


class AskedTrial:
    """A trial that this process runs: `report` as it goes, then one of `tell`, `prune`, `pause`, `diverge` and `fail`.

    Each raises `LeaseLost` once the trial is another's or the study has ended.
    """

    def __init__(self, study: StudyHandle, assignment: Assignment) -> None:
        self._study = study
        self._lease = assignment.lease
        self.number = assignment.lease.number
        self.parameters: Mapping[str, Any] = assignment.parameters
        self.seed = assignment.seed
        """Derived from the study's seed and the trial's number."""
        self.attempt = assignment.lease.attempt
        """Above 1: others had it before, and it may have been promoted at a rung."""
        self.decision = Decision.CONTINUE
        """The answer to the newest report."""

    def report(self, step: int, value: float, metrics: Metrics | None = None) -> Decision:
        """Say how it goes (steps 1, 2, 3 …); the answer says whether to go on."""
        self.decision = self._study._report(self._lease, step, value, metrics or {})
        return self.decision

    @property
    def should_prune(self) -> bool:
        """Whether the newest report was answered by a wish to end it: call `prune` then."""
        return self.decision is Decision.PRUNE

    @property
    def should_pause(self) -> bool:
        """Whether the newest report was answered by a wish to hand it back, as it may go on later: call `pause`."""
        return self.decision is Decision.PAUSE

    def pause(self, reason: str = "told to pause") -> None:
        """Hand it back, not ended: whoever is given it next finds its number and an `attempt` above 1."""
        self._study._release(self._lease, reason)

    def tell(self, value: float | Sequence[float] | Mapping[str, float], metrics: Metrics | None = None) -> Trial:
        """It ended well, with this value; of several searched metrics with one for each, in the study's order or by
        name. Raises `InvalidInput` where one is missing or not searched."""
        if isinstance(value, Mapping):
            value = _in_order(value, self._study.info.spec.objective.searched)
        told = _told(value=value, metrics=metrics or {})
        if isinstance(told["value"], list):
            told["values"] = told.pop("value")
        return self._study._tell(self._lease, "complete", told)

    def prune(self) -> Trial:
        """It ended early, without hope."""
        return self._study._tell(self._lease, "pruned", {})

    def diverge(self, what: str = "") -> Trial:
        """It failed as its value became infinite or not a number: the sampler keeps away from there."""
        return self.fail(f"{DIVERGED}: {what}" if what else DIVERGED)

    def fail(self, reason: str) -> Trial:
        """It ended without a value."""
        return self._study._tell(self._lease, "failed", plain({"reason": reason}))
