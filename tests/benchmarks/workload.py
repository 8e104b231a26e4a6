"""What every side searches: six parameters, and a bowl over them. The standard library alone: peers have their own
environments."""

import math
import random
from collections.abc import Mapping
from typing import Any

REPORTS = 5
"""Reports of one simulated life."""

SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "weight_decay": {"type": "float", "low": 1e-8, "high": 1e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.8},
    "hidden_units": {"type": "int", "low": 16, "high": 512},
    "hidden_layers": {"type": "int", "low": 1, "high": 6},
    "cell": {"type": "categorical", "choices": ["lstm", "gru", "rnn_tanh"]},
}


def draw(chance: random.Random) -> dict[str, Any]:
    """One configuration, at random."""
    return {name: _draw_one(parameter, chance) for name, parameter in SPACE.items()}


def _draw_one(parameter: Mapping[str, Any], chance: random.Random) -> Any:
    match parameter["type"]:
        case "categorical":
            return chance.choice(parameter["choices"])
        case "int":
            return chance.randint(parameter["low"], parameter["high"])
    if parameter.get("log"):
        return math.exp(chance.uniform(math.log(parameter["low"]), math.log(parameter["high"])))
    return chance.uniform(parameter["low"], parameter["high"])


def value_of(parameters: Mapping[str, Any]) -> float:
    """What a trial with these parameters is told with: less is better."""
    return (
        (math.log10(parameters["learning_rate"]) + 3) ** 2
        + 0.1 * (math.log10(parameters["weight_decay"]) + 5) ** 2
        + (parameters["dropout"] - 0.2) ** 2
        + ((parameters["hidden_units"] - 200) / 200) ** 2
        + 0.1 * (parameters["hidden_layers"] - 2) ** 2
        + 0.3 * (parameters["cell"] != "gru")
    )


def report_of(value: float, step: int) -> float:
    """What a trial that will end with `value` reports at a step."""
    return value + 1 / step
