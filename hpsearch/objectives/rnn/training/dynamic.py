"""Dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018): weights that follow a text while it is read."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Stream
from hpsearch.objectives.rnn.network.layers import State
from hpsearch.objectives.rnn.network.model import SequenceModel, detached
from hpsearch.objectives.rnn.training.losses import Loss

STEPS = 20
"""Tokens between two moves of the weights, and how far their gradients go back; of the paper, for characters."""
SEGMENTS = 500
"""Of the training text, by whose gradients the moves are scaled."""
EPSILON = 1e-3
"""What keeps weights of tiny gradients in their place; of the authors' code."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Of each weight, by its gradients g in training."""

    root_mean_squares: list[Tensor]
    """sqrt(mean g^2)."""
    pulls: list[Tensor]
    """That over its mean in all weights: how much stronger than on average a weight is drawn back."""


def gradient_scales(model: SequenceModel, train: Stream, loss: Loss) -> Scales:
    """Over segments from everywhere in the training text, each read without a past."""
    model, squares = without_dropout(model), [torch.zeros_like(weight) for weight in model.parameters()]
    pieces = train.windows(1, STEPS)
    chosen = pieces[:: -(-len(pieces) // SEGMENTS)]
    for piece in chosen:
        batch = train.batch(piece)
        gradients = torch.autograd.grad(loss(model(batch).values.float(), batch), list(model.parameters()))
        torch._foreach_addcmul_(squares, gradients, gradients, 1 / len(chosen))
    roots = list(torch._foreach_sqrt(squares))
    mean = sum(float(root.sum()) for root in roots) / sum(root.numel() for root in roots)
    return Scales(roots, [root / max(mean, 1e-30) for root in roots])


def dynamic_loss(
    model: SequenceModel, text: Stream, loss: Loss, scales: Scales, step_size: float, decay: float
) -> float:
    """The mean loss a token of a text read once, from its beginning, in one stream; the model stays as it is.

    Each segment is told by the weights as they are before it; then each weight w, trained to be w0, becomes (equations
    6 and 7)

        w - step_size * g / (sqrt(mean g^2) + epsilon) + min(1, decay * pull) * (w0 - w)
    """
    model = without_dropout(model)
    weights: list[Tensor] = list(model.parameters())
    trained = [weight.detach().clone() for weight in weights]
    rates = [step_size / (root + EPSILON) for root in scales.root_mean_squares]
    pulls = [(decay * pull).clamp(max=1) for pull in scales.pulls]
    total = torch.zeros(2, dtype=torch.float64, device=text.device)
    states: tuple[State, ...] | None = None
    for piece in text.windows(1, STEPS):
        batch = text.batch(piece)
        outputs = model(batch, states)
        states = tuple(detached(state) for state in outputs.states)
        values = outputs.values.float()
        gradients = torch.autograd.grad(loss(values, batch), weights)
        with torch.no_grad():
            total += torch.stack(loss.total(values, batch))
            back = torch._foreach_sub(trained, weights)
            torch._foreach_addcmul_(weights, back, pulls)
            torch._foreach_addcmul_(weights, gradients, rates, -1.0)
    return float(total[0] / total[1])


def without_dropout(model: SequenceModel) -> SequenceModel:
    """A copy that trains without chance: cuDNN and oneDNN have gradients in training mode alone."""
    architecture = replace(model.architecture, input_dropout=0.0, dropout=0.0, output_dropout=0.0, weight_dropout=0.0)
    with torch.device("meta"):
        found = SequenceModel(architecture)
    found.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    return found.train().requires_grad_()
