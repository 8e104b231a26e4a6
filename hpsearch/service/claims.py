"""Trials handed out: to workers that claim, to loops that ask. Several callers' claims are one transaction."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from hpsearch.errors import HpsearchError
from hpsearch.gateway import Assignment
from hpsearch.service import checks, life, promotions
from hpsearch.service.histories import Histories, KeptHistory
from hpsearch.service.shares import Kind, Served, Shares
from hpsearch.store import studies, trials, workers
from hpsearch.store.database import Database, Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, lock_by_id
from hpsearch.store.trials import Holder
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Suggestion, TrialState

DRAWS = 5
"""How often suggestions are drawn anew because another server made trials in the meantime. Whoever is overtaken as
often as that draws with the study locked: a few milliseconds, but his turn."""


SEEN_SECONDS = 1.0
"""A worker's sign of life is noted as often as this where nothing else is written."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker asks for."""

    worker: str
    session: str
    holding: Collection[str]
    limit: int


class Later(list[Assignment]):
    """Nothing yet: it is being drawn (`Ahead.soon`)."""


@dataclass(slots=True)
class _Plan:
    """What several claims are to be given. Claims go by their position."""

    refused: dict[int, HpsearchError] = field(default_factory=dict)
    ready: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By study id: (number, position) of trials that are there already."""
    promoted: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    """By study id: (number, rung, position) of trials that pause at a rung and go on."""
    fresh: dict[int, list[int]] = field(default_factory=dict)
    """By study id: the positions that want a new trial each."""
    studies: dict[int, Study] = field(default_factory=dict)
    later: set[int] = field(default_factory=set)
    """Positions for which new trials are being drawn."""
    unseen: bool = False
    """Whether some worker has not been noted for a while."""

    @property
    def study_ids(self) -> list[int]:
        return sorted(self.ready.keys() | self.promoted.keys() | self.fresh.keys())

    def nothing_more(self, given: Mapping[int, list[Assignment]]) -> dict[int, list[Assignment] | HpsearchError]:
        """The answers by position, where these are all that was given."""
        later: dict[int, list[Assignment]] = {position: Later() for position in self.later}
        return {**later, **given, **self.refused}


class Claims:
    """Hands out trials. Looks without locks, samples without a transaction, then writes all in one."""

    def __init__(self, database: Database, histories: Histories, lease_seconds: float) -> None:
        self._database = database
        self._histories = histories
        self._lease_seconds = lease_seconds
        self._served = Served()

    # --- workers -----------------------------------------------------------------------------------------------------

    def answer(self, claims: Sequence[Claim]) -> list[list[Assignment] | HpsearchError]:
        """See `Gateway.claim`; an answer or a refusal each."""
        answers: list[list[Assignment] | HpsearchError] = [[] for _ in claims]
        positions = list(range(len(claims)))
        for turn in range(DRAWS + 1):
            given, missed = self._answer_once([claims[position] for position in positions], insist=turn == DRAWS)
            for place, answer in given.items():
                answers[positions[place]] = answer
            positions = [positions[place] for place in missed]
            if not positions:
                break
        return answers

    def _answer_once(
        self, claims: Sequence[Claim], *, insist: bool
    ) -> tuple[dict[int, list[Assignment] | HpsearchError], list[int]]:
        """The answers by position, and who got nothing because another server was faster."""
        late: set[int] = set()
        later: set[int] = set()
        while True:
            with self._database.read() as tx:
                plan = _plan(tx, claims, self._served, late)
            plan.later = later
            if not (plan.study_ids or plan.unseen):  # what waiting workers ask every moment writes nothing
                return plan.nothing_more({}), []
            with ExitStack() as stack:
                drawn = {}
                for study_id in sorted(plan.fresh):
                    kept = stack.enter_context(self._histories.drawing(plan.studies[study_id]))
                    drawn[study_id] = _Drawn(kept, len(plan.fresh[study_id]), self._database if insist else None)
                waits = {study_id for study_id in drawn if drawn[study_id].is_late}
                if not waits:
                    return self._write(claims, plan, drawn)
            late |= waits  # others have their turn meanwhile, and who goes without then comes again
            later = later.union(*plan.fresh.values())

    def _write(
        self, claims: Sequence[Claim], plan: _Plan, drawn: dict[int, "_Drawn"]
    ) -> tuple[dict[int, list[Assignment] | HpsearchError], list[int]]:
        given: dict[int, list[Assignment]] = {}
        holders = [Holder(claim.worker, claim.session, self._lease_seconds) for claim in claims]
        with self._database.write() as tx:
            refused = workers.refusals(tx, [(claim.worker, claim.session) for claim in claims])
            for study in lock_by_id(tx, plan.study_ids).values():
                ready = [key for key in plan.ready.get(study.id, ()) if key[1] not in refused]
                wanted = [position for position in plan.fresh.get(study.id, ()) if position not in refused]
                held = _take(tx, study, ready, holders)
                promoted = [key for key in plan.promoted.get(study.id, ()) if key[2] not in refused]
                held += _promote(tx, study, promoted, holders)
                if study.id in drawn:
                    held += drawn[study.id].create(tx, study, wanted, holders)
                self._served.note(study.id, len(held), study.spec.weight)
                life.save(tx, study)
                assignments = life.assignments(tx, study, [trial for _, trial in held])
                for (position, _), assignment in zip(held, assignments, strict=True):
                    given.setdefault(position, []).append(assignment)
            workers.seen(tx, {claim.worker for position, claim in enumerate(claims) if position not in refused})
        missed = {position for study_id, draw in drawn.items() if draw.missed for position in plan.fresh[study_id]}
        for draw in drawn.values():
            draw.follow()
        return plan.nothing_more(given) | refused, sorted(missed - given.keys() - refused.keys())

    # --- outside loops -----------------------------------------------------------------------------------------------

    def ask(self, study: str, count: int, holder: Holder) -> list[Assignment]:
        """See `Service.ask`."""
        for turn in range(DRAWS + 1):
            with self._database.read() as tx:
                found = studies.find(tx, study)
            missing = checks.room_of(found, count - found.counts.waiting - found.confirm_counts.waiting)
            if found.state is not StudyState.RUNNING or missing <= 0:
                answer = self._hand_out(study, count, holder, None)
            else:
                with self._histories.drawing(found) as kept:
                    drawn = _Drawn(kept, missing, self._database if turn == DRAWS else None)
                    answer = self._hand_out(study, count, holder, drawn)
            if answer is not None:
                return answer
        return []

    def _hand_out(self, study: str, count: int, holder: Holder, drawn: "_Drawn | None") -> list[Assignment] | None:
        """None where nothing could be given because another server made trials in the meantime."""
        with self._database.write() as tx:
            locked = studies.lock(tx, study)
            known = trials.of_request(tx, locked, holder.request_id) if holder.request_id else []
            if known:
                return life.assignments(tx, locked, known)
            checks.check_open(locked.state, study)
            waiting = locked.trials(trials.waiting_of(tx, locked, count))
            held = [trial for trial in waiting.values() if trials.take(tx, locked, trial, holder)]
            if locked.counts[TrialState.PAUSED] and len(held) < count:
                ready = promotions.promotable(tx, locked, count - len(held))
                promoted = [(number, rung, 0) for number, rung in ready]
                held += [trial for _, trial in _promote(tx, locked, promoted, [holder])]
            if drawn is not None:
                held += [trial for _, trial in drawn.create(tx, locked, [0] * (count - len(held)), [holder])]
                if drawn.missed and not held:
                    return None
                if drawn.is_late and not held:
                    return Later()
            life.save(tx, locked)
            assignments = life.assignments(tx, locked, held)
        if drawn is not None:
            drawn.follow()
        return assignments


class _Drawn:
    """Suggestions of one history, on their way to be trials."""

    def __init__(self, kept: KeptHistory, count: int, locked_draw: Database | None) -> None:
        self._kept = kept
        self._suggestions: Sequence[Suggestion] = kept.suggest([{}] * count)
        self._locked_draw = locked_draw
        self._study: LockedStudy | None = None
        self.missed = False
        """Whether another server made trials since they were drawn: they would have its numbers' seeds."""

    @property
    def is_late(self) -> bool:
        """Whether they are still being drawn."""
        return self._kept.draws_ahead and not self._suggestions

    def create(
        self, tx: Transaction, study: LockedStudy, positions: Sequence[int], holders: Sequence[Holder]
    ) -> list[tuple[int, LockedTrial]]:
        """New trials for the holders at these positions, as many as the budget still allows."""
        if study.next_number != self._kept.next_number:
            if self._locked_draw is None:
                self.missed = bool(positions)
                return []
            self._kept.bring_up(self._locked_draw, study.former_revision)
            self._suggestions = self._kept.suggest([{}] * len(positions))
        self._study = study
        return [
            (position, trial)
            for position, suggestion in zip(positions, self._suggestions, strict=False)
            for trial in life.create_held(tx, study, [suggestion], holders[position])
        ]

    def follow(self) -> None:
        """The transaction is committed: the history takes the new trials in."""
        if self._study is not None:
            self._kept.follow(self._study)


def _take(
    tx: Transaction, study: LockedStudy, ready: Sequence[tuple[int, int]], holders: Sequence[Holder]
) -> list[tuple[int, LockedTrial]]:
    """(position, trial) of the trials that were still to be had."""
    found = study.trials([number for number, _ in ready])
    return [
        (position, found[number])
        for number, position in ready
        if number in found and trials.take(tx, study, found[number], holders[position])
    ]


def _promote(
    tx: Transaction, study: LockedStudy, promoted: Sequence[tuple[int, int, int]], holders: Sequence[Holder]
) -> list[tuple[int, LockedTrial]]:
    """(position, trial) of the trials that still pause where they did."""
    found = study.trials([number for number, *_ in promoted])
    return [
        (position, found[number])
        for number, rung, position in promoted
        if number in found and trials.promote(tx, study, found[number], rung, holders[position])
    ]


def _plan(tx: Transaction, claims: Sequence[Claim], served: Served, late: Collection[int]) -> _Plan:
    """What there is for whom: a worker's own live trials that it does not know of, then those of the studies whose turn
    it is. Of `late` studies, whose next trials are being drawn, nothing new."""
    found = workers.by_name(tx, {claim.worker for claim in claims})
    plan = _Plan(unseen=any(row.seen_at < tx.now - SEEN_SECONDS for row in found.values()))
    plan.refused = workers.refusals_among(found, [(claim.worker, claim.session) for claim in claims])
    missing = {position: claim.limit for position, claim in enumerate(claims) if position not in plan.refused}
    _plan_own(tx, claims, plan, missing)
    objectives = {position: set(found[claims[position].worker].objectives) for position in missing}
    if any(missing.values()):
        _plan_shared(tx, plan, missing, objectives, served, late)
    return plan


def _plan_own(tx: Transaction, claims: Sequence[Claim], plan: _Plan, missing: dict[int, int]) -> None:
    held: dict[str, list[tuple[int, int, str]]] = {}
    for row in trials.held_by(tx, {claims[position].worker for position in missing}):
        held.setdefault(row.worker, []).append((row.study_id, row.number, row.lease_token))
    for position in missing:
        claim = claims[position]
        lost = [key for key in held.get(claim.worker, ()) if key[2] not in claim.holding][: missing[position]]
        for study_id, number, _ in lost:
            plan.ready.setdefault(study_id, []).append((number, position))
        missing[position] -= len(lost)


def _plan_shared(
    tx: Transaction,
    plan: _Plan,
    missing: dict[int, int],
    objectives: dict[int, set[str]],
    served: Served,
    late: Collection[int],
) -> None:
    """Trials of the studies whose turn it is: waiting ones first, then those that are promoted at a rung, then new
    ones."""
    open_studies = studies.open_to(tx, set().union(*objectives.values()))
    shares = Shares(open_studies, sum(missing.values()), partial(promotions.promotable, tx), served, late)
    waiting: dict[int, list[int]] = {}
    for position, count in missing.items():
        for _ in range(count):
            turn = shares.next(objectives[position])
            if turn is None:
                break
            study = plan.studies[turn.study.id] = turn.study
            if turn.paused is not None:
                plan.promoted.setdefault(study.id, []).append((*turn.paused, position))
            else:
                (waiting if turn.kind is Kind.WAITING else plan.fresh).setdefault(study.id, []).append(position)
    for study_id, positions in waiting.items():
        numbers = trials.waiting(tx, study_id, len(positions))
        plan.ready.setdefault(study_id, []).extend(zip(numbers, positions, strict=False))
