"""The objective contract: what an objective publishes of itself, and what a trial is handed.

No torch here: the server imports this to check studies against what objectives publish.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from hpsearch.errors import NotFound
from hpsearch.trials import Decision, Metrics, Scalar

Direction = Literal["minimize", "maximize"]
ParameterType = Literal["float", "int", "bool", "str"]
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInfo:
    """A parameter that an objective understands, fixed in a study's settings or searched in its space."""

    name: str
    type: ParameterType
    meaning: str
    default: Scalar = None
    """Used where a study says nothing; None where there is none (see `required`)."""
    low: float | None = None
    """Least value allowed (included)."""
    high: float | None = None
    """Greatest value allowed (included)."""
    choices: tuple[Scalar, ...] | None = None
    """The only values allowed."""
    unit: str = ""
    required: bool = False
    nullable: bool = False
    """Whether null is a value (mostly: off, or found from the data)."""
    searchable: bool = True
    """False: a setting only, such as the data set."""
    space: Mapping[str, Any] | None = None
    """How it is searched in studies that give no space of their own, in a study file's words."""
    indices: int = 0
    """`name[0]`, `name[1]` … up to so many say the same of single layers; 0: there are none."""

    def problem_with(self, value: object) -> str | None:
        """What is wrong with one value, and what would be right; None where it is right."""
        if value is None:
            return None if self.nullable else f"must be {self.expected}, not null"
        if self.choices is not None:  # which need not all be of one type; 1 and True are equal, but not the same
            is_one = any(
                value == choice and isinstance(value, bool) is isinstance(choice, bool) for choice in self.choices
            )
            return None if is_one else f"must be {self.expected}, not {value!r}"
        # bool is a subclass of int, and never a number here
        if isinstance(value, bool) is not (self.type == "bool") or not isinstance(value, _PYTHON_TYPES[self.type]):
            return f"must be {self.expected}, not {value!r}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            too_low = self.low is not None and value < self.low
            too_high = self.high is not None and value > self.high
            if too_low or too_high or not math.isfinite(value):
                return f"must be {self.expected}, not {value!r}"
        return None

    @property
    def expected(self) -> str:
        """What a right value looks like, in words: `a float from 0.0 to 1.0`."""
        if self.choices is not None:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        words = {"float": "a float", "int": "an int", "bool": "true or false", "str": "a string"}[self.type]
        if self.low is not None and self.high is not None:
            return f"{words} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{words} of at least {self.low:g}"
        if self.high is not None:
            return f"{words} of at most {self.high:g}"
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """A measurement that a study may search."""

    name: str
    direction: Direction
    """The sensible direction."""
    meaning: str
    is_reported: bool = True
    """Whether it is a step's own, and training improves it. False: a trial has one, and it is searched only beside
    another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveInfo:
    """What an objective publishes: enough to check a study without importing what trains."""

    name: str
    description: str
    parameters: tuple[ParameterInfo, ...]
    metrics: tuple[MetricInfo, ...]
    """What may be searched; never a test metric. Empty: it does not say, and a study names what it likes."""
    open: bool = False
    """Whether it takes parameters beyond these, of any name."""
    measured: tuple[str, ...] = ()
    """What trials measure besides `metrics`: names, and beginnings of names with a `*` behind them. Empty: it does not
    say."""

    def parameter(self, name: str) -> ParameterInfo | None:
        """The parameter of this name; of `hidden_units[2]`, what `hidden_units` publishes, without a default."""
        found = next((parameter for parameter in self.parameters if parameter.name == name), None)
        match = re.fullmatch(r"(.+)\[(0|[1-9]\d{0,3})\]", name) if found is None else None
        whole = next((item for item in self.parameters if item.name == match[1]), None) if match else None
        if match is None or whole is None or int(match[2]) >= whole.indices:
            return found
        return replace(whole, name=name, default=None, indices=0)

    def metric(self, name: str) -> MetricInfo | None:
        """The searchable metric of this name."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def may_measure(self, name: str) -> bool:
        """Whether trials may have a measurement of this name, by what it says."""
        if not self.measured or self.metric(name) is not None:
            return True
        return any(name == item or (item[-1:] == "*" and name.startswith(item[:-1])) for item in self.measured)


def _fetch_nothing(study: str, number: int | None, name: str) -> Path:
    trial = "its best trial" if number is None else f"trial {number}"
    raise NotFound(f"{name} of study {study!r}, {trial}: there is no server to ask here")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """What a running trial is handed."""

    seed: int
    """Every random state of the trial derives from it."""
    metric: str
    """The name of the searched metric; of several the first."""
    direction: Direction
    workspace: Path
    """An empty folder of the trial's own, removed after it."""
    data_roots: tuple[Path, ...]
    """A trial reads files below these alone."""
    report: Callable[[int, float, Metrics], Decision]
    """`report(step, value, metrics)`: steps 1, 2, 3 …, the searched metric's value (finite), and all else measured.
    On PRUNE end with `TrialResult(state="pruned")`; on PAUSE or LOST return at once: what is returned is dropped. Where
    no pruner can answer, it returns before the report has reached the service."""
    save_artifact: Callable[[str, Path], None]
    """`save_artifact(name, path)`: keep a file with the trial; it is uploaded before this returns."""
    fetch_artifact: Callable[[str, int | None, str], Path] = field(default=_fetch_nothing)
    """`fetch_artifact(study, number, name)`: a file of another trial of the same server, by default of its study's best
    one. Raises `NotFound`."""
    metrics: Mapping[str, Direction] = field(default_factory=dict)
    """Every searched metric, the first of them `metric`: the result's `metrics` must have the others."""
    checkpoint: Path | None = None
    """The newest checkpoint of an earlier attempt, to go on from."""
    study: str = ""
    number: int = 0
    attempt: int = 1
    slot: int = 0
    """Which of its worker's slots the trial runs in: 0, 1 …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a trial ended."""

    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    """The searched metric: the best step's value. Finite; required for complete."""
    metrics: Metrics = field(default_factory=dict)
    """Everything measured, train, validation and test apart."""
    reason: str | None = None
    """For failed and pruned: why, in words."""


class Objective(Protocol):
    """Something that can be tried with parameters. One object lives as long as its worker slot, so it may keep warm
    what trials share (loaded data, say)."""

    def __call__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> TrialResult:
        """Run one trial. `parameters` are the study's settings and the trial's own, without the defaults.

        Raises `InvalidInput` where the parameters or the data are wrong; that, and any other exception, fails the
        trial with the exception's message as its reason.
        """


def with_defaults(info: ObjectiveInfo, parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """All of an objective's parameters: the given ones over the defaults."""
    return {parameter.name: parameter.default for parameter in info.parameters} | dict(parameters)
