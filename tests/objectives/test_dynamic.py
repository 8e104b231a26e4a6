"""Dynamic evaluation: what its weights do is the paper's formula, and no token is told by weights that have seen it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from hpsearch.objectives.rnn.data.batches import Batch, Stream
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.training.dynamic import (
    EPSILON,
    STEPS,
    Scales,
    dynamic_loss,
    gradient_scales,
    without_dropout,
)
from hpsearch.objectives.rnn.training.losses import Loss
from hpsearch.trials import Scalar
from tests.objectives.conftest import CLASSES, MakeRecorder

LOSS = Loss(task="language_model", name="cross_entropy")
ARCHITECTURE = Architecture(
    task="language_model", outputs=5, vocabulary_size=5, embedding_units=3, units=(6,), cell="lstm"
)
DROPOUT = replace(ARCHITECTURE, input_dropout=0.3, output_dropout=0.3, weight_dropout=0.3, variational_dropout=True)


def network(architecture: Architecture = ARCHITECTURE) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(architecture)


def text(tokens: int, seed: int = 1) -> Stream:
    drawn = torch.randint(5, (tokens + 1,), generator=torch.Generator().manual_seed(seed))
    return Stream(drawn[:-1], drawn[1:])


def static_loss(model: SequenceModel, stream: Stream) -> float:
    """In one stream."""
    (piece,) = stream.windows(1, len(stream))
    batch = stream.batch(piece)
    with torch.inference_mode():
        return float(LOSS(model.eval()(batch).values, batch))


def gradients_of(model: SequenceModel, weights: dict[str, Tensor], batch: Batch) -> list[Tensor]:
    found = functional_call(model.train(), weights, (batch,))
    return list(torch.autograd.grad(LOSS(found.values, batch), list(weights.values())))


def ones(model: SequenceModel) -> Scales:
    same = [torch.ones_like(weight) for weight in model.parameters()]
    return Scales(same, same)


def test_gradients_are_scaled_by_their_root_mean_squares_in_training() -> None:
    model, train = network(DROPOUT), text(3 * STEPS)
    found = gradient_scales(model, train, LOSS)
    plain, weights = network(), dict(model.named_parameters())
    parts = [gradients_of(plain, weights, train.batch(piece)) for piece in train.windows(1, STEPS)]
    expected = [torch.stack(same).square().mean(dim=0).sqrt() for same in zip(*parts, strict=True)]
    for one, other in zip(found.root_mean_squares, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    mean = torch.cat([root.flatten() for root in expected]).mean()
    for one, other in zip(found.pulls, expected, strict=True):
        torch.testing.assert_close(one, other / mean, rtol=1e-4, atol=1e-5)
    assert torch.cat([pull.flatten() for pull in found.pulls]).mean() == pytest.approx(1.0, rel=1e-5)


def test_the_weights_move_by_the_formula() -> None:
    """Of three segments, the second and third as moved weights tell them; each token weighs the same."""
    model, stream = network(), text(2 * STEPS + 7)
    scales = gradient_scales(model, text(200, seed=2), LOSS)
    trained = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    weights, state, total = trained, None, 0.0
    for piece in stream.windows(1, STEPS):
        batch = stream.batch(piece)
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        outputs = functional_call(model.train(), leaves, (batch, state))
        state = tuple(tuple(part.detach() for part in both) for both in outputs.states)
        loss = LOSS(outputs.values, batch)
        total += float(loss.detach()) * int(batch.lengths[0])
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        weights = {
            name: weight - 0.01 * gradient / (root + EPSILON) + (0.4 * pull).clamp(max=1) * (trained[name] - weight)
            for (name, weight), gradient, root, pull in zip(
                weights.items(), gradients, scales.root_mean_squares, scales.pulls, strict=True
            )
        }
    found = dynamic_loss(model, stream, LOSS, scales, 0.01, 0.4)
    assert found == pytest.approx(total / len(stream), rel=1e-5)
    assert found != pytest.approx(static_loss(model, stream), rel=1e-3)


def test_no_token_is_told_by_weights_that_have_seen_it() -> None:
    """Weights move after a segment: the first one is told by the trained ones, whatever the step, and what comes later
    changes nothing before it."""
    model = network()
    first = text(STEPS)
    assert dynamic_loss(model, first, LOSS, ones(model), 1.0, 0.0) == pytest.approx(static_loss(model, first))
    one, other = text(3 * STEPS), text(3 * STEPS)
    other._targets[2 * STEPS :] = 0
    other._inputs[2 * STEPS + 1 :] = 0
    both = [
        dynamic_loss(model, Stream(whole._inputs[: 2 * STEPS], whole._targets[: 2 * STEPS]), LOSS, ones(model), 0.1, 0)
        for whole in (one, other)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(("step_size", "decay"), [(0.0, 0.0), (0.0, 1.0)])
def test_weights_that_do_not_move_tell_what_they_told(step_size: float, decay: float) -> None:
    model, stream = network(DROPOUT), text(150)
    found = dynamic_loss(model, stream, LOSS, ones(model), step_size, decay)
    assert found == pytest.approx(static_loss(model, stream), rel=1e-5)


def test_the_model_and_everybodys_chance_stay_as_they_were() -> None:
    model, stream = network(DROPOUT), text(100)
    before, chance = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    dynamic_loss(model, stream, LOSS, gradient_scales(model, stream, LOSS), 0.1, 0.01)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    copied = without_dropout(model)
    assert {type(module).__name__: module.p for module in copied.modules() if hasattr(module, "p")} == {"Dropout": 0.0}
    assert copied.forwards[0].weight_dropout == 0.0


PARAMETERS: dict[str, Scalar] = {
    "dataset": "text.txt",
    "max_epochs": 6,
    "learning_rate": 0.02,
    "bptt_steps": 16,
    "batch_size": 8,
}


def test_a_text_of_other_words_is_followed(recorder: MakeRecorder, data: Path) -> None:
    """Told beside the other results, none of which it changes."""
    (data / "text.txt").write_text("to be or not to be, " * 240 + "bet on root beer, " * 60)
    static = recorder().run({**PARAMETERS, "output_dropout": 0.2, "repeats": 2})
    followed = recorder().run({**PARAMETERS, "output_dropout": 0.2, "repeats": 2, "dynamic_evaluation": 0.01})
    assert followed.value == static.value
    own = {name: value for name, value in followed.metrics.items() if "dynamic" in name}
    assert {name: value for name, value in followed.metrics.items() if name not in own} == static.metrics
    assert sorted(own) == ["test_dynamic_loss", "validation_dynamic_loss"]
    loss = static.metrics["test_loss"]
    assert loss is not None
    assert own["test_dynamic_loss"] is not None
    assert own["test_dynamic_loss"] < 0.7 * loss
    stiff = recorder().run({**PARAMETERS, "dynamic_evaluation": 0.01, "dynamic_decay": 1.0})
    loose = recorder().run({**PARAMETERS, "dynamic_evaluation": 0.01, "dynamic_decay": 0.0})
    assert stiff.metrics["test_dynamic_loss"] != loose.metrics["test_dynamic_loss"]


def test_other_tasks_have_no_text_to_follow(recorder: MakeRecorder) -> None:
    usual = recorder().run(CLASSES)
    assert recorder().run({**CLASSES, "dynamic_evaluation": 0.01}).metrics == usual.metrics
