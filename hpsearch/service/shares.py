"""Which study's turn it is, where several compete for workers: by priority, then by weighted share of what runs."""

from collections.abc import Collection, Iterable
from heapq import heappop, heappush

from hpsearch.service.checks import room_of, slots_of
from hpsearch.studies import Study


class Shares:
    """Hands out turns. The next one goes to the highest priority that has something to run, and within it to the study
    that would have the least trials running for its weight after it (D'Hondt's rule, which keeps shares in proportion);
    of equals to the one that was made first.
    """

    def __init__(self, studies: Iterable[Study], most: int) -> None:
        """`most` turns will be asked for."""
        self._heaps: dict[str, list[tuple[tuple[int, float, int], _Share]]] = {}
        for study in studies:
            share = _Share(study, most)
            if share.left and study.spec.objective.name is not None:
                heappush(self._heaps.setdefault(study.spec.objective.name, []), (share.rank, share))

    def next(self, objectives: Collection[str]) -> tuple[Study, bool] | None:
        """The study of one of these objectives whose turn it is, and whether it is a waiting trial's turn there rather
        than a new one's; None where there is nothing to run."""
        heaps = [heap for name in objectives if (heap := self._heaps.get(name))]
        if not heaps:
            return None
        heap = min(heaps, key=lambda heap: heap[0][0])
        _, share = heappop(heap)
        is_waiting = share.give()
        if share.left:
            heappush(heap, (share.rank, share))
        return share.study, is_waiting


class _Share:
    """A study and what it can still be given, by a look at it that may be old."""

    def __init__(self, study: Study, most: int) -> None:
        self.study = study
        self._running = study.counts.running + study.confirm_counts.running
        self._waiting = study.counts.waiting + study.confirm_counts.waiting
        self.left = slots_of(study, self._waiting + room_of(study, most))

    @property
    def rank(self) -> tuple[int, float, int]:
        """Less is sooner; no two studies have the same."""
        return -self.study.spec.priority, (self._running + 1) / self.study.spec.weight, self.study.id

    def give(self) -> bool:
        """Give it a turn; whether that is a waiting trial's."""
        is_waiting = self._waiting > 0
        self._running, self._waiting, self.left = self._running + 1, self._waiting - is_waiting, self.left - 1
        return is_waiting
