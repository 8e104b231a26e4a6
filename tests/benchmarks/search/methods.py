"""The methods by name: ours by the sampler and pruner of a study file, peers by their module."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.search.clock import Search
from tests.benchmarks.search.tasks import Task


@dataclass(frozen=True)
class Method:
    """Where a method is found."""

    title: str
    choice: Mapping[str, Any] | None = None
    """Ours: the part of a study file."""
    maker: str = ""
    """A peer's: module and function."""
    needs: str = ""
    """What its own environment must have; empty where ours will do."""
    curves_only: bool = False
    """Whether it cannot search tasks of one epoch."""

    def search(self, task: Task, seed: int) -> Search:
        """A new search. Raises `ImportError` where the peer is not here."""
        if self.choice is not None:
            from tests.benchmarks.search.ours import Engine, spec_of

            return Engine(spec_of(task, seed, self.choice))
        module, _, function = self.maker.partition(":")
        found: Search = getattr(importlib.import_module(f"tests.benchmarks.search.{module}"), function)(task, seed)
        return found


TPE, NONE = {"name": "tpe"}, {"name": "none"}
METHODS: dict[str, Method] = {
    "random": Method("random search", {"sampler": {"name": "random"}, "pruner": NONE}),
    "ours": Method("hpsearch, auto", {"sampler": {"name": "auto"}, "pruner": {"name": "auto"}}),
    "ours_tpe": Method("hpsearch, TPE", {"sampler": TPE, "pruner": NONE}),
    "ours_tpe_median": Method("hpsearch, TPE and median", {"sampler": TPE, "pruner": {"name": "median"}}),
    "ours_tpe_asha": Method("hpsearch, TPE and asha", {"sampler": TPE, "pruner": {"name": "asha"}}),
    "ours_random_asha": Method(
        "hpsearch, random and asha", {"sampler": {"name": "random"}, "pruner": {"name": "asha"}}
    ),
    "optuna_median": Method("Optuna, TPE and MedianPruner", maker="optuna_peer:median"),
    "optuna_halving": Method("Optuna, TPE and SuccessiveHalvingPruner", maker="optuna_peer:halving"),
    "ray_asha": Method("Ray Tune, ASHA", maker="ray_peer:asha", needs="ray[tune]"),
    "ray_optuna": Method("Ray Tune, ASHA and OptunaSearch", maker="ray_peer:asha_optuna", needs="ray[tune] optuna"),
    "syne_asha": Method("Syne Tune, ASHA", maker="syne_peer:asha", needs="syne-tune"),
    "syne_bohb": Method("Syne Tune, BOHB", maker="syne_peer:bohb", needs="syne-tune[kde]"),
    "syne_bore": Method("Syne Tune, ASHABORE", maker="syne_peer:asha_bore", needs="syne-tune[extra]"),
    "dehb": Method("DEHB", maker="dehb_peer:dehb", needs="dehb", curves_only=True),
}
