"""Which study's turn it is, where several compete for workers: by priority, then by weighted share of what runs and of
what was given."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush

from hpsearch.service.checks import room_of, slots_of
from hpsearch.studies import Study, StudyState

Paused = tuple[int, int]
"""A trial's number and the rung where it pauses."""
Promotable = Callable[[Study, int], list[Paused]]
"""At most so many of a study's trials that may go on."""


_Rank = tuple[int, float, int]


class Kind(Enum):
    """What a turn is for, in the order in which a study's are given."""

    WAITING = auto()
    PROMOTED = auto()
    FRESH = auto()


@dataclass(frozen=True, slots=True)
class Turn:
    """What a worker is to be given."""

    study: Study
    kind: Kind
    paused: Paused | None = None
    """What is promoted."""


class Served:
    """What each study was given so far, for its weight, as this server knows. Where few slots fall free one after
    another, the trials that run say little of whose turn it is: with one slot there are none, and the heaviest study
    would have every turn. A restart forgets it, at the cost of a turn or two.
    """

    def __init__(self) -> None:
        self._given: dict[int, float] = {}

    def note(self, study_id: int, trials: int, weight: float) -> None:
        """A study was given so many trials now."""
        self._given[study_id] = self._given.get(study_id, 0.0) + trials / weight

    def leads(self, studies: Collection[Study]) -> dict[int, float]:
        """By how much each of some that compete was given more than the one that was given least. It is no more than a
        trial adds for the lightest, and what was more is forgotten, as it is slots that are shared by weight, however
        many trials run on them; and who comes later makes up for nothing."""
        known = [self._given[study.id] for study in studies if study.id in self._given]
        least, most = min(known, default=0.0), max((1 / study.spec.weight for study in studies), default=0.0)
        for study in studies:
            self._given[study.id] = min(self._given.get(study.id, least), least + most)
        return {study.id: self._given[study.id] - least for study in studies}


class Shares:
    """Hands out turns. The next one goes to the highest priority that has something to run, and within it to the study
    that would have the least trials running for its weight after it (D'Hondt's rule, which keeps shares in proportion),
    what it was given lately counting too.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        most: int,
        promotable: Promotable,
        served: Served,
        late: Collection[int] = (),
    ) -> None:
        """`most` turns will be asked for. What is promotable is asked of a study when it comes to that.

        Of studies whose ids are `late` there are no new trials yet. They are waited for, a second mostly, rather than
        that a study of a lower priority takes the slot for as long as its trial runs.
        """
        least = max((study.spec.priority for study in studies if study.id in late), default=None)
        competing: dict[int, list[_Share]] = defaultdict(list)
        for study in studies:
            if least is not None and study.spec.priority < least:
                continue
            share = _Share(study, most, promotable, is_late=study.id in late)
            if share.left and study.spec.objective.name is not None:
                competing[study.spec.priority].append(share)
        self._heaps: dict[str, list[tuple[_Rank, _Share]]] = {}
        for equals in competing.values():
            leads = served.leads([share.study for share in equals])
            for share in equals:
                share.lead = leads[share.study.id]
                heappush(self._heaps.setdefault(share.study.spec.objective.name or "", []), (share.rank, share))

    def next(self, objectives: Collection[str]) -> Turn | None:
        """The turn of a study of one of these objectives; None where there is nothing to run."""
        while heaps := [heap for name in objectives if (heap := self._heaps.get(name))]:
            heap = min(heaps, key=lambda heap: heap[0][0])
            _, share = heappop(heap)
            turn = share.give()
            if turn is not None:
                if share.left:
                    heappush(heap, (share.rank, share))
                return turn
        return None


class _Share:
    """A study and what it can still be given, by a look at it that may be old."""

    def __init__(self, study: Study, most: int, promotable: Promotable, *, is_late: bool) -> None:
        self.study = study
        self.lead = 0.0
        """What it was given more than others, for its weight."""
        self._most = most
        self._promotable = promotable
        self._promoted: list[Paused] | None = None
        """The best last; None before it has come to that."""
        self._running = study.counts.running + study.confirm_counts.running
        self._waiting = study.counts.waiting + study.confirm_counts.waiting
        self._paused = study.counts.paused if study.state is StudyState.RUNNING else 0
        self._fresh = 0 if is_late else room_of(study, most)
        self._slots = slots_of(study, most)

    @property
    def left(self) -> bool:
        """Whether there may be another turn."""
        return self._slots > 0 and self._waiting + self._paused + self._fresh > 0

    @property
    def rank(self) -> _Rank:
        """Less is sooner; no two studies have the same."""
        study = self.study
        return -study.spec.priority, (self._running + 1) / study.spec.weight + self.lead, study.id

    def give(self) -> Turn | None:
        """Give it a turn; None where nothing is left after all."""
        turn = self._turn()
        if turn is not None:
            self._running, self._slots = self._running + 1, self._slots - 1
        return turn

    def _turn(self) -> Turn | None:
        if self._waiting:
            self._waiting -= 1
            return Turn(self.study, Kind.WAITING)
        if self._paused and self._promoted is None:
            self._promoted = self._promotable(self.study, min(self._most, self._slots))[::-1]
            self._paused = len(self._promoted)
        if self._promoted and self._paused:
            self._paused -= 1
            return Turn(self.study, Kind.PROMOTED, self._promoted.pop())
        if self._fresh:
            self._fresh -= 1
            return Turn(self.study, Kind.FRESH)
        return None
