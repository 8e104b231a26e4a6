"""What training minimises, and the same without regularisation for evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.network.pooling import sequence_mask
from hpsearch.objectives.rnn.tasks import OF_NUMBERS

_OF_NUMBERS = ("mse", "mae", "huber")
_IGNORED = -100
"""The target of a step that does not count."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Loss:
    """The loss of one task; padding never counts.

    Averaged over: classification: sequences; multilabel: labels and sequences; regression and forecast: all targets,
    scaled; next_step: steps, each the sum over its labels (the negative log-likelihood that is published for piano
    rolls, Boulanger-Lewandowski et al. 2012); language_model: tokens. Cross-entropy is in nats.
    """

    task: str
    name: str
    """cross_entropy, mse, mae or huber."""
    huber_delta: float = 1.0
    label_smoothing: float = 0.0
    """Szegedy et al. 2016; of classes and tokens."""
    class_weights: Tensor | None = None
    """[classes], of classification; the mean is weighted, too."""

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean, a scalar, for training. Outputs: [batch, classes], [batch, labels] or [batch, targets]; of tasks
        that tell each step [batch, steps, labels or tokens]."""
        if self.task == "classification":  # in one operation
            return functional.cross_entropy(
                outputs, batch.targets, self.class_weights, label_smoothing=self.label_smoothing
            )
        total, count = self._sum(outputs, batch, self.label_smoothing)
        return total / count

    def total(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(sum, number of what it is averaged over), float64 scalars, without label smoothing and class weights."""
        total, count = self._sum(outputs, batch, 0.0)
        return total.double(), torch.as_tensor(count, dtype=torch.float64, device=total.device)

    def _sum(self, outputs: Tensor, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor | int]:
        match self.task:
            case "classification":
                return functional.cross_entropy(outputs, batch.targets, reduction="sum"), len(batch)
            case "language_model":
                return _of_tokens(outputs, batch, label_smoothing)
            case "next_step":
                return _of_steps(outputs, batch)
            case "multilabel":
                total = functional.binary_cross_entropy_with_logits(outputs, batch.targets, reduction="sum")
            case _:
                # a recursive forecast is trained to tell one step: the others are left out
                total = self._error(outputs, batch.targets[:, : outputs.shape[1]])
        return total, outputs.numel()

    def _error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        match self.name:
            case "mae":
                return functional.l1_loss(outputs, targets, reduction="sum")
            case "huber":
                return functional.huber_loss(outputs, targets, reduction="sum", delta=self.huber_delta)
            case _:
                return functional.mse_loss(outputs, targets, reduction="sum")


def loss_of(options: Mapping[str, Any], task: str, class_weights: Tensor | None = None) -> Loss:
    """The loss that the parameters ask for. Raises `InvalidInput` where it does not fit the task."""
    fitting = _OF_NUMBERS if task in OF_NUMBERS else ("cross_entropy",)
    name = options["loss"] or fitting[0]
    if name not in fitting:
        raise setting_fault("loss", f"is {name!r}, which does not fit {task}; what fits: {', '.join(fitting)}")
    return Loss(
        task=task,
        name=name,
        huber_delta=options["huber_delta"],
        label_smoothing=options["label_smoothing"],
        class_weights=class_weights,
    )


def balanced_weights(targets: Tensor, classes: int = 0) -> Tensor:
    """[classes] from int64 [sequences]: n / (classes * count), with which all classes weigh the same (King and Zeng
    2001). A class without a sequence weighs 0 and is not counted; `classes`: how many there are at least."""
    counts = torch.bincount(targets, minlength=classes)
    occurs = counts > 0
    return torch.where(occurs, len(targets) / (occurs.sum() * counts.clamp(min=1)), 0.0)


def _of_tokens(outputs: Tensor, batch: Batch, label_smoothing: float) -> tuple[Tensor, Tensor]:
    counted = sequence_mask(batch.lengths, outputs.shape[1])
    targets = batch.targets.masked_fill(~counted, _IGNORED)
    total = functional.cross_entropy(
        outputs.flatten(0, 1),
        targets.flatten(),
        ignore_index=_IGNORED,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total, counted.sum()


def _of_steps(outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    counted = sequence_mask(batch.lengths, outputs.shape[1])
    values = functional.binary_cross_entropy_with_logits(outputs, batch.targets, reduction="none").sum(dim=2)
    return torch.where(counted, values, 0.0).sum(), counted.sum()
