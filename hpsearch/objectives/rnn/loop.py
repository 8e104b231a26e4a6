"""The training loop. It knows of no server: it is handed `report(step, value, metrics) -> decision`."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.objectives.objective import TrialContext, TrialResult
from hpsearch.objectives.rnn.batches import Split, shuffled
from hpsearch.objectives.rnn.checkpoint import NAME, Progress, Weights, load_checkpoint, save_checkpoint
from hpsearch.objectives.rnn.evaluation import evaluate, loss_of
from hpsearch.objectives.rnn.model import SequenceModel
from hpsearch.objectives.rnn.scaling import Scaling
from hpsearch.trials import Decision


@dataclass(frozen=True, slots=True)
class Trained:
    """A training that came to its end; the model holds its best epoch's weights."""

    progress: Progress


def optimizer_of(options: Mapping[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the parameters name."""
    rate, decay = options["learning_rate"], options["weight_decay"]
    match options["optimizer"]:
        case "adam":
            return torch.optim.Adam(model.parameters(), rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(model.parameters(), rate, weight_decay=decay, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(model.parameters(), rate, weight_decay=decay)
        case _:
            return torch.optim.SGD(model.parameters(), rate, 0.9, weight_decay=decay, nesterov=True, fused=True)


def train(
    model: SequenceModel, splits: tuple[Split, Split], task: str, scaling: Scaling, options: Mapping[str, Any],
    context: TrialContext,
) -> Trained | TrialResult:  # fmt: skip
    """Train to the end, on (train, validation); a `TrialResult` where the trial ends before: pruned, diverged, or
    handed back (then the result counts for nothing)."""
    training, validation = splits
    optimizer = optimizer_of(options, model)
    shuffler = torch.Generator().manual_seed(context.seed)
    best: Weights = {}
    progress = Progress()
    if context.checkpoint is not None:
        best, progress = load_checkpoint(context.checkpoint, model, optimizer, shuffler)

    def checkpoint() -> None:
        path = context.workspace / NAME
        save_checkpoint(path, model, best, optimizer, shuffler, progress)
        context.save_artifact(NAME, path)

    saved_at = time.monotonic()
    while not _is_done(progress, options):
        progress.epoch += 1
        loss, norm = _epoch(model, training, optimizer, shuffler, task, options)
        measured = evaluate(model, validation, task, scaling)
        metrics = {f"validation_{name}": value for name, value in measured.items()}
        metrics |= {"train_loss": loss, "gradient_norm": norm}
        if not all(map(math.isfinite, metrics.values())):
            return TrialResult(state="failed", metrics=metrics, reason=_diverged(metrics, progress.epoch))
        value = metrics[context.metric]
        if _is_better(value, metrics["validation_loss"], progress, context.direction):
            progress.best_epoch, progress.best_value = progress.epoch, value
            progress.best_loss = metrics["validation_loss"]
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        match context.report(progress.epoch, value, metrics):
            case Decision.PRUNE:
                return TrialResult(state="pruned", metrics=metrics)
            case Decision.LOST:
                return TrialResult(state="failed", reason="the lease was lost")
            case Decision.PAUSE:
                checkpoint()
                return TrialResult(state="failed", reason="handed back")
        every = options["checkpoint_seconds"]
        if every is not None and time.monotonic() - saved_at >= every and not _is_done(progress, options):
            checkpoint()
            saved_at = time.monotonic()
    model.load_state_dict(best)
    return Trained(progress)


def _epoch(
    model: SequenceModel,
    split: Split,
    optimizer: torch.optim.Optimizer,
    shuffler: torch.Generator,
    task: str,
    options: Mapping[str, Any],
) -> tuple[float, float]:
    """One pass over the data: the mean loss a sequence, and the mean gradient norm a step before clipping."""
    model.train()
    clip = options["clip_norm"] or math.inf
    parameters = list(model.parameters())
    # summed as tensors: asking for a number a step would wait for it a step
    total, norms, steps = torch.zeros(()), torch.zeros(()), 0
    for inputs, lengths, targets in shuffled(split, options["batch_size"], shuffler):
        loss: Tensor = loss_of(model(inputs, lengths), targets, task)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norms += nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
        optimizer.step()
        total += loss.detach() * len(targets)
        steps += 1
    return float(total) / len(split), float(norms) / steps


def _is_done(progress: Progress, options: Mapping[str, Any]) -> bool:
    patience = options["patience"]
    stale = patience is not None and progress.epoch - progress.best_epoch >= patience
    return progress.epoch >= options["max_epochs"] or (stale and progress.epoch > 0)


def _is_better(value: float, loss: float, progress: Progress, direction: str) -> bool:
    """Whether this epoch is the best so far; of equals the one of lower validation loss."""
    if progress.best_value is None or progress.best_loss is None:
        return True
    sign = 1 if direction == "maximize" else -1
    return (sign * value, -loss) > (sign * progress.best_value, -progress.best_loss)


def _diverged(metrics: Mapping[str, float], epoch: int) -> str:
    name = next(name for name in ("train_loss", *metrics) if not math.isfinite(metrics[name]))
    return f"diverged: {name} is {metrics[name]} in epoch {epoch}"
