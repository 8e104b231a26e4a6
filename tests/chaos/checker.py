"""Reads what happened, from the database and from the workers' journals, and finds what must not have happened."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from hpsearch.errors import IllegalTransition
from hpsearch.store.tables import artifacts, events, reports, studies, trials
from hpsearch.trials import FINISHED, TrialState, check_transition

Row = dict[str, Any]
ACCEPTED_DECISIONS = ("continue", "prune", "pause")


@dataclass(frozen=True, slots=True)
class Call:
    """What a worker said, and what it was answered, if it was."""

    session: str
    what: str
    items: list[Any]
    sent_at: int
    answered_at: int | None = None
    answer: list[Any] | None = None


@dataclass(slots=True)
class History:
    """All that is known of a study that has ended."""

    study: Row
    trials: list[Row]
    reports: list[Row]
    events: list[Row]
    artifacts: list[Row] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def answered(self, what: str) -> Iterator[tuple[Call, Any, Any]]:
        """(call, item, its answer) of what was acknowledged."""
        for call in self.calls:
            if call.what == what and call.answer is not None:
                for item, answer in zip(call.items, call.answer, strict=True):
                    yield call, item, answer

    def claims(self) -> Iterator[tuple[Call, Row]]:
        """(call, lease) of what was handed out and arrived."""
        for call in self.calls:
            if call.what == "claim":
                for lease in call.answer or ():
                    yield call, lease


def read_history(engine: Engine, name: str, journals: Path) -> History:
    """The study's rows, straight from the database, and what the workers wrote down."""
    with engine.connect() as connection:
        study = connection.execute(select(studies).where(studies.c.name == name)).one()._asdict()

        def rows(table: Any, *order: Any) -> list[Row]:
            query = select(table).where(table.c.study_id == study["id"]).order_by(*order)
            return [row._asdict() for row in connection.execute(query)]

        return History(
            study=study,
            trials=rows(trials, trials.c.number),
            reports=rows(reports, reports.c.number, reports.c.step),
            events=rows(events, events.c.revision),
            artifacts=rows(artifacts, artifacts.c.number),
            calls=read_journals(journals),
        )


def read_journals(folder: Path) -> list[Call]:
    """What the workers said, by the time at which they did."""
    calls: dict[tuple[str, str], Call] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            assert "crashed" not in entry, f"a simulated worker crashed: {entry['crashed']}"
            key = (path.name, entry["call"])
            if "what" in entry:
                calls[key] = Call(entry["session"], entry["what"], entry["items"], entry["at"])
            elif "answer" in entry and isinstance(entry["answer"], list):
                sent = calls[key]
                calls[key] = Call(sent.session, sent.what, sent.items, sent.sent_at, entry["at"], entry["answer"])
    return sorted(calls.values(), key=lambda call: call.sent_at)


def complaints(history: History) -> list[str]:
    """What is wrong, in words; nothing where every promise was kept."""
    rules = (_numbers, _budget, _counts, _best, _confirmed, _lives, _tokens, _reports, _tells, _artifacts, _fences)
    return [complaint for rule in rules for complaint in rule(history)]


def _numbers(history: History) -> Iterator[str]:
    numbers = [row["number"] for row in history.trials]
    if numbers != list(range(len(numbers))):
        yield f"numbers are not 0, 1, 2 …: {sorted(set(range(len(numbers))) ^ set(numbers))[:5]}"


def _searched(history: History) -> list[Row]:
    return [row for row in history.trials if row.get("confirms") is None]


def _budget(history: History) -> Iterator[str]:
    finished = sum(TrialState(row["state"]) in FINISHED for row in _searched(history))
    if finished != history.study["budget_trials"]:
        yield f"{finished} trials finished, the budget is {history.study['budget_trials']}"
    if history.study["state"] != "complete":
        yield f"the study is {history.study['state']}"


def _counts(history: History) -> Iterator[str]:
    confirming = Counter(row["state"] for row in history.trials if row.get("confirms") is not None)
    for state in TrialState:
        if history.study.get(f"confirm_{state.value}", 0) != confirming[state.value]:
            yield f"{history.study[f'confirm_{state.value}']} runs that confirm are said to be {state}, they are not"
    recount = Counter(row["state"] for row in _searched(history))
    for state in TrialState:
        if history.study[state.value] != recount[state.value]:
            yield f"{history.study[state.value]} trials are said to be {state}, {recount[state.value]} are"


def _confirmed(history: History) -> Iterator[str]:
    """The best configurations have one run a seed each, on the same seeds, to its end."""
    runs = [row for row in history.trials if row.get("confirms") is not None]
    if not runs:
        return
    seeds: dict[int, list[int]] = defaultdict(list)
    for row in runs:
        seeds[row["confirms"]].append(row["seed"])
        if TrialState(row["state"]) not in FINISHED:
            yield f"trial {row['number']}, which confirms, is {row['state']}"
    if len({tuple(sorted(of_one)) for of_one in seeds.values()}) > 1 or any(
        len(set(of_one)) < len(of_one) for of_one in seeds.values()
    ):
        yield f"not all are confirmed on the same seeds: {dict(seeds)}"
    if history.study["best_number"] not in seeds:
        yield f"the best, trial {history.study['best_number']}, is not confirmed"


def _best(history: History) -> Iterator[str]:
    values = [row["values"][0] for row in _searched(history) if row["state"] == "complete"]
    if history.study["best_value"] != max(values, default=None):
        yield f"the best is said to be {history.study['best_value']}, it is {max(values, default=None)}"


def _lives(history: History) -> Iterator[str]:
    """The events of each trial are a legal life that ends once, in the state that its row has."""
    lives: dict[int, list[Row]] = defaultdict(list)
    for event in history.events:
        if event["number"] is not None:
            lives[event["number"]].append(event)
    for row in history.trials:
        life = lives[row["number"]]
        try:
            for before, after in pairwise(life):
                check_transition(TrialState(before["state"]), TrialState(after["state"]))
        except IllegalTransition as error:
            yield f"trial {row['number']}: {error}"
        if not life or life[-1]["state"] != row["state"]:
            yield f"trial {row['number']} is {row['state']}, its events say otherwise"
        if sum(TrialState(event["state"]) in FINISHED for event in life) > 1:
            yield f"trial {row['number']} finished twice"
        attempts = [event["attempt"] for event in life if event["state"] == "running"]
        if attempts != list(range(1, len(attempts) + 1)):
            yield f"trial {row['number']}: attempts {attempts}"
        if attempts and row["attempt"] != attempts[-1]:
            yield f"trial {row['number']} is at attempt {row['attempt']}, its events at {attempts[-1]}"


def _tokens(history: History) -> Iterator[str]:
    """An attempt is one lease, a lease one attempt, and no worker saw one that the trial never had."""
    of_attempt: dict[tuple[int, int], str] = {}
    of_token: dict[str, tuple[int, int]] = {}
    last = {row["number"]: row["attempt"] for row in history.trials}
    for _, lease in history.claims():
        key = lease["number"], lease["attempt"]
        if of_attempt.setdefault(key, lease["token"]) != lease["token"]:
            yield f"trial {key[0]}: attempt {key[1]} was given to two leases"
        if of_token.setdefault(lease["token"], key) != key:
            yield f"trial {key[0]}: a lease stands for two attempts"
        if lease["attempt"] > last.get(lease["number"], 0):
            yield f"trial {key[0]}: attempt {key[1]} was handed out, and is not on record"


def _reports(history: History) -> Iterator[str]:
    """Each acknowledged report is there, unless a later attempt has gone its own way from that step or before."""
    kept = {(row["number"], row["step"]): row for row in history.reports}
    later: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in history.reports:
        later[row["number"]].append((row["attempt"], row["step"]))
    for _, item, answer in history.answered("report"):
        if answer not in ACCEPTED_DECISIONS:
            continue
        number, attempt, step = item["number"], item["attempt"], item["step"]
        row = kept.get((number, step))
        if row is not None and row["attempt"] == attempt:
            if row["value"] != item["value"] or row["metrics"] != item["metrics"]:
                yield f"trial {number}: step {step} of attempt {attempt} is on record with another value"
        elif not any(other > attempt and other_step <= step for other, other_step in later[number]):
            yield f"trial {number}: the report of step {step} under attempt {attempt} was acknowledged and is lost"


def _tells(history: History) -> Iterator[str]:
    """What was acknowledged is what is on record, and only one lease was told so."""
    rows = {row["number"]: row for row in history.trials}
    for _, item, answer in history.answered("tell"):
        if answer != "accepted":
            continue
        row = rows.get(item["number"])
        if row is None:
            yield f"trial {item['number']} was told and is not there"
            continue
        same_values = item["state"] != "complete" or row["values"] == item["values"]
        if (row["state"], row["metrics"]) != (item["state"], item["metrics"]) or not same_values:
            yield f"trial {item['number']}: the tell of attempt {item['attempt']} was acknowledged and is not on record"
        if row["lease_token"] != item["token"]:
            yield f"trial {item['number']}: a tell was accepted under another lease than the last"


def _artifacts(history: History) -> Iterator[str]:
    kept = {row["number"]: row for row in history.artifacts}
    for _, item, answer in history.answered("artifact"):
        row = kept.get(item["number"])
        if answer == "lost":
            continue
        if row is None or row["attempt"] < item["attempt"]:
            yield f"trial {item['number']}: an artifact was acknowledged and is lost"
        elif row["attempt"] == item["attempt"] and row["sha256"] != answer:
            yield f"trial {item['number']}: the artifact is not what was sent"


def _fences(history: History) -> Iterator[str]:
    """Once a later attempt is known to a worker, nothing that is sent under an earlier one is accepted."""
    begun: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for call, lease in history.claims():
        if call.answered_at is not None:
            begun[lease["number"]].append((lease["attempt"], call.answered_at))
    for what in ("report", "renew", "tell", "release", "artifact"):
        for call, item, answer in history.answered(what):
            if answer in ("lost", "conflict"):
                continue
            if any(attempt > item["attempt"] and at < call.sent_at for attempt, at in begun[item["number"]]):
                yield f"trial {item['number']}: a {what} of attempt {item['attempt']} was accepted under a lost lease"
