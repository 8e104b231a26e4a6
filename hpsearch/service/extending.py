"""Studies whose budget is raised, before or after they have ended by it."""

from hpsearch.budget_spec import MOST_TRIALS
from hpsearch.errors import Conflict, Fault, InvalidInput, StudyEnded
from hpsearch.service import life
from hpsearch.spec import StudySpec
from hpsearch.store import confirming
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy
from hpsearch.studies import EndReason, StudyState


def extend(tx: Transaction, study: LockedStudy, trials: int) -> None:
    """Raise a study's budget to so many finished trials in all, and let its search go on where that is what it needs.

    Raises `InvalidInput`, `StudyEnded`, `Conflict`: see `Service.extend_study`.
    """
    present = study.spec.budget_trials
    if study.state is StudyState.STOPPED:
        raise StudyEnded(f"study {study.name!r} was stopped")
    if study.spec.budget.trials is None:
        raise Conflict(f"the budget of {study.name!r} sets no number of trials that could be raised")
    if not study.spec.budget.trials <= trials <= MOST_TRIALS:
        problem = f"must be in all, from {study.spec.budget.trials} (as it is now) to {MOST_TRIALS}, not {trials}"
        raise InvalidInput(faults=[Fault("trials", problem)])
    if trials == study.spec.budget.trials:
        return
    spec = extended(study.spec, trials)
    if spec.budget_trials == present:
        raise Conflict(f"the grid of {study.name!r} has {present} points: more trials would find none")
    study.redescribe(spec)
    if study.searched_at is not None:
        _search_on(tx, study)
    study.note(f"its budget was raised from {present} to {spec.budget_trials} trials")


def _search_on(tx: Transaction, study: LockedStudy) -> None:
    """The search that its trials had ended goes on; what confirms and has not begun may be beaten by what it finds, and
    is planned again at its end."""
    because = study.ended_because
    if because in (EndReason.TRIALS, EndReason.GRID):
        because = None
    check_goes_on(tx, study, because, "more trials alone")
    study.flush()
    confirming.cancel_waiting(tx, study, "the search goes on")
    study.searched_at = study.ended_because = None
    if study.state is not StudyState.PAUSED:
        life.reopen(study)


def check_goes_on(tx: Transaction, study: LockedStudy, because: EndReason | None, what: str) -> None:
    """Raises `Conflict` where a search has another reason to end, so that `what` would be in vain."""
    because = because or life.fulfilled(study) or life.out_of_time(study, tx.now)
    if because is not None:
        words = life.in_words(study, because)
        raise Conflict(f"study {study.name!r} has ended otherwise ({words}): {what} would not let it go on")


def extended(spec: StudySpec, trials: int) -> StudySpec:
    """The same with another number of trials."""
    raw = spec.model_dump()
    return StudySpec.model_validate(raw | {"budget": raw["budget"] | {"trials": trials}})
