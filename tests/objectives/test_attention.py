"""Attention to the other steps and to a second sequence: against torch's own, and what it must not see."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.network.attention import ContextAttention, SelfAttention
from hpsearch.objectives.rnn.network.pooling import sequence_mask
from tests.objectives.tracing import Result

LENGTHS = torch.tensor([1, 4, 7, 5])
MASK = sequence_mask(LENGTHS, 7)
KINDS = ("additive", "dot_product")


def make(heads: int = 2, causal: bool = False, dropout: float = 0.0) -> tuple[SelfAttention, Tensor]:
    torch.manual_seed(0)
    return SelfAttention(6, heads, dropout, causal), torch.randn(4, 7, 6)


def make_context(kind: str) -> tuple[ContextAttention, Tensor, Tensor]:
    """With states [4, 5, 6] and a context [4, 7, 3] of LENGTHS."""
    torch.manual_seed(0)
    attention = ContextAttention(6, 4, kind, nn.GRU(3, 4, batch_first=True))
    return attention, torch.randn(4, 5, 6), torch.randn(4, 7, 3)


@pytest.mark.parametrize(("heads", "causal"), list(itertools.product((1, 2, 3), (False, True))))
def test_self_attention_is_torchs_own_with_the_same_weights(heads: int, causal: bool) -> None:
    attention, values = make(heads, causal)
    nn.init.normal_(attention.projection.bias)
    nn.init.normal_(attention.output.bias)
    attended, weights = _torchs_own(attention, values)
    expected = attention.norm(values + attended)
    result, own_weights = attention(values, LENGTHS, with_weights=True)
    without = attention(values, LENGTHS)[0]
    torch.testing.assert_close(result[MASK], expected[MASK], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(without[MASK], expected[MASK], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own_weights.transpose(1, 2)[MASK], weights.transpose(1, 2)[MASK])


def _torchs_own(attention: SelfAttention, values: Tensor) -> tuple[Tensor, Tensor]:
    reference = nn.MultiheadAttention(6, attention.heads, batch_first=True)
    weights = attention.state_dict()
    reference.load_state_dict(
        {
            "in_proj_weight": weights["projection.weight"],
            "in_proj_bias": weights["projection.bias"],
            "out_proj.weight": weights["output.weight"],
            "out_proj.bias": weights["output.bias"],
        }
    )
    future = torch.ones(7, 7, dtype=torch.bool).triu(1) if attention.causal else None
    return reference(
        values, values, values, key_padding_mask=~MASK, attn_mask=future, need_weights=True, average_attn_weights=False
    )


@pytest.mark.parametrize(("causal", "with_weights"), list(itertools.product((False, True), repeat=2)))
def test_padding_changes_no_step_that_counts(causal: bool, with_weights: bool) -> None:
    attention, values = make(causal=causal)
    before = attention(values, LENGTHS, with_weights)[0]
    values[~MASK] = torch.nan
    after = attention(values, LENGTHS, with_weights)[0]
    assert torch.equal(before[MASK], after[MASK])
    for row, length, expected in zip(values, LENGTHS.tolist(), before, strict=True):
        alone = attention(row[None, :length], torch.tensor([length]), with_weights)[0][0]
        torch.testing.assert_close(alone, expected[:length], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_weights_sum_to_one_and_are_zero_in_the_padding(causal: bool) -> None:
    attention, values = make(causal=causal)
    weights = attention(values, LENGTHS, with_weights=True)[1]
    assert weights.shape == (4, 2, 7, 7)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(4, 2, 7))
    assert not weights.permute(0, 3, 1, 2)[~MASK].any()
    assert bool(weights.triu(1).any()) is not causal
    assert attention(values, LENGTHS)[1] is None


@pytest.mark.parametrize("with_weights", [False, True])
def test_causal_attention_does_not_look_ahead(with_weights: bool) -> None:
    lengths = torch.full((4,), 7)
    for causal in (False, True):
        attention, values = make(causal=causal)
        before = attention(values, lengths, with_weights)[0]
        values[:, 4:] = torch.randn(4, 3, 6)
        after = attention(values, lengths, with_weights)[0]
        assert torch.equal(before[:, :4], after[:, :4]) is causal
        assert not torch.equal(before[:, 4], after[:, 4])


@pytest.mark.parametrize(("causal", "with_weights"), list(itertools.product((False, True), repeat=2)))
def test_a_stream_that_has_ended_gives_finite_numbers(causal: bool, with_weights: bool) -> None:
    attention, values = make(causal=causal)
    result = attention(values, torch.tensor([0, 4, 7, 5]), with_weights)[0]
    result.sum().backward()
    assert result.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_all_of_self_attention_and_no_padding(causal: bool) -> None:
    attention, values = make(causal=causal)
    values.requires_grad_()
    (attention(values, LENGTHS)[0] * torch.randn(6))[MASK].sum().backward()
    assert torch.equal(values.grad.any(dim=2), MASK)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in attention.parameters())


def test_dropout_falls_on_what_is_attended_to_in_training_alone() -> None:
    attention, values = make(dropout=0.999999)
    torch.testing.assert_close(attention(values, LENGTHS)[0][MASK], attention.norm(values)[MASK])
    attention.eval()
    assert not torch.isclose(attention(values, LENGTHS)[0][MASK], attention.norm(values)[MASK]).all()


def test_heads_that_do_not_divide_the_width_are_a_fault() -> None:
    with pytest.raises(InvalidInput) as raised:
        SelfAttention(30, 4)
    fault = raised.value.faults[0]
    assert fault.path == "objective.settings.attention_heads"
    assert "features of 28 or 32 would do, or heads of 1, 2, 3, 5, 6, 10, 15, 30" in fault.problem
    with pytest.raises(InvalidInput, match="features of 8 would do, or heads of 1, 2, 4"):
        SelfAttention(4, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_context_attention_is_what_its_equations_say(kind: str) -> None:
    attention, values, context = make_context(kind)
    result, weights = attention(values, context, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        keys = attention.encoder(context[row, None, :length])[0][0]
        for step, state in enumerate(values[row]):
            expected = _scores(attention, attention.query(state), keys).softmax(dim=0)
            torch.testing.assert_close(weights[row, step, :length], expected)
            joined = torch.cat([expected @ keys, state])
            torch.testing.assert_close(result[row, step], torch.tanh(attention.output(joined)), rtol=1e-5, atol=1e-6)


def _scores(attention: ContextAttention, query: Tensor, keys: Tensor) -> Tensor:
    if attention.kind == "dot_product":
        return torch.stack([query @ key / math.sqrt(4) for key in keys])
    score, project = attention.score.weight[0], attention.key.weight
    return torch.stack([score @ torch.tanh(query + project @ key) for key in keys])


@pytest.mark.parametrize("kind", KINDS)
def test_the_contexts_padding_changes_nothing(kind: str) -> None:
    attention, values, context = make_context(kind)
    before, weights = attention(values, context, LENGTHS)
    context[~MASK] = torch.nan
    after, weights_after = attention(values, context, LENGTHS)
    assert torch.equal(before, after)
    assert torch.equal(weights, weights_after)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(4, 5))
    assert not weights.transpose(1, 2)[~MASK].any()
    assert attention(values, context, LENGTHS * 0)[0].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_attends_to_the_context_without_the_other_states(kind: str) -> None:
    attention, values, context = make_context(kind)
    before = attention(values, context, LENGTHS)[0]
    values[:, 2] += 1
    changed = (attention(values, context, LENGTHS)[0] != before).any(dim=2)
    assert changed.tolist() == [[False, False, True, False, False]] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_all_of_context_attention_and_no_padding(kind: str) -> None:
    attention, values, context = make_context(kind)
    values.requires_grad_()
    context.requires_grad_()
    attention(values, context, LENGTHS)[0].square().sum().backward()
    assert values.grad.any(dim=2).all()
    assert torch.equal(context.grad.any(dim=2), MASK)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in attention.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_context_attention_learns_where_to_look(kind: str) -> None:
    """Each step names a step of the context by a one-hot key, and wants the value that stands there."""
    torch.manual_seed(2)
    attention, head = ContextAttention(8, 24, kind, nn.GRU(9, 24, batch_first=True)), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*attention.parameters(), *head.parameters()], 0.02)
    lengths = torch.full((64,), 6)
    for _ in range(120):
        values, context, wanted, _ = _lookup()
        loss = nn.functional.mse_loss(head(attention(values, context, lengths)[0]).squeeze(2), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values, context, wanted, places = _lookup()
    with torch.no_grad():
        result, weights = attention(values, context, lengths)
    assert (head(result).squeeze(2) - wanted).square().mean() < 0.1 * wanted.square().mean()
    assert (weights.argmax(dim=2) == places).float().mean() > 0.95


def _lookup() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries [64, 3, 8], contexts [64, 6, 9] of a key of 8 and a value, the values wanted and their places [64, 3]."""
    keys = torch.rand(64, 8).argsort(dim=1)[:, :6]
    numbers = torch.rand(64, 6) * 2 - 1
    places = torch.randint(6, (64, 3))
    one_hot = torch.eye(8)
    context = torch.cat([one_hot[keys], numbers[:, :, None]], dim=2)
    return one_hot[keys.gather(1, places)], context, numbers.gather(1, places), places


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch speaks for torch.export
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_can_be_traced(causal: bool) -> None:
    attention, values = make(causal=causal)
    traced = torch.jit.trace(Result(attention), (values, LENGTHS))
    other = torch.tensor([7, 2, 1, 3])
    torch.testing.assert_close(traced(values, other), attention(values, other)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # the latter: nn.GRU's
@pytest.mark.parametrize("kind", KINDS)
def test_context_attention_can_be_traced(kind: str) -> None:
    attention, values, context = make_context(kind)
    traced = torch.jit.trace(Result(attention), (values, context, LENGTHS))
    other = torch.tensor([7, 2, 1, 3])
    torch.testing.assert_close(traced(values, context, other), attention(values, context, other)[0])
