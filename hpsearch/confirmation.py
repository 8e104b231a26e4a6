"""What training the best configurations again has shown: values, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpsearch.trials import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A measurement over runs on different seeds."""

    n: int
    """Runs that have it."""
    mean: float
    deviation: float | None = None
    """Standard deviation of the sample (n - 1); None for a single run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A configuration that the search found good, and what it is worth on fresh seeds."""

    trial: int
    """The searched trial that had it first."""
    parameters: Parameters
    rank: int
    """1 for the best mean; configurations with less than two runs come last, and behind them those that are not
    feasible."""
    n: int
    """Runs that are complete."""
    failed: int = 0
    """Runs that ended without a value: not in the mean."""
    violating: int = 0
    """Complete runs that violate a constraint over what was measured. They are in the mean, but with one of them the
    configuration is not feasible, and never the confirmed best."""
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation of the sample (n - 1)."""
    searched_value: float
    """What the search saw, on one seed, and chose it for."""
    searched_rank: int
    """Its rank by that value, among these."""
    optimism: float | None = None
    """How much better the search saw it than the mean is: the winner's curse where it is above 0."""
    difference: float | None = None
    """Mean over the shared seeds of its value less the first's; None for the first itself."""
    p_value: float | None = None
    """Of the paired t test (two-sided) of that difference; not corrected for several comparisons."""
    metrics: Mapping[str, Spread] = field(default_factory=dict)
    """The objective's `test_…` metrics over the runs."""
    values: tuple[float, ...] = ()
    runs: tuple[int, ...] = ()
    """The trials that these values are of, by seed."""
    best_run: int | None = None
    """The trial with the best of these values, of those that violate no constraint if there are such: its model is the
    confirmed best's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """All that were confirmed, the best mean first; while it goes on, as far as it has come."""

    study: str
    planned: int
    """Runs in all."""
    finished: int
    metric: str
    test: str = "paired t (two-sided) against the first, over the same seeds"
    configurations: tuple[Confirmed, ...] = ()

    @property
    def best(self) -> Confirmed | None:
        """The confirmed best, as far as that is known; None without a feasible configuration."""
        return next((item for item in self.configurations if item.n and not item.violating), None)
