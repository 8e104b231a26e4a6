"""The histories of studies in this process's memory, each brought up to date by what changed."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hpsearch.automatic import sampler_of
from hpsearch.earlier import Found
from hpsearch.sampler_spec import GPSampler
from hpsearch.search import gp
from hpsearch.search.history import History
from hpsearch.search.samplers import sampler_now, suggest
from hpsearch.service.ahead import Ahead
from hpsearch.spec import StudySpec
from hpsearch.store import earlier, trials
from hpsearch.store.database import Database
from hpsearch.store.locked import LockedStudy, LockedTrial
from hpsearch.store.rows import violations_of
from hpsearch.studies import Study
from hpsearch.trials import Observation, Parameters, Suggestion, TrialState, has_diverged


class KeptHistory:
    """A study's history. The lock is for the sampler's sake (one thread a history) and keeps callers of this process
    from drawing the same numbers; it is not for the truth's, which is in the database."""

    def __init__(self, study: Study, ahead: Ahead, known: Sequence[Found] = ()) -> None:
        self.lock = threading.Lock()
        self._study_id = study.id
        self._ahead = ahead
        self._history = History(study.spec, known)

    @property
    def next_number(self) -> int:
        """The number of the trial that the next suggestion is for."""
        return len(self._history)

    @property
    def draws_ahead(self) -> bool:
        """Whether the next trial's sampler is so slow that what it suggests is drawn elsewhere."""
        return isinstance(sampler_now(self._history), GPSampler)

    def describe(self, study: Study) -> None:
        """The study was extended, perhaps."""
        self._history.spec = study.spec

    def bring_up(self, database: Database, revision: int) -> None:
        """Read what changed since the last time, unless `revision` says that nothing has."""
        if self._history.revision < revision:
            with database.read() as tx:
                history = self._history
                history.update(trials.observations_since(tx, self._study_id, history.spec, history.revision))

    def suggest(self, settled: Sequence[Parameters]) -> list[Suggestion]:
        """Parameters for new trials. Of a sampler that draws ahead as many as are drawn, perhaps none yet."""
        if isinstance(sampler_of(self._history.spec, self._history.progress), GPSampler):
            self._ahead.warm()
        return suggest(self._history, settled, self._drawn_ahead)

    def _drawn_ahead(self, history: History, options: GPSampler, task: gp.Task) -> gp.Drawn:
        return self._ahead.points(self._study_id, history, options, task)

    def follow(self, study: LockedStudy) -> None:
        """Take in what a transaction of this process has just changed, so that it need not be read. Where the study
        had gone on elsewhere before, all is read together the next time."""
        if self._history.revision == study.former_revision:
            changed = sorted(study.changes.values(), key=lambda trial: trial.revision)
            self._history.update(_observation(trial, study.spec) for trial in changed)
            self._history.revision = study.revision


def _observation(trial: LockedTrial, spec: StudySpec) -> Observation:
    if trial.confirms is not None:
        return trials.unsearched(trial.number, trial.revision)
    return Observation(
        trial.number,
        TrialState(trial.state),
        trial.parameters,
        trial.values,
        trial.last_step,
        trial.last_value,
        trial.sampler_attributes,
        trial.revision,
        has_diverged(TrialState(trial.state), trial.reason),
        violations_of(vars(trial), spec),
    )


class Histories:
    """By study; those of deleted studies are forgotten."""

    def __init__(self, database: Database, ahead: Ahead) -> None:
        self._database = database
        self._ahead = ahead
        self._kept: dict[int, KeptHistory] = {}
        database.on_commit.append(self._follow)

    @contextmanager
    def drawing(self, study: Study) -> Iterator[KeptHistory]:
        """A study's history, up to date, for one caller alone."""
        kept = self._kept.get(study.id) or self._kept.setdefault(study.id, self._begun(study))
        with kept.lock:
            kept.describe(study)
            kept.bring_up(self._database, study.revision)
            yield kept

    def _begun(self, study: Study) -> KeptHistory:
        found: tuple[Found, ...] = ()
        if study.spec.earlier:
            with self._database.read() as tx:
                found = earlier.of_study(tx, study.id)
        return KeptHistory(study, self._ahead, found)

    def _follow(self, study: LockedStudy) -> None:
        """Take in a change of this process's, if nobody is at the history; whoever is reads it the next time."""
        kept = self._kept.get(study.id)
        if kept is not None and kept.lock.acquire(blocking=False):
            try:
                kept.follow(study)
            finally:
                kept.lock.release()

    def forget(self, study_id: int) -> None:
        """The study was deleted."""
        self._kept.pop(study_id, None)
        self._ahead.forget(study_id)
