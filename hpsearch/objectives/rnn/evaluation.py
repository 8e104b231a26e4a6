"""Metrics of a model on a split."""

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.batches import Split, in_order
from hpsearch.objectives.rnn.model import SequenceModel
from hpsearch.objectives.rnn.scaling import Scaling
from hpsearch.objectives.rnn.sequences import Sequences


def loss_of(outputs: Tensor, targets: Tensor, task: str, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats ([batch, classes], [batch]), or squared error of standardised targets ([batch, 1], …)."""
    if task == "classification":
        return nn.functional.cross_entropy(outputs, targets, reduction=reduction)
    return nn.functional.mse_loss(outputs[:, 0], targets, reduction=reduction)


@torch.inference_mode()
def evaluate(model: SequenceModel, split: Split, task: str, scaling: Scaling) -> dict[str, float]:
    """`loss`, and `accuracy` or `rmse` and `mae` in the target's unit. NaN where the model has diverged."""
    model.eval()
    loss, right, squared, absolute = (torch.zeros((), dtype=torch.float64) for _ in range(4))
    for inputs, lengths, targets in in_order(split):
        outputs = model(inputs, lengths)
        loss += loss_of(outputs, targets, task, reduction="sum").double()
        if task == "classification":
            right += (outputs.argmax(1) == targets).sum()
        else:
            errors = (outputs[:, 0] - targets).double() * scaling.target_deviation
            squared += errors.square().sum()
            absolute += errors.abs().sum()
    count = len(split)
    if task == "classification":
        return {"loss": float(loss) / count, "accuracy": float(right) / count}
    return {
        "loss": float(loss) / count,
        "rmse": float(squared / count) ** 0.5,
        "mae": float(absolute) / count,
    }


def naive_rmse(sequences: Sequences) -> float | None:
    """The error of guessing that nothing changes; None where the data are no forecast."""
    if sequences.naive is None:
        return None
    return float(np.sqrt(np.mean((sequences.naive.astype(np.float64) - sequences.targets) ** 2)))
