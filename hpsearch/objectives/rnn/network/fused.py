"""GRU and plain RNN on a CPU in few operations a step, with a backward pass written by hand.

Torch runs these cells as a chain of small operations, each with a node in the autograd graph. Here the products with
the inputs are one product over all steps, a step is 5 operations (GRU) or 2 (RNN), backwards 3 or 2, and the gradients
of the weights are again one product over all steps.

One thing is unusual: instead of a state h the loops of GRU and `rnn_tanh` carry (h + 1) / 2. As tanh(x) is
2 sigmoid(2 x) - 1, a step of `rnn_tanh` is then a sigmoid, which torch computes in a third of a tanh's time, and a GRU
mixes such states as it mixes the others. As U h is 2 U (h + 1) / 2 - U 1, factors and shift go into weights and biases
once a pass. It costs roundings of the size that an h near 1 has.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Activation = Callable[[Tensor], Tensor]
"""In place."""
_sigmoid_backward = torch.ops.aten.sigmoid_backward


def fused_layer(cell: str, values: Tensor, state: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """One layer of `gru`, `rnn_tanh` or `rnn_relu`, as torch's function of that name has it.

    From [batch, steps, inputs] and [1, batch, units] to [batch, steps, units] and [1, batch, units]; the weights are
    those of torch's modules, in their order. All of these get gradients, but no second ones. Without gradients
    (`torch.no_grad`, `torch.inference_mode`) nothing is saved.
    """
    if torch.is_grad_enabled():
        function, *first = (_Gru,) if cell == "gru" else (_Rnn, cell)
        outputs, last = function.apply(*first, values, state, *weights)  # type: ignore[no-untyped-call]
        return outputs, last
    inputs = values.transpose(0, 1).contiguous()
    hidden = _gru_steps(inputs, state, *weights)[0] if cell == "gru" else _rnn_steps(cell, inputs, state, *weights)
    return hidden[1:].transpose(0, 1), hidden[-1:].clone()


class _Rnn(Function):
    """h' = f(W x + b + U h + c), where f is tanh or relu."""

    @staticmethod
    def forward(ctx: Any, cell: str, values: Tensor, state: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        inputs = values.transpose(0, 1).contiguous()
        hidden = _rnn_steps(cell, inputs, state, *weights)
        ctx.cell = cell
        ctx.save_for_backward(inputs, *weights[:2], hidden)
        ctx.set_materialize_grads(False)
        return _outputs(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, weight_ih, weight_hh, hidden = ctx.saved_tensors
        grad_hidden = _grad_hidden(hidden, grad_outputs, grad_last)
        rows = _rnn_slopes(ctx.cell, hidden[1:])
        for row, after, before in _backwards(rows, grad_hidden[1:], grad_hidden[:-1]):
            before.addmm_(row.mul_(after), weight_hh)
        grad_bias = rows.sum((0, 1))
        return (
            None,
            _grad_values(rows, weight_ih) if ctx.needs_input_grad[1] else None,
            grad_hidden[:1],
            _over_steps(rows, inputs),
            _over_steps(rows, hidden[:-1]),
            grad_bias,
            grad_bias.clone(),  # clipping works in place
        )


class _Gru(Function):
    """r = sigmoid(W_r x + b_r + U_r h + c_r), z alike, q = U_n h + c_n, n = tanh(W_n x + b_n + r q),
    h' = n + z (h - n): torch's GRU, whose reset gate acts after the product (Cho et al. 2014 have it before)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, state: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        inputs = values.transpose(0, 1).contiguous()
        hidden, gates, news = _gru_steps(inputs, state, *weights)
        ctx.save_for_backward(inputs, *weights[:2], hidden, gates, news)
        ctx.set_materialize_grads(False)
        return _outputs(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, weight_ih, weight_hh, hidden, gates, news = ctx.saved_tensors
        grad_hidden = _grad_hidden(hidden, grad_outputs, grad_last)
        rows, slope_n = _gru_slopes(hidden, gates, news)
        blocks, z, afters = _by_gate(rows), _by_gate(gates)[:, :, 1], grad_hidden[1:]
        for block, row, after, after_each, before, kept in _backwards(
            blocks, rows, afters, afters[:, :, None], grad_hidden[:-1], z
        ):
            block.mul_(after_each)
            before.addmm_(row, weight_hh).addcmul_(kept, after)
        grad_weight_hh, grad_bias_hh = _over_steps(rows, hidden[:-1]), rows.sum((0, 1))
        torch.mul(slope_n, afters, out=blocks[:, :, 2])  # q's gradients have served; for W_n and b_n, n's are wanted
        return (
            _grad_values(rows, weight_ih) if ctx.needs_input_grad[0] else None,
            grad_hidden[:1],
            _over_steps(rows, inputs),
            grad_weight_hh,
            rows.sum((0, 1)),
            grad_bias_hh,
        )


def _rnn_steps(
    cell: str, inputs: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """From [steps, batch, inputs] to the states, the initial one first: [steps + 1, batch, units]."""
    bias, recurrent = bias_ih + bias_hh, weight_hh.t().contiguous()
    hidden = state.new_empty(len(inputs) + 1, *state.shape[1:])
    if cell == "rnn_relu":
        hidden[0] = state[0]
        _rnn_chain(torch.relu_, hidden, inputs, weight_ih, recurrent, bias)
        return hidden
    hidden[0] = (state[0] + 1) / 2
    _rnn_chain(torch.sigmoid_, hidden, inputs, 2 * weight_ih, 4 * recurrent, 2 * (bias - weight_hh.sum(1)))
    return _shifted_back(hidden, state)


def _rnn_chain(
    activate: Activation, hidden: Tensor, inputs: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor
) -> None:
    """Fill in all states but the first. The recurrent weights are [units before, units after]."""
    torch.addmm(bias, inputs.flatten(0, 1), weight.t(), out=hidden[1:].flatten(0, 1))
    for before, after in pairwise(hidden.unbind()):
        activate(after.addmm_(before, recurrent))


def _rnn_slopes(cell: str, hidden: Tensor) -> Tensor:
    """The activation's derivative, by its value."""
    if cell == "rnn_relu":
        return hidden.sign()
    return torch.addcmul(hidden.new_ones(()), hidden, hidden, value=-1)


def _gru_steps(
    inputs: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The states, the initial one first, [steps + 1, batch, units]; for the backward pass r, z and q [steps, batch,
    3 units] and (n + 1) / 2 [steps, batch, units]."""
    (steps, batch, _), units = inputs.shape, state.shape[2]
    two = slice(2 * units)
    shares = bias_hh - weight_hh.sum(1)
    gates, flat = inputs.new_empty(steps, batch, 3 * units), inputs.flatten(0, 1)
    torch.addmm(bias_ih[two] + shares[two], flat, weight_ih[two].t(), out=gates.flatten(0, 1)[:, two])
    gates[:, :, 2 * units :] = shares[2 * units :]
    news = torch.addmm(2 * bias_ih[2 * units :], flat, weight_ih[2 * units :].t(), alpha=2).view(steps, batch, units)
    hidden = inputs.new_empty(steps + 1, batch, units)
    hidden[0] = (state[0] + 1) / 2
    _gru_chain(hidden, gates, news, 2 * weight_hh.t().contiguous())
    return _shifted_back(hidden, state), gates, news


def _gru_chain(hidden: Tensor, gates: Tensor, news: Tensor, recurrent: Tensor) -> None:
    """Fill in all states but the first; gates and news hold what the inputs and biases give to them."""
    states = hidden.unbind()
    two_gates = gates[:, :, : 2 * hidden.shape[2]]
    r, z, q = (gate.unbind() for gate in _by_gate(gates).unbind(2))
    columns = (states, states[1:], gates.unbind(), two_gates.unbind(), r, z, q, news.unbind())
    for before, after, all_three, r_and_z, reset, kept, share, new in zip(*columns, strict=False):
        all_three.addmm_(before, recurrent)
        r_and_z.sigmoid_()
        new.addcmul_(reset, share, value=2).sigmoid_()
        torch.lerp(new, before, kept, out=after)


def _gru_slopes(hidden: Tensor, gates: Tensor, news: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of a state by what goes into r and z and by q [steps, batch, 3 units], and by what goes into n
    [steps, batch, units]."""
    r, z, q = _by_gate(gates).unbind(2)
    slopes = torch.empty_like(gates)
    by_r, by_z, by_q = _by_gate(slopes).unbind(2)
    by_n = _sigmoid_backward(torch.rsub(z, 4, alpha=4), news)
    torch.mul(by_n, r, out=by_q)
    _sigmoid_backward(by_n * q, r, grad_input=by_r)
    _sigmoid_backward(torch.sub(hidden[:-1], news, alpha=2).add_(1), z, grad_input=by_z)
    return slopes, by_n


def _by_gate(gates: Tensor) -> Tensor:
    """[steps, batch, 3 units] as [steps, batch, 3, units]."""
    return gates.view(*gates.shape[:2], 3, -1)


def _shifted_back(hidden: Tensor, state: Tensor) -> Tensor:
    """From (h + 1) / 2 to h; the initial state as it was, to the bit."""
    hidden.mul_(2).sub_(1)
    hidden[0] = state[0]
    return hidden


def _outputs(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """[batch, steps, units] and the last state [1, batch, units]: copies, which whoever wants may change in place. In
    memory the steps come first, as the next layer wants them."""
    turned = hidden[1:].transpose(0, 1)
    outputs = turned.new_empty_strided(turned.shape, turned.stride())
    return outputs.copy_(turned), hidden[-1:].clone()


def _grad_hidden(hidden: Tensor, grad_outputs: Tensor | None, grad_last: Tensor | None) -> Tensor:
    """Gradients of the states, as far as they come from without: [steps + 1, batch, units]."""
    grads = torch.empty_like(hidden)
    grads[0] = 0
    grads[1:] = 0 if grad_outputs is None else grad_outputs.transpose(0, 1)
    if grad_last is not None:
        grads[-1] += grad_last[0]
    return grads


def _backwards(*columns: Tensor) -> Any:
    """The steps of each, together, the last one first."""
    return zip(*(column.unbind()[::-1] for column in columns), strict=True)


def _over_steps(rows: Tensor, values: Tensor) -> Tensor:
    """A weight's gradient [rows, values], from [steps, batch, rows] and [steps, batch, values]."""
    flat_rows, flat_values = rows.flatten(0, 1), values.flatten(0, 1)
    if flat_values.shape[1] < flat_rows.shape[1]:  # BLAS is twice as fast this way where the values are narrow
        return (flat_values.t() @ flat_rows).t()
    return flat_rows.t() @ flat_values


def _grad_values(rows: Tensor, weight_ih: Tensor) -> Tensor:
    """[batch, steps, inputs]."""
    return (rows.flatten(0, 1) @ weight_ih).view(*rows.shape[:2], -1).transpose(0, 1)
