"""Hyperparameter search as a service.

client = hpsearch.Client("http://127.0.0.1:8421")
study = client.create_study("studies/digits.yaml")
print(study.wait().trial)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.client import AskedTrial as AskedTrial
    from hpsearch.client import Client as Client
    from hpsearch.client import StudyHandle as StudyHandle
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.objectives.own.context import Context as Context
    from hpsearch.objectives.own.context import HandedBack as HandedBack
    from hpsearch.objectives.own.context import Pruned as Pruned
    from hpsearch.objectives.own.ranges import Categorical as Categorical
    from hpsearch.objectives.own.ranges import Float as Float
    from hpsearch.objectives.own.ranges import Int as Int
    from hpsearch.objectives.rnn.models.loader import load_model as load_model
    from hpsearch.spec import StudySpec as StudySpec
    from hpsearch.studies import Event as Event
    from hpsearch.studies import Study as Study
    from hpsearch.studies import StudyState as StudyState
    from hpsearch.trials import Trial as Trial
    from hpsearch.trials import TrialState as TrialState

__version__ = "0.1.0"

# imported at first use: `import hpsearch` costs nothing, and `hpsearch --help` stays quick
_HOMES = {
    "Categorical": "hpsearch.objectives.own.ranges",
    "Context": "hpsearch.objectives.own.context",
    "Float": "hpsearch.objectives.own.ranges",
    "HandedBack": "hpsearch.objectives.own.context",
    "Int": "hpsearch.objectives.own.ranges",
    "Pruned": "hpsearch.objectives.own.context",
    "AskedTrial": "hpsearch.client",
    "Client": "hpsearch.client",
    "StudyHandle": "hpsearch.client",
    "Event": "hpsearch.studies",
    "HpsearchError": "hpsearch.errors",
    "StudySpec": "hpsearch.spec",
    "Study": "hpsearch.studies",
    "StudyState": "hpsearch.studies",
    "Trial": "hpsearch.trials",
    "TrialState": "hpsearch.trials",
    "load_model": "hpsearch.objectives.rnn.models.loader",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "optuna":  # `hpsearch.optuna.Storage(…)`
        return import_module("hpsearch.optuna")
    raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
