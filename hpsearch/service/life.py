"""What happens to studies and trials inside one transaction: the rules of their life."""

from collections.abc import Sequence

from hpsearch.automatic import pruner_of
from hpsearch.gateway import Assignment
from hpsearch.search.pruners import Standing, judge, looks_at
from hpsearch.service import promotions
from hpsearch.service.checks import stored_text
from hpsearch.store import artifacts, rungs, trials
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, spec_of
from hpsearch.store.reports import Reported, Reports
from hpsearch.store.rows import AnyRow
from hpsearch.store.trials import Holder
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Decision, Receipt, Release, Report, Result, Suggestion, TrialState, has_diverged, trial_seed

FAILURES_ALIKE = 5
"""A study whose first so many trials all fail for the same reason pauses itself."""
DIVERGED_ALIKE = 20
"""As many where they diverged: a sampler can learn from that where not to look."""


def save(tx: Transaction, study: LockedStudy) -> Study:
    """Write a study's changes, after ending it if they fulfil its budget."""
    budget = study.spec.budget
    if not study.state.has_ended:
        if _nobody_goes_on(tx, study):
            rungs.prune_paused(tx, study)
        if budget.target is not None and study.best_value is not None and _reaches(study, budget.target):
            reason = f"trial {study.best_number} reached the target: {study.best_value:g}"
            end(tx, study, StudyState.COMPLETE, reason)
        elif study.spec.budget_trials is not None and study.finished >= study.spec.budget_trials:
            study.move(StudyState.COMPLETE, f"all {study.spec.budget_trials} trials are finished")
        elif study.state is StudyState.RUNNING and (why := _hopeless(tx, study)):
            study.move(StudyState.PAUSED, why)
    return study.save()


def _nobody_goes_on(tx: Transaction, study: LockedStudy) -> bool:
    """Whether all that is left of a study's trials pauses at rungs, and none of it can be promoted any more."""
    if not study.counts[TrialState.PAUSED] or study.room is None or study.room > 0:
        return False
    if study.counts[TrialState.RUNNING] or study.counts[TrialState.WAITING]:
        return False
    study.flush()
    return not promotions.promotable(tx, study.id, study.spec, 1)


def _hopeless(tx: Transaction, study: LockedStudy) -> str | None:
    """Why a study should not go on burning its budget: nothing but failures so far, and all alike."""
    if study.counts[TrialState.FAILED] < FAILURES_ALIKE or study.finished > study.counts[TrialState.FAILED]:
        return None
    study.flush()
    reasons = set(trials.failed(tx, study).values())
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


def end(tx: Transaction, study: LockedStudy, to: StudyState, reason: str) -> None:
    """End a study; what pauses at a rung is pruned there, what runs or waits is cancelled."""
    study.flush()
    if study.counts[TrialState.PAUSED]:
        rungs.prune_paused(tx, study)
    trials.cancel_all(tx, study, f"the study ended: {reason}")
    study.move(to, reason)


def create_held(
    tx: Transaction, study: LockedStudy, suggestions: Sequence[Suggestion], holder: Holder
) -> list[LockedTrial]:
    """New leased trials, as many as the budget still allows."""
    if study.state is not StudyState.RUNNING:
        return []
    allowed = suggestions if study.room is None else suggestions[: max(0, study.room)]
    return trials.create(tx, study, allowed, holder)


def assignments(tx: Transaction, study: LockedStudy, held: Sequence[LockedTrial]) -> list[Assignment]:
    """What the holders of trials are told."""
    return [
        Assignment(
            lease=trial.lease(study.name),
            objective=study.spec.objective,
            parameters=trial.parameters,
            seed=trial_seed(study.spec.seed, trial.number),
            checkpoint=artifacts.checkpoint(tx, study.id, trial.number) if trial.attempt > 1 else None,
        )
        for trial in held
    ]


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
    verdict, pruner = None, pruner_of(spec)
    if looks_at(pruner, trial.number, report.step):
        standing = Standing(number=trial.number, step=report.step, value=report.value, best=best, complete=row.complete)
        beside = written.beside(trial, report, row.best_number)
        verdict = judge(pruner, spec.objective.direction, standing, beside)
    if verdict is None:
        written.add(trial, report, best, Decision.CONTINUE, None)
        return Decision.CONTINUE
    decision = Decision.PAUSE if verdict.pauses else Decision.PRUNE
    written.add(trial, report, best, decision, (verdict.words, verdict.pruning))
    return decision


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
