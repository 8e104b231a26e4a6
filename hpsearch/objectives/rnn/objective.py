"""The recurrent objective: data, network, training, evaluation; what workers run."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hpsearch.errors import Fault, InvalidInput, near
from hpsearch.objectives.objective import TrialContext, TrialResult, with_defaults
from hpsearch.objectives.rnn.data.prepared import Prepared, prepare, prepare_for_refit
from hpsearch.objectives.rnn.data.readers import read_dataset, version
from hpsearch.objectives.rnn.metric_names import METRICS, metrics_of
from hpsearch.objectives.rnn.models.saved import save_model
from hpsearch.objectives.rnn.network.native import load_kernels
from hpsearch.objectives.rnn.parameters import DATA, INFO
from hpsearch.objectives.rnn.training.runs import Runs
from hpsearch.trials import Scalar


class RnnObjective:
    """Trains a recurrent network; keeps the newest data set in memory between trials."""

    def __init__(self) -> None:
        load_kernels()  # an object lives as long as a worker's slot, which then has no trial yet
        self._prepared: tuple[Mapping[str, Any], list[Prepared], Prepared | None] | None = None

    def __call__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> TrialResult:
        """See `Objective`. Saves the best epoch's weights as `model.safetensors`, with `model.json` beside it."""
        check_parameters(parameters)
        options = with_defaults(INFO, parameters)
        divisions, refitted = self._data(options, context)
        _check_metrics(tuple(context.metrics) or (context.metric,), divisions[0].task)
        runs = Runs(divisions, refitted, options, context)
        early = runs.finish()
        if early is not None:
            return early
        result = runs.result()
        save_model(runs, options, result.metrics, context)
        return result

    def _data(self, options: Mapping[str, Any], context: TrialContext) -> tuple[list[Prepared], Prepared | None]:
        """The data's divisions, and that for the refit."""
        key = {parameter.name: options[parameter.name] for parameter in DATA} | {
            "roots": context.data_roots,
            "version": version(options, context.data_roots),
            "device": options["device"],
        }
        if self._prepared is None or self._prepared[0] != key:
            data = read_dataset(options, context.data_roots)
            device = device_of(options)
            refitted = prepare_for_refit(data, options, device) if options["refit"] else None
            self._prepared = key, prepare(data, options, device), refitted
        return self._prepared[1:]


def device_of(options: Mapping[str, Any]) -> torch.device:
    """Where to train. Raises `InvalidInput` where a GPU is asked for and there is none."""
    has_gpu = torch.cuda.is_available()
    if options["device"] == "cuda" and not has_gpu:
        raise InvalidInput(faults=[Fault("objective.settings.device", "is cuda, but this worker sees no GPU")])
    return torch.device("cuda" if has_gpu and options["device"] != "cpu" else "cpu")


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


def _check_metrics(metrics: Sequence[str], task: str) -> None:
    known = [f"validation_{name}" for name in metrics_of(task)]
    path = "objective.metric" if len(metrics) == 1 else "objective.metrics"
    beside = [metric.name for metric in METRICS if not metric.is_reported]
    faults = [
        Fault(path, f"is {metric!r}, but {task} has {', '.join(known)}", near(metric, known))
        for place, metric in enumerate(metrics)
        if metric not in (known if place == 0 else [*known, *beside])
    ]
    if faults:
        raise InvalidInput(faults=faults)
