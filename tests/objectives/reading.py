"""Data read as a study's settings name them, and what is wrong with those that cannot be."""

from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import Fault, InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.sequences import Dataset
from hpsearch.objectives.rnn.parameters import INFO


def read(folder: Path, name: str, **settings: Any) -> Dataset:
    return read_dataset(with_defaults(INFO, {"dataset": name, **settings}), (folder,))


def fault_of(folder: Path, name: str, **settings: Any) -> Fault:
    with pytest.raises(InvalidInput) as caught:
        read(folder, name, **settings)
    return caught.value.faults[0]
