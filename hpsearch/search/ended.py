"""How trials ended, and the ranks that follow: what is compared between studies whose values cannot be."""

from dataclasses import dataclass

import numpy as np

from hpsearch.search.space import Flags, Floats, Numbers
from hpsearch.search.table import STATES, Table
from hpsearch.trials import TrialState

_PRUNED, _PAUSED = STATES.index(TrialState.PRUNED), STATES.index(TrialState.PAUSED)


@dataclass(frozen=True, slots=True)
class Ended:
    """Trials by number, and how each ended."""

    numbers: Numbers
    losses: Floats
    """Of complete trials, less being better; infinite for those that diverged."""
    pruned: Flags
    """Those that pause at a rung among them: they have shown as much."""
    infeasible: Flags
    last_steps: Floats
    """Of pruned ones; -1 without a report."""
    last_losses: Floats

    def ranks(self) -> Floats:
        """From 0, the best one's, on; equals share one, in their middle. Complete trials come by their value, then
        pruned ones, the further they came the better, then by value, then those that violate a constraint, and at last
        those that diverged, all alike."""
        diverged = np.isinf(self.losses)
        kind = np.select([diverged, self.infeasible, self.pruned], [3.0, 2.0, 1.0], 0.0)
        steps = np.where(kind == 1, -self.last_steps, 0.0)
        values = np.where(diverged, 0.0, np.where(self.pruned, self.last_losses, self.losses))
        keys = np.stack([kind, steps, values])
        _, places, counts = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
        return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[places.reshape(-1)])

    def chosen(self, best: int, others: int) -> tuple[Numbers, Floats]:
        """The places of the best trials, from the best on, and of an even choice of the others, so many each; and of
        each the share of all that were better, equals taken in the middle."""
        shares = (self.ranks() + 0.5) / max(len(self.numbers), 1)
        order = np.argsort(shares, kind="stable")
        rest = order[best:]
        if len(rest) > others:
            rest = rest[np.linspace(0, len(rest) - 1, others).astype(np.intp)]
        places = np.concatenate([order[:best], rest])
        return places, shares[places]


def ended_in(table: Table, first: int | None = None) -> Ended:
    """The trials of a table that ended with something to learn from, by number; the first so many, where that is
    said."""
    stopped = np.flatnonzero((table.states == _PRUNED) | (table.states == _PAUSED))
    numbers = np.sort(np.concatenate([table.complete(), stopped, table.diverged()]))[:first]
    losses = table.sign * table.values[numbers]
    return Ended(
        numbers=numbers,
        losses=np.where(np.isin(numbers, table.diverged()), np.inf, losses),
        pruned=np.isin(numbers, stopped),
        infeasible=table.infeasible[numbers],
        last_steps=np.nan_to_num(table.last_steps[numbers], nan=-1.0),
        last_losses=np.nan_to_num(table.sign * table.last_values[numbers]),
    )
