"""The learning-rate range test of a study: on which parameters, to what range, and how it looks."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.cli.worker import check_torch
from hpsearch.conditions import without_inactive
from hpsearch.errors import Fault, InvalidSpec
from hpsearch.objectives.check import study_faults
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.parameters import AnyParameter, FloatParameter, IntParameter, OrdinalParameter, listed_values
from hpsearch.spec import StudySpec, load_study_file, parse_study

if TYPE_CHECKING:
    from hpsearch.objectives.rnn.training.lr_range import RangeTest

OPTION = "lr_range_test"
LEARNING_RATE = "learning_rate"
WIDTH, HEIGHT = 64, 10


def as_posted(file: Path, data_roots: Sequence[Path], tell: Callable[[str], None]) -> Any:
    """The study file, as it is; the study in it with its learning-rate range narrowed where it asks for that.

    Raises what `with_narrowed_range` does.
    """
    raw = load_study_file(file)
    try:
        is_asked = raw["objective"]["settings"][OPTION] is True
    except (KeyError, TypeError):
        is_asked = False
    return with_narrowed_range(_parsed(raw), (file.absolute().parent, *data_roots), tell) if is_asked else file


def with_narrowed_range(spec: StudySpec, data_roots: Sequence[Path], tell: Callable[[str], None]) -> StudySpec:
    """The study with its learning-rate range narrowed to what the range test shows, if its settings want that; the same
    study gives the same again.

    Raises `InvalidSpec` where there is no such range or nothing of it is left, `InvalidInput` where the test cannot
    tell, `ConfigurationError` where PyTorch is missing.
    """
    if spec.objective.name != INFO.name or spec.objective.settings.get(OPTION) is not True:
        return spec
    own = spec.space.get(LEARNING_RATE)
    if not isinstance(own, FloatParameter) or own.step is not None:
        problem = f"narrows a range: space.{LEARNING_RATE} must be a float, without a step"
        raise InvalidSpec(faults=[Fault(f"objective.settings.{OPTION}", problem)])
    low, high = narrowed(own, run_test(spec, data_roots))
    tell(f"learning rate: {own.low:g} … {own.high:g} narrowed to {low:g} … {high:g}")
    raw = spec.model_dump(mode="json")
    raw["space"][LEARNING_RATE] |= {"low": low, "high": high}
    return parse_study(raw)


def load_study(file: Path) -> StudySpec:
    """A study of the recurrent objective. Raises `InvalidSpec`."""
    spec = _parsed(load_study_file(file))
    if spec.objective.name != INFO.name:
        raise InvalidSpec(faults=[Fault("objective.name", f"must be {INFO.name}, not {spec.objective.name!r}")])
    return spec


def _parsed(raw: Any) -> StudySpec:
    return parse_study(raw, study_faults(raw, {INFO.name: INFO}))


def run_test(
    spec: StudySpec, data_roots: Sequence[Path], seed: int | None = None, steps: int | None = None
) -> "RangeTest":
    """The test on a study's settings and the middle of all that it searches; without a seed by the study's."""
    check_torch()
    from hpsearch.objectives.rnn.training.lr_range import STEPS, range_test

    seed = spec.seed if seed is None else seed
    return range_test(middle_of(spec), data_roots, seed=seed, steps=STEPS if steps is None else steps)


def middle_of(spec: StudySpec) -> dict[str, Any]:
    """The parameters of a trial in the middle of a study's space."""
    middle = {name: _middle(searched) for name, searched in spec.space.items()}
    return spec.objective.settings | without_inactive(spec.space, middle)


def _middle(searched: AnyParameter) -> Any:
    """Of the logarithms where these are searched; the first choice of categories."""
    if not isinstance(searched, FloatParameter | IntParameter):
        listed = listed_values(searched) or ()
        return listed[(len(listed) - 1) // 2 if isinstance(searched, OrdinalParameter) else 0]
    low, high = searched.low, searched.high
    middle = math.sqrt(low * high) if searched.log else (low + high) / 2
    if searched.step is not None:
        middle = low + round((middle - low) / searched.step) * searched.step
    return middle if isinstance(searched, FloatParameter) else round(middle)


def narrowed(own: FloatParameter, found: "RangeTest") -> tuple[float, float]:
    """What a study's range and the test's have in common, the test's ends to two digits: lesser ones may differ from
    machine to machine. Raises `InvalidSpec` where it is nothing."""
    low, high = (float(f"{end:.2g}") for end in (found.low, found.high))
    if low > own.high or high < own.low:
        problem = f"is from {own.low:g} to {own.high:g}, but the range test shows that the network learns from {low:g} "
        raise InvalidSpec(faults=[Fault(f"space.{LEARNING_RATE}", f"{problem}to {high:g}")])
    return max(own.low, low), min(own.high, high)


def drawn(found: "RangeTest") -> list[str]:
    """The curve in characters: the loss over the logarithm of the learning rate, and the range below."""
    top, bottom = _limits(found.losses)
    columns = _columns(found.losses)
    rows = [round((HEIGHT - 1) * (top - min(loss, top)) / ((top - bottom) or 1.0)) for loss in columns]
    canvas = [[" "] * WIDTH for _ in range(HEIGHT)]
    for column, row in enumerate(rows):
        canvas[row][column] = "•"
    for column, (row, after) in enumerate(pairwise(rows)):  # a steep curve has no gaps
        for between in range(min(row, after) + 1, max(row, after)):
            canvas[between][column] = "·"
    labels = {0: f"{top:.4g}", HEIGHT - 1: f"{bottom:.4g}"}
    lines = [f"{labels.get(row, ''):>9} │{''.join(cells).rstrip()}" for row, cells in enumerate(canvas)]
    ends = f"{found.rates[0]:.1e}", f"{found.rates[-1]:.1e}"
    axis = f"{'':9} └{'─' * WIDTH}"
    return [*lines, axis, f"{'':11}{_bracket(found)}", f"{'':11}{ends[0]}{ends[1]:>{WIDTH - len(ends[0])}}"]


def _limits(losses: Sequence[float]) -> tuple[float, float]:
    """Top and bottom: what the network had before it learnt, and a little more; not where it has fallen apart."""
    bottom, start = min(losses), losses[0]
    return min(max(losses), start + 0.25 * (start - bottom)), bottom


def _columns(losses: Sequence[float]) -> list[float]:
    return [losses[round(column * (len(losses) - 1) / (WIDTH - 1))] for column in range(WIDTH)]


def _bracket(found: "RangeTest") -> str:
    span = math.log(found.rates[-1] / found.rates[0])
    low, high = (round((WIDTH - 1) * math.log(end / found.rates[0]) / span) for end in (found.low, found.high))
    low = max(low, 0)
    return f"{' ' * low}├{'─' * (high - low - 1)}┤"


def as_json(found: "RangeTest", own: AnyParameter | None) -> Mapping[str, Any]:
    """For programs; with the study's narrowed range where it has one."""
    common = narrowed(own, found) if isinstance(own, FloatParameter) else None
    return {
        "low": found.low,
        "high": found.high,
        "steepest": found.steepest,
        "narrowed": common and {"low": common[0], "high": common[1]},
        "rates": list(found.rates),
        "losses": list(found.losses),
    }
