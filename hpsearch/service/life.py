"""What happens to studies and trials inside one transaction: the rules of their life."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hpsearch.gateway import Assignment
from hpsearch.search.pruners import Standing, looks_at, peer_states, why_prune
from hpsearch.service.checks import stored_text
from hpsearch.store import artifacts, reports, studies, trials
from hpsearch.store.database import Transaction
from hpsearch.store.rows import AnyRow
from hpsearch.store.studies import LockedStudy
from hpsearch.store.trials import Held, Holder
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result, Suggestion, TrialState, trial_seed

T = TypeVar("T")
A = TypeVar("A")

FAILURES_ALIKE = 5
"""A study whose first so many trials all fail for the same reason pauses itself."""


def save(tx: Transaction, study: LockedStudy) -> Study:
    """Write a study's changes, after ending it if they fulfil its budget."""
    budget = study.spec.budget
    if not study.state.has_ended:
        if budget.target is not None and study.best_value is not None and _reaches(study, budget.target):
            reason = f"trial {study.best_number} reached the target: {study.best_value:g}"
            end(tx, study, StudyState.COMPLETE, reason)
        elif budget.trials is not None and study.finished >= budget.trials:
            study.move(StudyState.COMPLETE, f"all {budget.trials} trials are finished")
        elif study.state is StudyState.RUNNING and (why := _hopeless(tx, study)):
            study.move(StudyState.PAUSED, why)
    return study.save()


def _hopeless(tx: Transaction, study: LockedStudy) -> str | None:
    """Why a study should not go on burning its budget: nothing but failures so far, and all alike."""
    if study.counts[TrialState.FAILED] < FAILURES_ALIKE or study.finished > study.counts[TrialState.FAILED]:
        return None
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
    trials.cancel_all(tx, study, f"the study ended: {reason}")
    study.move(to, reason)


def take_all(tx: Transaction, study: LockedStudy, numbers: Iterable[int], holder: Holder) -> list[Held]:
    taken = [trials.take(tx, study, number, holder) for number in numbers]
    return [held for held in taken if held is not None]


def create_held(tx: Transaction, study: LockedStudy, suggestions: Sequence[Suggestion], holder: Holder) -> list[Held]:
    """New leased trials, as many as the budget still allows."""
    if study.state is not StudyState.RUNNING:
        return []
    allowed = suggestions if study.room is None else suggestions[: max(0, study.room)]
    return [trials.held(tx, study, trial.number) for trial in trials.create(tx, study, allowed, holder)]


def assignment(tx: Transaction, study: LockedStudy, held: Held) -> Assignment:
    number = held.lease.number
    return Assignment(
        lease=held.lease,
        objective=study.spec.objective,
        parameters=held.trial.parameters,
        seed=trial_seed(study.spec.seed, number),
        checkpoint=artifacts.checkpoint(tx, study.id, number) if held.lease.attempt > 1 else None,
    )


def record(tx: Transaction, row: AnyRow, report: Report) -> Decision:
    """Decide on a new report and write both down."""
    spec = studies.spec_of(row.spec)
    former = row.best_value
    if reports.drop_superseded(tx, row, report.step):
        former = reports.best(tx, row, spec.objective.direction)
    better = max if spec.objective.direction == "maximize" else min
    best = report.value if former is None else better(report.value, former)
    reason = None
    if looks_at(spec.pruner, report.step):
        peers = reports.values_at(tx, row, report.step, peer_states(spec.pruner))
        standing = Standing(report.step, report.value, best, peers, row.complete)
        reason = why_prune(spec.pruner, spec.objective.direction, standing)
    decision = Decision.PRUNE if reason else Decision.CONTINUE
    reports.add(tx, row, report, best, decision, reason)
    return decision


def finish(tx: Transaction, study: LockedStudy, row: AnyRow, result: Result) -> Receipt:
    if row.state != TrialState.RUNNING.value:
        if TrialState(row.state) is TrialState.CANCELLED:
            return Receipt.LOST
        return Receipt.ACCEPTED if trials.was_told(row, result) else Receipt.CONFLICT
    trials.finish(tx, study, row, result)
    return Receipt.ACCEPTED


def release(tx: Transaction, study: LockedStudy, row: AnyRow, release: Release) -> Receipt:
    if row.state != TrialState.RUNNING.value:
        return Receipt.LOST
    trials.hand_back(tx, study, row, stored_text(release.reason) or "handed back", crashed=release.crashed)
    return Receipt.ACCEPTED


def in_lock_order(items: Sequence[T], lease_of: Callable[[T], Lease], answer: Callable[[T], A]) -> list[A]:
    """Answer each item, in the order in which every transaction locks (study, number), so that none meet head-on."""
    positions = sorted(range(len(items)), key=lambda position: _lock_key(lease_of(items[position])))
    answers = {position: answer(items[position]) for position in positions}
    return [answers[position] for position in range(len(items))]


def _lock_key(lease: Lease) -> tuple[str, int]:
    return lease.study, lease.number
