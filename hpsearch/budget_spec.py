"""What a study says of its end: when it comes, and what is trained again on fresh seeds then."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from hpsearch.parameters import Float, Int, Part

MOST_TRIALS = 10_000_000
"""Of a study."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: object) -> object:
    """`90`, `"90s"`, `"10m"`, `"2h"` or `"1d"` as seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value)
    if match is None:
        raise PydanticCustomError("duration", "must be a number of seconds, or such as 90s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


class Budget(Part):
    """When the study ends: at whichever comes first."""

    trials: Annotated[Int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """Finished trials, exactly: complete, pruned and failed ones count."""
    wall_clock: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds from the first claim (or "90s", "10m", "2h", "1d"), pauses included."""
    compute_seconds: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds (or "90s", "10m", "2h", "1d") for which workers have held trials, summed over all; to about a second."""
    no_improvement: Annotated[Int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """So many finished trials in a row without a better value."""
    target: Float | None = None
    """The value of the metric that is good enough."""


class Confirm(Part):
    """What is trained again after the search, to see what the best configurations are worth."""

    top: Annotated[Int, Field(ge=1, le=100)] = 3
    """How many of the best configurations (those with the same parameters count once)."""
    seeds: Annotated[Int, Field(ge=2, le=100)] = 5
    """How often each, on fresh seeds: the same ones for all, so that they can be compared in pairs."""


def _confirm_tag(value: object) -> str | None:
    return "some" if isinstance(value, Mapping | Confirm) else "none" if value == "none" else None


ConfirmSpec = Annotated[
    Annotated[Confirm, Tag("some")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(
        _confirm_tag,
        custom_error_type="confirm",
        custom_error_message="must be an object with top and seeds, or 'none'",
    ),
]
CONFIRM_EVERY = 20
"""Without a word on it, one configuration is confirmed for so many trials of the budget: by five runs each, at most a
quarter of the search again."""
