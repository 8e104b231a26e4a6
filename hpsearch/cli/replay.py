"""`hpsearch trial replay`: the same trial again, on this machine, number beside number."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hpsearch.cli.output import emit_json, say, shown_parameters
from hpsearch.cli.worker import OBJECTIVES, Chosen, check_torch, choose
from hpsearch.client import Client
from hpsearch.errors import ConfigurationError, Conflict, HpsearchError
from hpsearch.spec import StudySpec
from hpsearch.trials import Decision, Intermediate, Metrics, Trial, TrialState
from hpsearch.worker.alone import run_alone
from hpsearch.worker.messages import Briefing, Ended, Fetching, Measured, Reply, Saving, Task

logger = logging.getLogger("hpsearch.replay")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """One number, twice; None where there is none."""

    name: str
    recorded: float | None
    replayed: float | None

    @property
    def is_same(self) -> bool:
        return self.recorded == self.replayed

    @property
    def difference(self) -> float | None:
        """None where there is nothing to subtract."""
        if self.recorded is None or self.replayed is None:
            return None
        return abs(self.replayed - self.recorded)

    def __str__(self) -> str:
        both = ("-" if value is None else repr(value) for value in (self.recorded, self.replayed))
        apart = "same" if self.is_same else "-" if self.difference is None else f"{self.difference:.3g}"
        return "\t".join([self.name, *(text.ljust(20) for text in both), apart])


class Replay:
    """What the record says and what is measured now, step by step."""

    def __init__(self, client: Client, trial: Trial, reports: Sequence[Intermediate], tell: Say) -> None:
        self._client = client
        self._trial = trial
        self._reports = {report.step: report for report in reports}
        self._last_step = max(self._reports, default=0)
        self._tell = tell
        self.measured: dict[int, Measured] = {}

    def answer(self, message: Measured | Saving | Fetching) -> Reply:
        """What the service would answer: a pruned trial is pruned again where it was."""
        if isinstance(message, Fetching):
            return self._fetch(message)
        if isinstance(message, Saving):
            return Decision.CONTINUE
        self.measured[message.step] = message
        self._tell(str(self.values(message.step)))
        is_over = self._trial.state is TrialState.PRUNED and message.step >= self._last_step
        return Decision.PRUNE if is_over else Decision.CONTINUE

    def _fetch(self, message: Fetching) -> Reply:
        try:
            self._client.get_artifact(message.study, message.number, message.name, message.path)
        except HpsearchError as error:
            return error
        return Decision.CONTINUE

    @property
    def missing(self) -> list[int]:
        """Steps on record that were not reached again."""
        return sorted(self._reports.keys() - self.measured.keys())

    def values(self, step: int) -> Pair:
        """The searched metric at a step."""
        report, measured = self._reports.get(step), self.measured.get(step)
        return Pair(str(step), report.value if report else None, measured.value if measured else None)

    def at_steps(self) -> Iterator[Pair]:
        """Everything reported."""
        for step in sorted(self._reports.keys() | self.measured.keys()):
            report, measured = self._reports.get(step), self.measured.get(step)
            value = self.values(step)
            yield Pair(f"value at step {step}", value.recorded, value.replayed)
            yield from _pairs(
                report.metrics if report else {}, measured.metrics if measured else {}, f" at step {step}"
            )

    def at_end(self, ended: Ended) -> list[Pair]:
        """The result."""
        # a pruned trial's value is its last report's, compared already
        recorded = self._trial.value if self._trial.state is TrialState.COMPLETE else None
        value = Pair("value", recorded, ended.value)
        return [*([] if value == Pair("value", None, None) else [value]), *_pairs(self._trial.metrics, ended.metrics)]


def _pairs(recorded: Metrics, replayed: Metrics, where: str = "") -> Iterator[Pair]:
    for name in dict.fromkeys([*recorded, *replayed]):
        yield Pair(name + where, recorded.get(name), replayed.get(name))


def replay_trial(
    client: Client,
    name: str,
    number: int,
    data_roots: tuple[Path, ...],
    threads: int,
    *,
    as_json: bool,
    objectives: Sequence[str] = (),
) -> bool:
    """Train a trial again and print both; whether every number is the same to the bit.

    Raises `Conflict` where it has not finished, `ConfigurationError` where it cannot be trained here, and `NotFound`.
    """
    study = client.study(name)
    trial = study.trial(number)
    chosen = _objective(study.info.spec, objectives)
    if not trial.state.is_finished:
        raise Conflict(f"trial {number} of {name!r} is {trial.state}: there is nothing to compare with")
    tell: Say = (lambda _: None) if as_json else say
    replay = Replay(client, trial, study.reports(number), tell)
    tell(f"{name}: trial {number}, {trial.state}; seed {trial.seed}, {shown_parameters(trial.parameters)}")
    tell("\t".join(["step", "recorded".ljust(20), "replayed".ljust(20), "difference"]))
    ended = _train(study.info.spec, trial, chosen, data_roots, threads, replay)
    for step in replay.missing:
        tell(str(replay.values(step)))
    return _conclude(trial, replay, ended, tell, as_json=as_json)


def _objective(spec: StudySpec, objectives: Sequence[str]) -> Chosen:
    """The study's alone."""
    name = spec.objective.name
    if name in OBJECTIVES:
        check_torch()
        return Chosen(built_in={name: OBJECTIVES[name]}, own={})
    own = choose(objectives).own if objectives else {}
    if name is None or name not in own:
        what = "names no objective" if name is None else f"is of objective {name!r}"
        known = ", ".join([*OBJECTIVES, *own])
        hint = "" if name is None else f"; name yours: --objective {name}=package.module:function"
        raise ConfigurationError(f"study {spec.name!r} {what}; only trials of {known} can be replayed{hint}")
    return Chosen(built_in={}, own={name: own[name]})


def _train(
    spec: StudySpec, trial: Trial, chosen: Chosen, data_roots: tuple[Path, ...], threads: int, replay: Replay
) -> Ended:
    objective = spec.objective
    with tempfile.TemporaryDirectory(prefix="hpsearch-replay-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        workspace = folder / "trial" / "workspace"
        workspace.mkdir(parents=True)
        task = Task(
            objective=str(objective.name),
            parameters={**objective.settings, **trial.parameters},
            seed=trial.seed,
            metrics=objective.searched,
            workspace=workspace,
            data_roots=data_roots,
            checkpoint=None,
            number=trial.number,
            attempt=1,
            study=spec.name,
        )
        briefing = Briefing(objectives=chosen.built_in, own=chosen.own, threads=threads, folder=folder)
        return run_alone(briefing, task, replay.answer)


def _conclude(trial: Trial, replay: Replay, ended: Ended, tell: Say, *, as_json: bool) -> bool:
    at_end = replay.at_end(ended)
    pairs = [*replay.at_steps(), *at_end]
    apart = [pair for pair in pairs if not pair.is_same]
    ends_alike = ended.state == trial.state.value and (ended.state != "failed" or ended.reason == trial.reason)
    is_identical = not apart and ends_alike
    if as_json:
        emit_json(_as_json(trial, replay, ended, pairs, is_identical))
        return is_identical
    tell("\t".join(["result", "recorded".ljust(20), "replayed".ljust(20), "difference"]))
    for pair in at_end:
        tell(str(pair))
    if ended.traceback:
        logger.error("the replay raised an exception\n%s", ended.traceback.rstrip())
    if not ends_alike or ended.state == "failed":
        tell(
            f"on record it is {_end(trial.state.value, trial.reason)}; replayed it is {_end(ended.state, ended.reason)}"
        )
    tell(f"identical to the bit: {len(pairs)} numbers" if is_identical else _verdict(pairs, apart))
    return is_identical


def _end(state: str, reason: str | None) -> str:
    return f"{state} ({reason})" if reason else state


def _verdict(pairs: Sequence[Pair], apart: Sequence[Pair]) -> str:
    if not apart:
        return "not identical: every number is the same, but not the end"
    text = f"not identical: {len(apart)} of {len(pairs)} numbers differ"
    largest = _largest(apart)
    if largest is not None:
        text += f"; the largest difference is {largest.difference:.3g} ({largest.name})"
    lonely = sum(pair.difference is None for pair in apart)
    return text + (f"; {lonely} are there but once" if lonely else "")


def _largest(pairs: Sequence[Pair]) -> Pair | None:
    both = [pair for pair in pairs if pair.difference]
    return max(both, key=lambda pair: pair.difference or 0.0, default=None)


def _as_json(
    trial: Trial, replay: Replay, ended: Ended, pairs: Sequence[Pair], is_identical: bool
) -> Mapping[str, object]:
    apart = [pair for pair in pairs if not pair.is_same]
    largest = _largest(apart)
    steps = [(step, replay.values(step)) for step in sorted({*replay.measured, *replay.missing})]
    return {
        "study": trial.study,
        "number": trial.number,
        "seed": trial.seed,
        "state": trial.state.value,
        "replayed_state": ended.state,
        "reason": ended.reason,
        "identical": is_identical,
        "numbers": len(pairs),
        "largest_difference": largest.difference if largest else 0.0,
        "different": [asdict(pair) for pair in apart],
        "reports": [{"step": step, "recorded": p.recorded, "replayed": p.replayed} for step, p in steps],
        "metrics": [asdict(pair) for pair in replay.at_end(ended)],
    }
