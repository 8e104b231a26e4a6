"""What a pruner is shown, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hpsearch.objective_spec import Direction
from hpsearch.trials import Pruning, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A running trial at a step."""

    number: int
    step: int
    value: float
    best: float
    """Its best value so far, this one included."""
    complete: int
    """Complete trials of the study."""
    violates: bool = False
    """Whether it violates a constraint, by what was measured so far."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A trial is not to go on."""

    pruning: Pruning
    words: str
    pauses: bool = False
    """It may go on later: it pauses, rather than ends."""


class Record(Protocol):
    """The reports on record, as one trial's pruner looks at them. Each look is a query."""

    def others(self, step: int, states: Sequence[TrialState] = ()) -> Sequence[tuple[int, float, bool]]:
        """(number, value, whether it violates a constraint) of the other trials' reports at a step; of trials in these
        states alone, where any is named."""

    def rank(self, step: int, value: float, direction: Direction, *, violates: bool) -> tuple[int, int]:
        """How many other trials have reported the step, and how many of them are better: what keeps the constraints
        before what violates one, then by value."""

    def nth(self, step: int, place: int, direction: Direction) -> float:
        """The other trials' value at a step that comes at this place in that order, the best at 0."""

    def own(self) -> Mapping[int, float]:
        """The trial's values by step, the present one included."""

    def leader(self) -> Mapping[int, float]:
        """The values by step of the study's best complete trial; empty where there is none."""
