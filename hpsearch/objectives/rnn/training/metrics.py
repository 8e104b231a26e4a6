"""Metrics of a split's outputs. A metric that the data cannot tell is NaN, as all are where outputs are not finite.

Plain numpy: scikit-learn's, which the tests compare with, take some 40 times as long, in every epoch.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.data.sequences import AnyArray, Sequences
from hpsearch.objectives.rnn.metric_names import metrics_of
from hpsearch.objectives.rnn.network.pooling import sequence_mask
from hpsearch.objectives.rnn.training.losses import Loss

Values = NDArray[np.float64]
Marks = NDArray[np.bool_]


def measure(
    task: str, outputs: Tensor | AnyArray, targets: Tensor | AnyArray, *, scale: float = math.nan
) -> dict[str, float]:
    """All metrics but the loss, of a whole split's outputs; of the tasks that tell a sequence, not each step.

    classification: logits [sequences, classes] and int64 [sequences]; multilabel: logits and 0 and 1, both [sequences,
    labels]; regression and forecast: both [sequences, targets] in the target's own unit. `scale`, of a forecast: the
    `seasonal_error` that its MASE divides by.
    """
    values, truth = np.asarray(outputs, dtype=np.float64), np.asarray(targets)
    if not np.isfinite(values).all():
        return {name: math.nan for name in metrics_of(task) if name != "loss"}
    match task:
        case "classification":
            return _of_classes(values, truth)
        case "multilabel":
            return _of_labels(values, truth > 0.5)
        case "forecast":
            errors = _of_numbers(values, truth)
            return errors | {"mase": errors["mae"] / scale}
        case _:
            return _of_numbers(values, truth)


def seasonal_error(train: Sequences, target_feature: int, season: int | None) -> float:
    """What the MASE divides by: the mean absolute error of the seasonal naive forecast, one step ahead, within the
    training series (Hyndman and Koehler 2006; Hyndman and Athanasopoulos 2021, section 5.8), in the target's unit.

    `train` holds every window of that series in the order of time. Without a season it is the naive forecast's. NaN
    where the series is not longer than a season, or each season repeats the last.
    """
    windows, targets = train.inputs[:, :, target_feature], train.targets
    series = np.concatenate([windows[0], targets[:, 0], targets[-1, 1:]]).astype(np.float64)
    errors = np.abs(series[(season or 1) :] - series[: -(season or 1)])
    return float(errors.mean()) if errors.any() else math.nan


class StepTally:
    """Adds up the metrics of tasks that tell each step, whose outputs are too many to keep. On the device: nothing
    waits for it before `metrics`."""

    def __init__(self, task: str, loss: Loss, device: torch.device) -> None:
        self._task, self._loss = task, loss
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, outputs: Tensor, batch: Batch) -> None:
        """Outputs [batch, steps, labels or tokens], logits."""
        sums = [*self._loss.total(outputs, batch)]
        if self._task == "next_step":
            counted = sequence_mask(batch.lengths, outputs.shape[1])[:, :, None]
            told, on = (outputs > 0) & counted, (batch.targets > 0.5) & counted
            sums += [(told & on).sum(), (told | on).sum()]
        self._sums[: len(sums)] += torch.stack([value.double() for value in sums])

    def metrics(self, tokens_per_character: float | None = None) -> dict[str, float]:
        """All metrics of what was added; bits a character where it is known how many there are."""
        total, count, hits, marks = self._sums.tolist()
        loss = total / count
        if self._task == "next_step":
            return {"loss": loss, "frame_accuracy": hits / marks if marks else math.nan}
        bits = loss / math.log(2)
        found = {"loss": loss, "perplexity": _exp(loss), "bits_per_token": bits}
        return found if tokens_per_character is None else found | {"bits_per_character": bits * tokens_per_character}


def _of_classes(logits: Values, targets: AnyArray) -> dict[str, float]:
    classes, predicted = np.arange(logits.shape[1]), logits.argmax(axis=1)
    truth, told = targets[:, None] == classes, predicted[:, None] == classes
    likelihoods = np.exp(logits - logits.max(axis=1, keepdims=True))
    return {
        "accuracy": float((predicted == targets).mean()),
        "balanced_accuracy": _mean_ratio((truth & told).sum(axis=0), truth.sum(axis=0)),
        "macro_f1": _macro_f1(truth, told),
        "roc_auc": _macro_roc_auc(truth, likelihoods / likelihoods.sum(axis=1, keepdims=True)),
    }


def _of_labels(logits: Values, truth: Marks) -> dict[str, float]:
    told = logits > 0
    return {
        "accuracy": float((truth == told).all(axis=1).mean()),
        "macro_f1": _macro_f1(truth, told),
        "roc_auc": _macro_roc_auc(truth, logits),
    }


def _of_numbers(values: Values, targets: AnyArray) -> dict[str, float]:
    truth = targets.astype(np.float64).reshape(values.shape)
    squared = float(np.square(values - truth).mean())
    varies = truth.max() > truth.min()
    return {
        "rmse": math.sqrt(squared),
        "mae": float(np.abs(values - truth).mean()),
        "r2": 1 - squared / float(truth.var()) if varies else math.nan,
    }


def _mean_ratio(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> float:
    """The mean of parts / wholes, [classes] both, over the classes that have a whole."""
    counted = wholes > 0
    return float((parts[counted] / wholes[counted]).mean()) if counted.any() else math.nan


def _macro_f1(truth: Marks, told: Marks) -> float:
    """Of [sequences, classes]: the mean over the classes that occur or are told."""
    return _mean_ratio(2 * (truth & told).sum(axis=0), truth.sum(axis=0) + told.sum(axis=0))


def _macro_roc_auc(truth: Marks, scores: Values) -> float:
    """Of [sequences, classes]: the mean over the classes that some sequences have and some have not."""
    known = truth.any(axis=0) & ~truth.all(axis=0)
    areas = [_roc_auc(truth[:, column], scores[:, column]) for column in np.flatnonzero(known)]
    return float(np.mean(areas)) if areas else math.nan


def _roc_auc(truth: Marks, scores: Values) -> float:
    """The part of pairs of a positive and a negative that stand in the right order, ties half (Hanley and McNeil
    1982): the area under the curve."""
    negatives, positives = np.sort(scores[~truth]), scores[truth]
    below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
    return float(below.mean()) / 2 / len(negatives)


def _exp(value: float) -> float:
    """Infinite where it is too large, NaN of NaN."""
    return float(torch.tensor(value, dtype=torch.float64).exp())
