"""Studies whose budget is raised, before or after they have ended by it."""

from hpsearch.errors import Conflict, Fault, InvalidInput, StudyEnded
from hpsearch.spec import StudySpec
from hpsearch.store.locked import LockedStudy
from hpsearch.studies import StudyState

MAX_TRIALS = 10_000_000


def extend(study: LockedStudy, trials: int, now: float) -> None:
    """Raise a study's budget to so many finished trials in all, and open it where that is what it needs.

    Raises `InvalidInput`, `StudyEnded`, `Conflict`: see `Service.extend_study`.
    """
    present = study.spec.budget_trials
    if study.state is StudyState.STOPPED:
        raise StudyEnded(f"study {study.name!r} was stopped")
    if study.spec.budget.trials is None:
        raise Conflict(f"the budget of {study.name!r} sets no number of trials that could be raised")
    if not study.spec.budget.trials <= trials <= MAX_TRIALS:
        problem = f"must be in all, from {study.spec.budget.trials} (as it is now) to {MAX_TRIALS}, not {trials}"
        raise InvalidInput(faults=[Fault("trials", problem)])
    if trials == study.spec.budget.trials:
        return
    spec = extended(study.spec, trials)
    if spec.budget_trials == present:
        raise Conflict(f"the grid of {study.name!r} has {present} points: more trials would find none")
    wall_clock = spec.budget.wall_clock
    is_late = wall_clock is not None and study.started_at is not None and study.started_at + wall_clock <= now
    was_spent = present is not None and study.finished >= present
    if study.state is StudyState.COMPLETE and (is_late or not was_spent):
        raise Conflict(
            f"study {study.name!r} has ended otherwise ({study.reason}): more trials alone would not let it go on"
        )
    study.redescribe(spec)
    if study.state is StudyState.COMPLETE:
        study.move(StudyState.RUNNING, None)
    study.note(f"its budget was raised from {present} to {spec.budget_trials} trials")


def extended(spec: StudySpec, trials: int) -> StudySpec:
    """The same with another number of trials."""
    raw = spec.model_dump()
    return StudySpec.model_validate(raw | {"budget": raw["budget"] | {"trials": trials}})
