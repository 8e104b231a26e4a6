"""What networks are trained for."""

from collections.abc import Mapping
from typing import Any

from hpsearch.objectives.rnn.data.sequences import Dataset

PER_STEP = frozenset({"next_step", "language_model"})
"""Tasks whose every step has an output and a target of its own."""
OF_NUMBERS = frozenset({"regression", "forecast"})
"""Tasks whose targets are numbers, which are scaled."""


def outputs_of(data: Dataset, options: Mapping[str, Any]) -> int:
    """How many outputs a network has for these data."""
    match data.task:
        case "classification":
            return len(data.classes)
        case "multilabel":
            return int(data.train.targets.shape[1])
        case "forecast":
            return 1 if is_recursive(data.task, options) else int(data.train.targets.shape[1])
        case "next_step":
            return int(data.train.targets.shape[2])
        case "language_model":
            return data.vocabulary_size
        case _:
            return 1


def is_recursive(task: str, options: Mapping[str, Any]) -> bool:
    """Whether a forecast goes on from its own forecasts, a step at a time."""
    return task == "forecast" and options["forecast_strategy"] == "recursive"
