"""The LSTM's passes."""

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
def _lstm_kept(
    kept: Array, steps: int, batch: int, units: int, features: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Gates i, f, g, o [4, steps, block]; the hidden states and the cells', the first ones before them
    [steps + 1, block]; the cells' tanh [steps, block]; the inputs [steps, batch * features]."""
    size = batch * width_of(units)
    some, more = steps * size, (steps + 1) * size
    gates, rest = kept[: 4 * some].reshape((4, steps, size)), kept[4 * some :]
    hidden, cells = rest[:more].reshape((steps + 1, size)), rest[more : 2 * more].reshape((steps + 1, size))
    rest = rest[2 * more :]
    return gates, hidden, cells, rest[:some].reshape((steps, size)), rest[some:].reshape((steps, batch * features))


@kernel
def lstm_forward(
    kept: Array, batch: int, steps: int, features: int, units: int, is_kept: bool, values: int, by_batch: int,
    by_step: int, hidden_first: int, cells_first: int, weight_ih: int, weight_hh: int, bias_ih: int, bias_hh: int,
    outputs: int, last: int, last_cells: int,
) -> None:  # fmt: skip
    """From values [batch, steps, features] and first states [batch, units] to all hidden states
    [steps, batch, units], and the last ones and the cells' [batch, units]. Nothing kept: of one step alone."""
    size = batch * width_of(units)
    gates, hidden, cells, tanhs, inputs = _lstm_kept(kept, steps if is_kept else 1, batch, units, features)
    columns_ih = columns_of(numbers_at(kept, weight_ih, 4 * units * features), 4, features, units)
    columns_hh = columns_of(numbers_at(kept, weight_hh, 4 * units * units), 4, units, units)
    biases = np.zeros((4, size // batch), kept.dtype)
    for gate in range(4):
        add_bias(biases[gate], numbers_at(kept, bias_ih, 4 * units), gate, units)
        add_bias(biases[gate], numbers_at(kept, bias_hh, 4 * units), gate, units)
    clear(hidden[0])
    clear(cells[0])
    add_rows(hidden[0], hidden_first, batch, units, units, 1)
    add_rows(cells[0], cells_first, batch, units, units, 1)
    after = 0
    for step in range(steps):
        before, at = after, step if is_kept else 0
        after = step + 1 if is_kept else 1 - before
        take_step(inputs[at], values + step * by_step * kept.itemsize, batch, features, by_batch)
        for gate in range(4):
            fill(gates[gate, at], biases[gate])
            add_gate(gates[gate, at], inputs[at], columns_ih[gate], batch)
            add_gate(gates[gate, at], hidden[before], columns_hh[gate], batch)
        for gate in (0, 1, 3):
            to_sigmoid(gates[gate, at])
        to_tanh(gates[2, at])
        _lstm_step(gates, at, cells[before], cells[after], tanhs[at], hidden[after])
        write_rows(hidden[after], outputs + step * batch * units * kept.itemsize, batch, units)
    write_rows(hidden[after], last, batch, units)
    write_rows(cells[after], last_cells, batch, units)


@part
def _lstm_step(gates: Array, step: int, before: Array, cells: Array, tanhs: Array, hidden: Array) -> None:
    i, f, g, o = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    for k in range(cells.size):
        cells[k] = f[k] * before[k] + i[k] * g[k]
    for k in range(tanhs.size):
        tanhs[k] = cells[k]
    to_tanh(tanhs)
    for k in range(hidden.size):
        hidden[k] = o[k] * tanhs[k]


@kernel
def lstm_backward(
    kept: Array, batch: int, steps: int, features: int, units: int, outputs: int, by_batch: int, by_step: int,
    by_unit: int, last: int, last_cells: int, weight_ih: int, weight_hh: int, values: int, hidden_first: int,
    cells_first: int, grad_ih: int, grad_hh: int, grad_bias_ih: int, grad_bias_hh: int,
) -> None:  # fmt: skip
    """From the gradients of what `lstm_forward` gave, that of all hidden states being so far apart in memory, to those
    of values [steps, batch, features], first states, weights and biases."""
    gates, hidden, cells, tanhs, inputs = _lstm_kept(kept, steps, batch, units, features)
    slopes = np.empty_like(gates)
    by_hidden, by_cells = np.zeros(gates.shape[2], kept.dtype), np.zeros(gates.shape[2], kept.dtype)
    rows = rows_of(numbers_at(kept, weight_hh, 4 * units * units), 4, units, units)
    add_rows(by_hidden, last, batch, units, units, 1)
    add_rows(by_cells, last_cells, batch, units, units, 1)
    for step in range(steps - 1, -1, -1):
        if outputs != 0:
            add_rows(by_hidden, outputs + step * by_step * kept.itemsize, batch, units, by_batch, by_unit)
        _lstm_slopes(by_hidden, by_cells, gates, cells[step], tanhs[step], slopes, step)
        clear(by_hidden)
        for gate in range(4):
            add_back(by_hidden, slopes[gate, step], rows[gate], batch)
    write_rows(by_hidden, hidden_first, batch, units)
    write_rows(by_cells, cells_first, batch, units)
    write_inputs(slopes, 4, batch, units, features, weight_ih, values)
    sums = sums_of(slopes, width_of(units))
    write_input_weights(slopes, 4, inputs.reshape(-1), units, features, sums, grad_ih, grad_bias_ih)
    write_state_weights(slopes, 4, hidden, steps, units, sums, grad_hh, grad_bias_hh)


@part
def _lstm_slopes(
    by_hidden: Array, by_cells: Array, gates: Array, before: Array, tanhs: Array, slopes: Array, step: int
) -> None:
    """Of what goes into the gates; `by_cells` becomes that of the step before."""
    one = by_hidden.dtype.type(1)
    i, f, g, o = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    by_i, by_f, by_g, by_o = slopes[0, step], slopes[1, step], slopes[2, step], slopes[3, step]
    for k in range(by_o.size):
        by_o[k] = by_hidden[k] * tanhs[k] * o[k] * (one - o[k])
    for k in range(by_cells.size):
        by_cells[k] += by_hidden[k] * o[k] * (one - tanhs[k] * tanhs[k])
    for k in range(by_i.size):
        by_i[k] = by_cells[k] * g[k] * i[k] * (one - i[k])
    for k in range(by_g.size):
        by_g[k] = by_cells[k] * i[k] * (one - g[k] * g[k])
    for k in range(by_f.size):
        by_f[k] = by_cells[k] * before[k] * f[k] * (one - f[k])
    for k in range(by_cells.size):
        by_cells[k] *= f[k]
