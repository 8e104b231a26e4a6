"""Training that does not begin from nothing: weights of an earlier model, and parts that are held fast at first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hpsearch.errors import NotFound
from hpsearch.objectives.objective import TrialContext
from hpsearch.objectives.rnn.data.readers import resolve
from hpsearch.objectives.rnn.faults import setting_fault

HEAD = ("head.", "pooling.")
"""Beginnings of the names of the weights that make the outputs; all others are the body."""
_LAYERS = ("forwards", "backwards", "norms")


def start_file(name: str | None, context: TrialContext) -> Path | None:
    """The file of weights that a study wants to begin with; None where it wants none.

    `study:NAME` is the best model of a study, `study:NAME/NUMBER` one trial's; anything else is a file below a data
    folder. Raises `InvalidInput` where there is no such file.
    """
    if name is None:
        return None
    if not name.startswith("study:"):
        return resolve(name, context.data_roots, "start_from")
    study, _, number = name.removeprefix("study:").partition("/")
    if number and not number.isdecimal():
        raise setting_fault("start_from", f"must be study:NAME or study:NAME/NUMBER, not {name!r}")
    try:
        return context.fetch_artifact(study, int(number) if number else None, "model.safetensors")
    except NotFound as error:
        raise setting_fault("start_from", f"{name!r} has no model: {error}") from error


def start_from(model: nn.Module, path: Path) -> int:
    """Take over the weights of a file that fit by name and shape; returns how many tensors did.

    Raises `InvalidInput` where the file is no safetensors file, or where nothing of it fits.
    """
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise setting_fault("start_from", f"{path.name} cannot be read: {error}") from error
    own = model.state_dict()
    fitting = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    if not any(value.dim() > 1 for value in fitting.values()):  # biases alone would tell nothing
        raise setting_fault("start_from", f"no weight of {path.name} fits this network by its name and shape")
    model.load_state_dict(own | fitting)
    return len(fitting)


class Freeze:
    """Holds weights fast for the first epochs."""

    def __init__(self, options: Mapping[str, Any], model: nn.Module) -> None:
        self._epochs = options["freeze_epochs"] if options["freeze"] is not None else 0
        self._frozen = list(_frozen(model, options["freeze"])) if self._epochs else []

    def apply(self, epoch: int) -> None:
        """Before an epoch (from 1 on)."""
        for parameter in self._frozen:
            parameter.requires_grad_(epoch > self._epochs)
            if epoch <= self._epochs:
                parameter.grad = None


def _frozen(model: nn.Module, what: str) -> Iterator[nn.Parameter]:
    names = [name for name, _ in model.named_parameters()]
    chosen = {name for name in names if _is_chosen(name, what)}
    if not chosen:
        heads = sorted({name.partition(".")[0] for name in names})
        raise setting_fault("freeze", f"{what!r} names no weights of this network; they begin with {', '.join(heads)}")
    if chosen == set(names):
        raise setting_fault("freeze", f"{what!r} is all of this network: nothing would be trained")
    return (parameter for name, parameter in model.named_parameters() if name in chosen)


def _is_chosen(name: str, what: str) -> bool:
    if what == "body":
        return not name.startswith(HEAD)
    if what.isdecimal():
        room, _, rest = name.partition(".")
        return room == "embedding" or (room in _LAYERS and int(rest.partition(".")[0]) < int(what))
    return name.startswith(tuple(part.strip() for part in what.split(",")))
