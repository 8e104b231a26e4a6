"""The objective: from a trial's parameters to its result."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import save

from hpsearch.errors import Fault, InvalidInput, near
from hpsearch.objectives.objective import TrialContext, TrialResult, with_defaults
from hpsearch.objectives.rnn.batches import Split, as_split
from hpsearch.objectives.rnn.checkpoint import write_file
from hpsearch.objectives.rnn.evaluation import evaluate, naive_rmse
from hpsearch.objectives.rnn.loop import train
from hpsearch.objectives.rnn.model import SequenceModel
from hpsearch.objectives.rnn.parameters import DATA, INFO
from hpsearch.objectives.rnn.readers import read_dataset, version
from hpsearch.objectives.rnn.scaling import Scaling, fit
from hpsearch.objectives.rnn.sequences import Dataset
from hpsearch.objectives.rnn.splits import Splits, split
from hpsearch.trials import Scalar


class Prepared:
    """A data set, divided and standardised: what all trials of a study share."""

    def __init__(self, data: Dataset, splits: Splits) -> None:
        self.task = data.task
        self.classes = data.classes
        self.features = data.features
        self.inputs = data.train.inputs.shape[2]
        self.scaling: Scaling = fit(splits.train)
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        self.splits: dict[str, Split] = {name: as_split(part, self.scaling, data.task) for name, part in parts.items()}
        self.naive = {f"{name}_naive_rmse": error for name, part in parts.items() if (error := naive_rmse(part))}


class RnnObjective:
    """Trains a recurrent network; keeps the newest data set in memory between trials."""

    def __init__(self) -> None:
        self._prepared: tuple[Mapping[str, Any], Prepared] | None = None

    def __call__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> TrialResult:
        """See `Objective`. Saves the best epoch's weights as `model.safetensors`, with `model.json` beside it."""
        check_parameters(parameters)
        options = with_defaults(INFO, parameters)
        data = self._data(options, context)
        _check_metric(context.metric, data.task)
        # weights, dropout and everything else that draws without a generator of its own
        torch.manual_seed(context.seed)
        architecture = _architecture(options, data)
        model = SequenceModel(**architecture)
        both = (data.splits["train"], data.splits["validation"])
        trained = train(model, both, data.task, data.scaling, options, context)
        if isinstance(trained, TrialResult):
            return trained
        metrics = _final_metrics(model, data)
        metrics |= {"epochs": trained.progress.epoch, "best_epoch": trained.progress.best_epoch}
        _save_model(model, architecture, options, data, metrics, context)
        return TrialResult(state="complete", value=trained.progress.best_value, metrics=metrics)

    def _data(self, options: Mapping[str, Any], context: TrialContext) -> Prepared:
        key = {parameter.name: options[parameter.name] for parameter in DATA} | {
            "roots": context.data_roots,
            "version": version(options, context.data_roots),
        }
        if self._prepared is None or self._prepared[0] != key:
            data = read_dataset(options, context.data_roots)
            fractions = options["validation_fraction"], options["test_fraction"]
            self._prepared = key, Prepared(data, split(data, *fractions, options["split_seed"]))
        return self._prepared[1]


def check_parameters(parameters: Mapping[str, Scalar]) -> None:
    """Raises `InvalidInput` with every fault of a trial's parameters."""
    names = [parameter.name for parameter in INFO.parameters]
    faults = []
    for name, value in parameters.items():
        known = INFO.parameter(name)
        if known is None:
            faults.append(Fault(name, "is no parameter of rnn", near(name, names)))
        elif problem := known.problem_with(value):
            faults.append(Fault(name, problem))
    faults += [
        Fault(known.name, "is missing") for known in INFO.parameters if known.required and known.name not in parameters
    ]
    if faults:
        raise InvalidInput(faults=faults)


def _check_metric(metric: str, task: str) -> None:
    ends = ("accuracy", "loss") if task == "classification" else ("rmse", "mae", "loss")
    known = [f"validation_{end}" for end in ends]
    if metric not in known:
        problem = f"is {metric!r}, but a {task} has {', '.join(known)}"
        raise InvalidInput(faults=[Fault("objective.metric", problem, near(metric, known))])


def _architecture(options: Mapping[str, Any], data: Prepared) -> dict[str, Any]:
    return {
        "cell": options["cell"],
        "inputs": data.inputs,
        "units": options["hidden_units"],
        "layers": options["hidden_layers"],
        "outputs": len(data.classes) or 1,
        "bidirectional": options["bidirectional"],
        "dropout": options["dropout"],
    }


def _final_metrics(model: SequenceModel, data: Prepared) -> dict[str, float]:
    """Train, validation and test apart, by the best epoch's weights."""
    measured = {name: evaluate(model, part, data.task, data.scaling) for name, part in data.splits.items()}
    metrics = {f"{name}_{metric}": value for name, values in measured.items() for metric, value in values.items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return metrics | data.naive | {"model_parameters": parameters}


def _save_model(
    model: SequenceModel,
    architecture: Mapping[str, Any],
    options: Mapping[str, Any],
    data: Prepared,
    metrics: Mapping[str, float],
    context: TrialContext,
) -> None:
    """Weights (safetensors), and beside them all that is needed to use them (JSON)."""
    scaling = {
        name: value if isinstance(value, float) else value.tolist() for name, value in asdict(data.scaling).items()
    }
    card = {
        "format": 1,
        "task": data.task,
        "architecture": dict(architecture),
        "classes": list(data.classes),
        "features": list(data.features),
        "scaling": scaling,
        "parameters": dict(options),
        "seed": context.seed,
        "metrics": dict(metrics),
    }
    for name, content in (
        ("model.safetensors", save(dict(model.state_dict()))),
        ("model.json", json.dumps(card, indent=2).encode()),
    ):
        path = context.workspace / name
        write_file(path, content)
        context.save_artifact(name, path)
