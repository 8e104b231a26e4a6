"""A reader of the `.ts` text format of the UEA and UCR archives (aeon's and sktime's)."""

from pathlib import Path

import numpy as np

from hpsearch.errors import near
from hpsearch.objectives.rnn.data.sequences import AnyArray, FloatArray
from hpsearch.objectives.rnn.faults import setting_fault


def read_ts(path: Path) -> tuple[list[FloatArray], AnyArray, bool]:
    """The series ([steps, channels] each), their targets ([series], str or float64), and whether these are classes.

    Format: header lines that begin with `@`, then `@data`, then a case a line: channels separated by `:`, values by
    `,`, the class label or the target last. `?` stands for a missing value. Raises `InvalidInput`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise setting_fault("dataset", f"{path.name} is not UTF-8 text") from error
    header, first = _header(path.name, lines)
    if header.get("timestamps", "false").lower() == "true":
        raise setting_fault("dataset", f"{path.name} has timestamps, which are not read; give values alone")
    flag, *classes = header.get("classlabel", "").split() or ["false"]
    is_class = flag.lower() == "true"
    if not is_class and header.get("targetlabel", "false").lower().split()[:1] != ["true"]:
        raise setting_fault("dataset", f"{path.name} has neither class labels nor targets")
    series, targets = [], []
    for number, line in enumerate(lines[first:], start=first + 1):
        if line.strip() and not line.startswith(("#", "%")):
            channels, target = _case(f"{path.name} line {number}", line)
            if is_class and classes and target not in classes:
                problem = f"{path.name} line {number} is of class {target!r}, which its header does not name"
                raise setting_fault("dataset", problem, near(target, classes))
            series.append(channels)
            targets.append(target)
    return series, _targets(path.name, targets, is_class), is_class


def _header(name: str, lines: list[str]) -> tuple[dict[str, str], int]:
    """The header's fields, and where the cases begin."""
    fields: dict[str, str] = {}
    for number, line in enumerate(lines):
        text = line.strip()
        if text.lower().startswith("@data"):
            return fields, number + 1
        if text.startswith("@"):
            key, _, value = text[1:].partition(" ")
            fields[key.lower()] = value.strip()
    raise setting_fault("dataset", f"{name} has no line `@data`: it is no .ts file")


def _case(where: str, line: str) -> tuple[FloatArray, str]:
    *channels, target = line.strip().split(":")
    if not channels:
        raise setting_fault("dataset", f"{where} has no target after a colon")
    try:
        values = [np.array(channel.replace("?", "nan").split(","), dtype=np.float32) for channel in channels]
    except ValueError as error:
        raise setting_fault("dataset", f"{where}: {error}") from error
    if len({len(channel) for channel in values}) > 1:
        raise setting_fault("dataset", f"{where} has channels of different lengths")
    return np.stack(values, axis=1), target.strip()


def _targets(name: str, targets: list[str], is_class: bool) -> AnyArray:
    if is_class:
        return np.array(targets, dtype=np.str_)
    try:
        return np.array(targets, dtype=np.float64)
    except ValueError as error:
        raise setting_fault("dataset", f"{name} has a target that is no number: {error}") from error
