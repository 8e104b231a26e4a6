"""What a study knows of earlier ones: what they had found when it was created, and how well they agree with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.trials import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an earlier study had found. It stays as it is, whatever becomes of that study."""

    study: str
    trials: int
    """How many it had finished, those that diverged among them."""
    configurations: tuple[Parameters, ...]
    """Of these the best and an even choice of the others, from the best on."""
    shares: tuple[float, ...]
    """Of each the share of all that were better, equals taken in the middle: above 0 for the best, below 1 for the
    worst."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> "Found":
        """What `as_json` gave."""
        lists = {name: tuple(document[name]) for name in ("configurations", "shares")}
        return cls(**{**document, **lists})


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well an earlier study agrees with the one that learns from it."""

    study: str
    """The earlier study's name, at the time."""
    parameters: tuple[str, ...]
    """What it says something of: those that both search, as far as their ranges meet."""
    trials: int
    """How many it had finished."""
    kept: int
    """Of these the best and an even choice of the others are known here."""
    compared: int
    """Trials of this study that it was held against: the first ones."""
    tau: float | None
    """Kendall's rank correlation between what it says of them and what came of them: 1 where it ranks them alike, -1
    where the other way round; None before there are two that differ."""
    weight: float
    """How much the sampler heeds it now: 1 as much as what the study itself has found, 0 not at all."""
