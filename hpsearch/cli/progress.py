"""A study's progress, live."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Self

from hpsearch.cli.output import no_one_best, say, shown, shown_parameters
from hpsearch.client import StudyHandle
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Trial

LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0
"""Into a pipe: a line so often, and one for every better trial."""


def follow(study: StudyHandle, check: Callable[[], None] = lambda: None) -> Study:
    """Show progress until the study ends or pauses; `check` is called at every look, and may raise."""
    view: _Lines | _Bars = _Bars(study.info) if sys.stdout.isatty() else _Lines(study.info)
    with view:
        for info in changes(study, check):
            view.show(info, study.best_trial if info.best_number is not None else None)
    return study.info


def changes(study: StudyHandle, check: Callable[[], None] = lambda: None) -> Iterator[Study]:
    """The study now, and at every change until it has ended or is paused. `check` may raise, at every look."""
    seen = -1
    while True:
        info = study.refresh()
        if info.revision != seen:
            seen = info.revision
            yield info
        if info.state.has_ended or info.state is StudyState.PAUSED:
            return
        check()
        time.sleep(LOOK_SECONDS)


class _Pace:
    """Trials a minute since the start of the watch, and what that makes of the rest."""

    def __init__(self, info: Study) -> None:
        self._began = time.monotonic()
        self._before = _finished(info)

    def text(self, info: Study) -> str:
        done, seconds = _finished(info) - self._before, time.monotonic() - self._began
        if not done:
            return "- trials/min"
        text = f"{60 * done / seconds:.1f} trials/min"
        if info.spec.budget_trials is not None:
            left = max(0, info.spec.budget_trials + _to_confirm(info) - _finished(info))
            minutes, rest = divmod(round(left * seconds / done), 60)
            text += f", {minutes}:{rest:02d} left"
        return text


def _finished(info: Study) -> int:
    return info.counts.finished + info.confirm_counts.finished


def _to_confirm(info: Study) -> int:
    """Runs on fresh seeds, planned or to come."""
    plan = info.spec.confirmation
    return info.confirm_counts.created or (plan.top * plan.seeds if plan else 0)


def _counts(info: Study) -> str:
    counts, confirming = info.counts, info.confirm_counts
    if confirming.created and info.searched_at is not None:
        return (
            f"confirming: {confirming.finished}/{confirming.created} runs on fresh seeds, {confirming.running} running"
        )
    paused = f"{counts.paused} paused, " if counts.paused else ""
    return f"{counts.running} running, {paused}{counts.pruned} pruned, {counts.failed} failed"


def _best(info: Study, best: Trial | None) -> str:
    if info.spec.objective.has_several:
        return no_one_best(info.name)
    if best is None:
        return "no complete trial yet"
    metric = info.spec.objective.metric
    return f"best {metric} {shown(best.value)} by trial {best.number}: {shown_parameters(best.parameters)}"


class _Lines:
    """Progress for a log."""

    def __init__(self, info: Study) -> None:
        self._pace = _Pace(info)
        self._said_at = 0.0
        self._best: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, info: Study, best: Trial | None) -> None:
        improved = best is not None and best.number != self._best
        if not improved and time.monotonic() - self._said_at < LINE_SECONDS and not info.state.has_ended:
            return
        self._said_at, self._best = time.monotonic(), best.number if best else None
        of = "" if info.spec.budget_trials is None else f"/{info.spec.budget_trials}"
        say(f"{info.counts.finished}{of} trials, {_counts(info)}; {_best(info, best)}; {self._pace.text(info)}")


class _Bars:
    """Progress for a terminal: a bar, the counts, the best so far."""

    def __init__(self, info: Study) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        self._pace = _Pace(info)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]} · {task.fields[pace]}", markup=False),
        )
        self._trials = self._progress.add_task("", label=info.name, total=info.spec.budget_trials, counts="", pace="")
        self._line = ""

    def __enter__(self) -> Self:
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        self._live = Live(get_renderable=lambda: Group(self._progress, Text(self._line)), refresh_per_second=4)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, info: Study, best: Trial | None) -> None:
        self._line = f"  {_best(info, best)}"
        self._progress.update(
            self._trials, completed=info.counts.finished, counts=_counts(info), pace=self._pace.text(info)
        )
