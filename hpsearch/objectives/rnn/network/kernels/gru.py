"""The GRU's passes."""

import numpy as np

from hpsearch.objectives.rnn.network.kernels.activations import to_sigmoid, to_tanh
from hpsearch.objectives.rnn.network.kernels.compiling import Array, kernel, part
from hpsearch.objectives.rnn.network.kernels.gates import (
    add_back,
    add_gate,
    sums_of,
    write_input_weights,
    write_inputs,
    write_state_weights,
)
from hpsearch.objectives.rnn.network.kernels.memory import (
    add_bias,
    add_rows,
    clear,
    columns_of,
    fill,
    numbers_at,
    rows_of,
    take_step,
    width_of,
    write_rows,
)


@part
def _gru_kept(kept: Array, steps: int, batch: int, units: int, features: int) -> tuple[Array, Array, Array]:
    """Gates r, z, n, and q = U_n h + c_n [4, steps, block]; the hidden states, the first ones before them
    [steps + 1, block]; the inputs [steps, batch * features]."""
    size = batch * width_of(units)
    some, more = steps * size, (steps + 1) * size
    gates, rest = kept[: 4 * some].reshape((4, steps, size)), kept[4 * some :]
    return gates, rest[:more].reshape((steps + 1, size)), rest[more:].reshape((steps, batch * features))


@kernel
def gru_forward(
    kept: Array, batch: int, steps: int, features: int, units: int, is_kept: bool, values: int, by_batch: int,
    by_step: int, hidden_first: int, weight_ih: int, weight_hh: int, bias_ih: int, bias_hh: int, outputs: int,
    last: int,
) -> None:  # fmt: skip
    """As `lstm_forward`."""
    size = batch * width_of(units)
    gates, hidden, inputs = _gru_kept(kept, steps if is_kept else 1, batch, units, features)
    columns_ih = columns_of(numbers_at(kept, weight_ih, 3 * units * features), 3, features, units)
    columns_hh = columns_of(numbers_at(kept, weight_hh, 3 * units * units), 3, units, units)
    biases = np.zeros((4, size // batch), kept.dtype)
    for gate in range(3):
        add_bias(biases[gate], numbers_at(kept, bias_ih, 3 * units), gate, units)
        add_bias(biases[3 if gate == 2 else gate], numbers_at(kept, bias_hh, 3 * units), gate, units)
    clear(hidden[0])
    add_rows(hidden[0], hidden_first, batch, units, units, 1)
    after = 0
    for step in range(steps):
        before, at = after, step if is_kept else 0
        after = step + 1 if is_kept else 1 - before
        take_step(inputs[at], values + step * by_step * kept.itemsize, batch, features, by_batch)
        for gate in range(4):
            fill(gates[gate, at], biases[gate])
            if gate < 3:
                add_gate(gates[gate, at], inputs[at], columns_ih[gate], batch)
            if gate != 2:
                add_gate(gates[gate, at], hidden[before], columns_hh[min(gate, 2)], batch)
        _gru_step(gates, at, hidden[before], hidden[after])
        write_rows(hidden[after], outputs + step * batch * units * kept.itemsize, batch, units)
    write_rows(hidden[after], last, batch, units)


@part
def _gru_step(gates: Array, step: int, before: Array, hidden: Array) -> None:
    r, z, n, q = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    to_sigmoid(r)
    to_sigmoid(z)
    for k in range(n.size):
        n[k] += r[k] * q[k]
    to_tanh(n)
    for k in range(hidden.size):
        hidden[k] = n[k] + z[k] * (before[k] - n[k])


@kernel
def gru_backward(
    kept: Array, batch: int, steps: int, features: int, units: int, outputs: int, by_batch: int, by_step: int,
    by_unit: int, last: int, weight_ih: int, weight_hh: int, values: int, hidden_first: int, grad_ih: int, grad_hh: int,
    grad_bias_ih: int, grad_bias_hh: int,
) -> None:  # fmt: skip
    """As `lstm_backward`."""
    gates, hidden, inputs = _gru_kept(kept, steps, batch, units, features)
    slopes = np.empty_like(gates)
    by_hidden = np.zeros(gates.shape[2], kept.dtype)
    rows = rows_of(numbers_at(kept, weight_hh, 3 * units * units), 3, units, units)
    add_rows(by_hidden, last, batch, units, units, 1)
    for step in range(steps - 1, -1, -1):
        if outputs != 0:
            add_rows(by_hidden, outputs + step * by_step * kept.itemsize, batch, units, by_batch, by_unit)
        _gru_slopes(by_hidden, gates, hidden[step], slopes, step)
        for gate in (0, 1, 3):
            add_back(by_hidden, slopes[gate, step], rows[min(gate, 2)], batch)
    write_rows(by_hidden, hidden_first, batch, units)
    write_inputs(slopes, 3, batch, units, features, weight_ih, values)
    sums = sums_of(slopes, width_of(units))
    write_input_weights(slopes, 3, inputs.reshape(-1), units, features, sums, grad_ih, grad_bias_ih)
    write_state_weights(slopes, 3, hidden, steps, units, sums, grad_hh, grad_bias_hh)


@part
def _gru_slopes(by_hidden: Array, gates: Array, before: Array, slopes: Array, step: int) -> None:
    """Of what goes into r, z and n, and of q; `by_hidden` becomes that of the step before, as far as z kept it."""
    one = by_hidden.dtype.type(1)
    r, z, n, q = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    by_r, by_z, by_n, by_q = slopes[0, step], slopes[1, step], slopes[2, step], slopes[3, step]
    for k in range(by_n.size):
        by_n[k] = by_hidden[k] * (one - z[k]) * (one - n[k] * n[k])
    for k in range(by_z.size):
        by_z[k] = by_hidden[k] * (before[k] - n[k]) * z[k] * (one - z[k])
    for k in range(by_q.size):
        by_q[k] = by_n[k] * r[k]
    for k in range(by_r.size):
        by_r[k] = by_n[k] * q[k] * r[k] * (one - r[k])
    for k in range(by_hidden.size):
        by_hidden[k] *= z[k]
