"""What happens to studies and trials inside one transaction: the rules of their life."""

from collections.abc import Sequence

from hpsearch.automatic import pruner_of
from hpsearch.gateway import Assignment
from hpsearch.search.pruners import Standing, looks_at, peer_states, why_prune
from hpsearch.service.checks import stored_text
from hpsearch.store import artifacts, trials
from hpsearch.store.database import Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, spec_of
from hpsearch.store.reports import Reported, Reports
from hpsearch.store.rows import AnyRow
from hpsearch.store.trials import Holder
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Decision, Receipt, Release, Report, Result, Suggestion, TrialState, trial_seed

FAILURES_ALIKE = 5
"""A study whose first so many trials all fail for the same reason pauses itself."""


def save(tx: Transaction, study: LockedStudy) -> Study:
    """Write a study's changes, after ending it if they fulfil its budget."""
    budget = study.spec.budget
    if not study.state.has_ended:
        if budget.target is not None and study.best_value is not None and _reaches(study, budget.target):
            reason = f"trial {study.best_number} reached the target: {study.best_value:g}"
            end(tx, study, StudyState.COMPLETE, reason)
        elif study.spec.budget_trials is not None and study.finished >= study.spec.budget_trials:
            study.move(StudyState.COMPLETE, f"all {study.spec.budget_trials} trials are finished")
        elif study.state is StudyState.RUNNING and (why := _hopeless(tx, study)):
            study.move(StudyState.PAUSED, why)
    return study.save()


def _hopeless(tx: Transaction, study: LockedStudy) -> str | None:
    """Why a study should not go on burning its budget: nothing but failures so far, and all alike."""
    if study.counts[TrialState.FAILED] < FAILURES_ALIKE or study.finished > study.counts[TrialState.FAILED]:
        return None
    study.flush()
    reasons = set(trials.failed(tx, study).values())
    if len(reasons) > 1:
        return None
    return f"its first {study.finished} trials all failed alike: {reasons.pop() or 'no reason given'}"


def _reaches(study: LockedStudy, target: float) -> bool:
    best = study.best_value
    if best is None:
        return False
    return best >= target if study.spec.objective.direction == "maximize" else best <= target


def end(tx: Transaction, study: LockedStudy, to: StudyState, reason: str) -> None:
    """End a study; what runs or waits is cancelled."""
    study.flush()
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
    reason, pruner = None, pruner_of(spec)
    if looks_at(pruner, report.step):
        peers = written.values_at(trial, report.step, peer_states(pruner))
        standing = Standing(report.step, report.value, best, peers, row.complete)
        reason = why_prune(pruner, spec.objective.direction, standing)
    decision = Decision.PRUNE if reason else Decision.CONTINUE
    written.add(trial, report, best, decision, reason)
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
