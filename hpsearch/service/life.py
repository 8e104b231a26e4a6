"""What happens to studies and trials inside one transaction: the rules of their life."""

from collections.abc import Mapping, Sequence

from hpsearch.automatic import pruner_of
from hpsearch.gateway import Assignment
from hpsearch.pruner_spec import AnyPruner, NoPruner
from hpsearch.search.pruners import Standing, judge, judged_steps, looks_at
from hpsearch.service import promotions
from hpsearch.service.checks import stored_text
from hpsearch.spec import StudySpec
from hpsearch.store import artifacts, confirming, rungs, trials
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, spec_of
from hpsearch.store.reports import Reported, Reports
from hpsearch.store.rows import AnyRow, seed_of
from hpsearch.store.trials import Holder
from hpsearch.studies import EndReason, Study, StudyState
from hpsearch.trials import (
    Decision,
    Receipt,
    Release,
    Report,
    Result,
    Suggestion,
    TrialKind,
    TrialState,
    confirm_seed,
    has_diverged,
)

FAILURES_ALIKE = 5
"""A study whose first so many trials all fail for the same reason pauses itself."""
DIVERGED_ALIKE = 20
"""As many where they diverged: a sampler can learn from that where not to look."""


OUT_OF_TIME = frozenset({EndReason.WALL_CLOCK, EndReason.COMPUTE})
"""Ends that leave no time for what nobody asked for."""


def save(tx: Transaction, study: LockedStudy, *, confirms: bool = True) -> Study:
    """Write a study's changes, after ending its search if they fulfil its budget, and the study itself if nothing is
    left to confirm. Without `confirms` (a study copied from elsewhere) a search that ends here is not confirmed."""
    if study.is_searching:
        if _nobody_goes_on(tx, study):
            rungs.prune_paused(tx, study)
        if because := fulfilled(study):
            end_search(tx, study, because, confirms=confirms)
        elif study.state is StudyState.RUNNING and (why := _hopeless(tx, study)):
            study.move(StudyState.PAUSED, why)
            study.ended_because = EndReason.FAILURES
    _end_if_confirmed(study)
    return study.save()


def _nobody_goes_on(tx: Transaction, study: LockedStudy) -> bool:
    """Whether all that is left of a study's trials pauses at rungs, and none of it can be promoted any more."""
    if not study.counts[TrialState.PAUSED] or study.room is None or study.room > 0:
        return False
    if study.counts[TrialState.RUNNING] or study.counts[TrialState.WAITING]:
        return False
    study.flush()
    return not promotions.promotable(tx, study, 1)


def fulfilled(study: LockedStudy) -> EndReason | None:
    """Which part of the budget the search has fulfilled."""
    budget = study.spec.budget
    if budget.target is not None and _reaches(study, budget.target):
        return EndReason.TARGET
    if study.spec.budget_trials is not None and study.finished >= study.spec.budget_trials:
        return EndReason.TRIALS if study.spec.budget_trials == budget.trials else EndReason.GRID
    if budget.no_improvement is not None and study.finished - study.improved_at >= budget.no_improvement:
        return EndReason.NO_IMPROVEMENT
    return EndReason.COMPUTE if _is_spent(study) else None


def _is_spent(study: LockedStudy) -> bool:
    compute = study.spec.budget.compute_seconds
    return compute is not None and study.spent_seconds >= compute


def out_of_time(study: LockedStudy, now: float) -> EndReason | None:
    """Which of its times the search has used up."""
    budget = study.spec.budget
    if budget.wall_clock is not None and study.started_at is not None and study.started_at + budget.wall_clock <= now:
        return EndReason.WALL_CLOCK
    return EndReason.COMPUTE if _is_spent(study) else None


def in_words(study: LockedStudy, because: EndReason) -> str:
    """Why a search ended."""
    match because:
        case EndReason.TARGET:
            return f"trial {study.best_number} reached the target: {study.best_value:g}"
        case EndReason.WALL_CLOCK:
            return "its wall clock has run out"
        case EndReason.COMPUTE:
            return f"its {study.spec.budget.compute_seconds:g} s of compute are spent"
        case EndReason.NO_IMPROVEMENT:
            return f"the last {study.spec.budget.no_improvement} trials brought nothing better"
        case EndReason.STOPPED:
            return "stopped by a user"
        case _:
            return f"all {study.spec.budget_trials} trials are finished"


def end_search(tx: Transaction, study: LockedStudy, because: EndReason, *, confirms: bool = True) -> None:
    """End a search: what pauses at a rung is pruned there, what runs or waits is cancelled; its best configurations are
    to be trained again."""
    reason = in_words(study, because)
    _end_open(tx, study, f"the search ended: {reason}", TrialKind.SEARCH)
    study.searched_at, study.ended_because = tx.now, because
    if confirms:
        _plan_confirming(tx, study)
    if study.state is StudyState.RUNNING and study.is_confirming:
        study.move(StudyState.CONFIRMING, reason)


def _plan_confirming(tx: Transaction, study: LockedStudy) -> None:
    """The runs that are still missing: a search that was opened again may have found better configurations."""
    plan = study.spec.confirmation
    if plan is None or (study.spec.confirm is None and study.ended_because in OUT_OF_TIME):
        return
    study.flush()
    known = confirming.seeds_of_runs(tx, study)
    chosen = study.trials(confirming.best_configurations(tx, study, plan.top))
    seeds = [confirm_seed(study.spec.seed, run) for run in range(plan.seeds)]
    for seed in seeds:  # seed by seed, so that what is stopped early can be compared all the same
        for trial in chosen.values():
            if (trial.number, seed) not in known:
                confirming.create(tx, study, trial, seed)


def _end_if_confirmed(study: LockedStudy) -> None:
    if study.searched_at is not None and not study.state.has_ended and not study.is_confirming:
        study.move(StudyState.COMPLETE, in_words(study, study.ended_because or EndReason.TRIALS))


def _hopeless(tx: Transaction, study: LockedStudy) -> str | None:
    """Why a study should not go on burning its budget: nothing but failures so far, and all alike."""
    if study.counts[TrialState.FAILED] < FAILURES_ALIKE or study.finished > study.counts[TrialState.FAILED]:
        return None
    study.flush()
    reasons = set(trials.failed(tx, study, TrialKind.SEARCH).values())
    if len(reasons) > 1:
        return None
    reason = reasons.pop()
    if has_diverged(TrialState.FAILED, reason) and study.finished < DIVERGED_ALIKE:
        return None
    return f"its first {study.finished} trials all failed alike: {reason or 'no reason given'}"


def _reaches(study: LockedStudy, target: float) -> bool:
    best = study.best_value
    if best is None:
        return False
    return best >= target if study.spec.objective.direction == "maximize" else best <= target


def reopen(study: LockedStudy) -> None:
    """Open a study where it is: at its search, or at what confirms."""
    to = StudyState.RUNNING if study.searched_at is None else StudyState.CONFIRMING
    if study.ended_because is EndReason.FAILURES:
        study.ended_because = None
    if study.state is not to:
        study.move(to, None if study.ended_because is None else in_words(study, study.ended_because))


def stop(tx: Transaction, study: LockedStudy) -> None:
    """End a study at a user's word: what pauses at a rung is pruned there, what runs or waits is cancelled, also what
    confirms."""
    reason = "stopped by a user" + ("" if study.is_searching else " while it confirmed")
    _end_open(tx, study, f"the study ended: {reason}", TrialKind.ALL)
    if study.is_searching:
        study.searched_at, study.ended_because = tx.now, EndReason.STOPPED
    study.move(StudyState.STOPPED, reason)


def _end_open(tx: Transaction, study: LockedStudy, reason: str, kind: TrialKind) -> None:
    study.flush()
    if study.counts[TrialState.PAUSED]:
        rungs.prune_paused(tx, study)
    trials.cancel_all(tx, study, reason, kind)


def create_held(
    tx: Transaction, study: LockedStudy, suggestions: Sequence[Suggestion], holder: Holder
) -> list[LockedTrial]:
    """New leased trials, as many as the budget and the study's limit still allow."""
    if study.state is not StudyState.RUNNING:
        return []
    for limit in (study.room, study.slots):
        suggestions = suggestions if limit is None else suggestions[: max(0, limit)]
    return trials.create(tx, study, suggestions, holder)


def assignments(tx: Transaction, study: LockedStudy, held: Sequence[LockedTrial]) -> list[Assignment]:
    """What the holders of trials are told."""
    return [
        Assignment(
            lease=trial.lease(study.name),
            objective=study.spec.objective,
            parameters=trial.parameters,
            seed=seed_of(vars(trial), study.spec),
            checkpoint=artifacts.checkpoint(tx, study.id, trial.number) if trial.attempt > 1 else None,
            judged_steps=judged_steps(_pruner_of(study.spec, trial), trial.number),
        )
        for trial in held
    ]


def _pruner_of(spec: StudySpec, trial: LockedTrial | Reported) -> AnyPruner:
    """What decides about a trial at its reports; what confirms runs to its end."""
    return NoPruner() if trial.confirms is not None else pruner_of(spec)


def record(written: Reports, trial: Reported, row: AnyRow, report: Report) -> Decision:
    """The answer to a report, which is recorded with it; the answer that it got before, where it is on record."""
    spec = spec_of(row.spec)
    known = written.decision_on(trial, report.step)
    if known:
        written.renew(trial)
        return known
    written.drop_superseded(trial, report.step, spec.objective.direction)
    better = max if spec.objective.direction == "maximize" else min
    best = report.value if trial.best_value is None else better(report.value, trial.best_value)
    violates = _violates(spec, row.parameters, report)
    standing = Standing(
        number=trial.number,
        step=report.step,
        value=report.value,
        best=best,
        complete=row.complete,
        violates=bool(violates),
    )
    decision = trial.verdict or _judged(written, trial, spec, report, standing)
    written.add(trial, report, best, decision, violates=violates)
    return decision


def _judged(written: Reports, trial: Reported, spec: StudySpec, report: Report, standing: Standing) -> Decision:
    pruner = _pruner_of(spec, trial)
    if not looks_at(pruner, trial.number, report.step):
        return Decision.CONTINUE
    beside = written.beside(trial, report, is_limited=bool(spec.limits.of_metrics))
    verdict = judge(pruner, spec.objective.direction, standing, beside)
    if verdict is None:
        return Decision.CONTINUE
    return trial.end_at(report, verdict.words, verdict.pruning, pauses=verdict.pauses)


def _violates(spec: StudySpec, parameters: Mapping[str, object], report: Report) -> bool | None:
    """Whether a trial violates a constraint over what is measured, as far as it has told; None without such a
    constraint."""
    if not spec.limits.of_metrics:
        return None
    searched = {} if spec.objective.has_several else {spec.objective.metric: report.value}
    return bool(spec.limits.violations(parameters, searched | dict(report.metrics), is_complete=False))


def finish(tx: Transaction, study: LockedStudy, trial: LockedTrial, result: Result) -> Receipt:
    """The answer to a tell."""
    if not trial.is_running:
        if trial.state == TrialState.CANCELLED.value:
            return Receipt.LOST
        return Receipt.ACCEPTED if trials.was_told(trial, result) else Receipt.CONFLICT
    trials.finish(tx, study, trial, result)
    return Receipt.ACCEPTED


def release(tx: Transaction, study: LockedStudy, trial: LockedTrial, release: Release) -> Receipt:
    """The answer to a trial handed back."""
    if not trial.is_running:
        return Receipt.LOST
    trials.hand_back(tx, study, trial, stored_text(release.reason) or "handed back", crashed=release.crashed)
    return Receipt.ACCEPTED
