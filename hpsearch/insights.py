"""What is understood of a study: values that go over the wire as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hpsearch.earlier import Agreement
from hpsearch.errors import Fault, InvalidInput
from hpsearch.trials import Trial, TrialState

Method = Literal["ped_anova", "fanova", "shapley"]
METHODS: tuple[Method, ...] = ("ped_anova", "fanova", "shapley")

RULE = (
    "complete trials count with their value; pruned and diverged ones as no better than the worst complete one; "
    "trials that failed otherwise, run or wait are left out"
)
"""Which trials importances look at, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much a parameter matters."""

    parameter: str
    importance: float
    """A share: of all parameters' importance (`ped_anova`, `shapley`), of the variance (`fanova`)."""
    deviation: float | None = None
    """Standard deviation over the trees of the forest; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """How much two parameters matter together, beyond what each does alone."""

    parameters: tuple[str, str]
    importance: float
    """A share of the variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """Which parameters mattered, the most important first."""

    study: str
    revision: int
    """Of the study, when it was looked at."""
    metric: str
    """The searched metric that they are of."""
    method: Method
    importances: tuple[Importance, ...]
    interactions: tuple[Interaction, ...] = ()
    """Of `fanova` alone, the strongest first."""
    used: int
    """Trials that were looked at."""
    of: int
    """Trials that count; where more than were looked at, a random sample was."""
    counts: dict[str, int]
    """How many of them are complete, pruned, diverged."""
    rule: str = RULE
    note: str | None = None
    """Why there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial as analyses look at it: what it tried and what came of it. Times are seconds since the epoch."""

    number: int
    state: TrialState
    parameters: dict[str, str | int | float | bool | None]
    values: Sequence[float] | None
    """By metric."""
    last_step: int | None
    last_value: float | None
    started_at: float | None
    finished_at: float | None
    worker: str | None
    reason: str | None
    revision: int
    is_feasible: bool = True
    """Whether it violates no constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Trials that ended alike."""

    state: TrialState
    reason: str | None
    """The first one's; reasons that differ in numbers alone are taken together."""
    count: int
    numbers: tuple[int, ...]
    """The first few of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a study, in short."""

    study: str
    revision: int
    top: tuple[Trial, ...]
    """The best complete trials, the best first."""
    endings: tuple[Ending, ...]
    """How trials ended that are not complete, the most frequent first."""
    compute_seconds: float
    """Of all trials' last attempts together."""
    workers: int
    """How many had a part in it."""
    earlier: tuple[Agreement, ...] = ()
    """How well the earlier studies that it learns from agree with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The Pareto front: the complete trials that violate no constraint and that no other such one beats, that is, is at
    least as good as in every metric and better in one."""

    study: str
    revision: int
    metrics: dict[str, Literal["minimize", "maximize"]]
    """What is searched, in the order of the trials' values."""
    trials: tuple[Trial, ...]
    """The best by the first metric first."""
    size: int
    """How many trials are on the front: of a large one, `trials` is an even choice."""
    of: int
    """Complete trials that violate no constraint."""
    weights: dict[str, float]
    """How much each metric counts for `chosen`: 1 where nothing was said."""
    chosen: int | None
    """The trial to take by these weights: nearest to the best value of each metric, distances being shares of the
    front's own ranges, times the weights, of which the largest counts (augmented Chebyshev distance; Steuer and Choo
    1983). None where the front is empty."""


def weights_of(texts: Sequence[str], separator: str) -> dict[str, float]:
    """The weights that users give metrics: `METRIC=2` where `=` is the separator, the last one parting them. Raises
    `InvalidInput`."""
    weights: dict[str, float] = {}
    for place, text in enumerate(texts):
        metric, _, number = text.rpartition(separator)
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not metric or math.isnan(weight):
            raise InvalidInput(faults=[Fault(f"weight.{place}", f"must be METRIC{separator}NUMBER, not {text[:80]!r}")])
        if metric in weights:
            raise InvalidInput(faults=[Fault(f"weight.{place}", f"{metric[:80]!r} is weighted already")])
        weights[metric] = weight
    return weights
