"""Piano rolls: sequences of labels that are on or off at each step, the next step of which is to be told."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpsearch.errors import near
from hpsearch.objectives.rnn.data.sequences import AnyArray, Dataset, FloatArray, Sequences, padded
from hpsearch.objectives.rnn.data.tables import zeros_and_ones
from hpsearch.objectives.rnn.faults import setting_fault

VARIABLES = ("traindata", "validdata", "testdata")


def read_mat(path: Path) -> Dataset:
    """The three splits of a `.mat` file as those of Boulanger-Lewandowski et al. 2012 are packed.

    Variables `traindata`, `validdata` and `testdata`: cells of [steps, keys] each. Raises `InvalidInput`.
    """
    variables = _load(path)
    parts = []
    for name in VARIABLES:
        if name not in variables:
            problem = f"{path.name} has no variable {name}; variables: {', '.join(variables) or 'none'}"
            raise setting_fault("dataset", problem, near(name, variables))
        parts.append(next_step(_rolls(name, variables[name]), name))
    keys = {part.inputs.shape[2] for part in parts}
    if len(keys) > 1:
        raise setting_fault("dataset", f"{path.name} has splits of different numbers of keys: {sorted(keys)}")
    train, validation, test = parts
    return Dataset("next_step", train, validation, test)


def next_step(rolls: Sequence[FloatArray], where: str) -> Sequences:
    """Each step of the rolls ([steps, labels] each, of 0 and 1) with the step after it as its target.

    Raises `InvalidInput` where other values are among them, or a roll has fewer than two steps.
    """
    for position, roll in enumerate(rolls):
        zeros_and_ones(roll, "dataset", f"{where}, sequence {position},")
        if len(roll) < 2:
            raise setting_fault("dataset", f"{where}, sequence {position}, has {len(roll)} steps; 2 are the least")
    targets = padded([roll[1:] for roll in rolls], np.zeros(0)).inputs
    return padded([roll[:-1] for roll in rolls], targets)


def _load(path: Path) -> dict[str, AnyArray]:
    """The variables of a file. MATLAB's format holds arrays alone: nothing is unpickled."""
    from scipy.io import loadmat

    content = path.read_bytes()
    try:
        variables = loadmat(io.BytesIO(content))
    except Exception as error:  # a damaged file fails in a dozen ways
        raise setting_fault("dataset", f"{path.name} is no .mat file up to MATLAB 7.2: {error}") from error
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _rolls(name: str, cells: AnyArray) -> list[FloatArray]:
    if cells.dtype.kind != "O":
        raise setting_fault("dataset", f"{name} must be cells of [steps, keys] each, not an array of {cells.dtype}")
    for position, cell in enumerate(cells.flat):
        if cell.ndim != 2 or cell.dtype.kind not in "iufb":
            problem = f"{name}, sequence {position}, must be [steps, keys] of numbers"
            raise setting_fault("dataset", f"{problem}, not {list(cell.shape)} of {cell.dtype}")
    return [cell.astype(np.float32) for cell in cells.flat]
