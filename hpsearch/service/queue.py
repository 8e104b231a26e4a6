"""Trials that wait since somebody wants them to be run: given configurations, and failed trials once more."""

from collections.abc import Sequence

from hpsearch.errors import BudgetExceeded, Fault, InvalidInput, StudyEnded
from hpsearch.search.distributions import configuration_faults
from hpsearch.service import checks, cloning, extending, life
from hpsearch.service.histories import Histories
from hpsearch.service.ranking import best_first
from hpsearch.service.tables import Tables
from hpsearch.store import studies, trials
from hpsearch.store.database import Database
from hpsearch.studies import StudyState
from hpsearch.trials import Parameters, Trial, TrialKind


class Queue:
    """Puts them there: they come before new suggestions."""

    def __init__(self, database: Database, tables: Tables, histories: Histories) -> None:
        self._database = database
        self._tables = tables
        self._histories = histories

    def enqueue(self, study: str, configurations: Sequence[Parameters], request_id: str | None) -> list[Trial]:
        """See `Service.enqueue`."""
        found = studies.read(self._database, study)
        faults = [
            fault
            for position, configuration in enumerate(configurations)
            for fault in configuration_faults(found.spec, configuration, f"configurations.{position}")
        ]
        if faults:
            raise InvalidInput(faults=faults)
        checks.check_open(found.state, study)
        with self._histories.drawing(found) as kept:
            suggestions = kept.suggest(configurations)
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            known = trials.of_request(tx, locked, request_id) if request_id else []
            if known:
                return [trial.as_trial(locked.spec) for trial in known]
            checks.check_open(locked.state, study)
            if locked.room is not None and locked.room < len(configurations):
                raise BudgetExceeded(f"the budget of {study!r} leaves room for {locked.room} more trials")
            made = trials.create(tx, locked, suggestions, holder=None, request_id=request_id)
            locked.save()
        return [trial.as_trial(locked.spec) for trial in made]

    def enqueue_best(self, study: str, source: str, count: int, request_id: str | None) -> list[Trial]:
        """See `Service.enqueue_best`."""
        checks.limit_of(count)
        target, other = studies.read(self._database, study), studies.read(self._database, source)
        found = best_first(self._database, self._tables, other)
        configurations = cloning.best_configurations(target.spec, found, count)
        if not configurations:
            problem = f"has no complete trial with a parameter that is of the space of {study!r}"
            raise InvalidInput(faults=[Fault("source", problem)])
        return self.enqueue(study, configurations, request_id)

    def retry(self, study: str, numbers: Sequence[int] | None) -> list[Trial]:
        """See `Service.retry_failed`."""
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            if locked.state is StudyState.STOPPED:
                raise StudyEnded(f"study {study!r} was stopped")
            chosen = sorted(set(trials.failed(tx, locked, TrialKind.ALL) if numbers is None else numbers))
            made = list(locked.trials(chosen).values())
            again = {trial.number for trial in made if trial.is_failed or trial.is_open}
            checks.check([Fault(f"numbers.{n}", "is not a failed trial") for n in chosen if n not in again])
            for trial in made:
                if trial.is_failed:
                    trials.try_again(locked, trial)
            if locked.searched_at is not None and any(trial.confirms is None for trial in made):
                # the search goes on, and is confirmed anew
                extending.check_goes_on(tx, locked, None, "failed trials run again")
                locked.searched_at = locked.ended_because = None
            if made and locked.state is not StudyState.PAUSED:
                life.reopen(locked)
            life.save(tx, locked)
        return [trial.as_trial(locked.spec) for trial in made]
