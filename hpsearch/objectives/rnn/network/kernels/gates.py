"""What goes into a gate and comes back through it, at a step and, for its weights, over all steps."""

import numpy as np

from hpsearch.objectives.rnn.network.kernels.compiling import Array, part
from hpsearch.objectives.rnn.network.kernels.memory import numbers_at, rows_of, width_of, write_rows
from hpsearch.objectives.rnn.network.kernels.products import add_product


@part
def add_gate(out: Array, values: Array, columns: Array, batch: int) -> None:
    """To a block [batch * width] a gate's product of values [batch * inputs], filled up or not, with columns
    [inputs * width]."""
    width = out.size // batch
    inputs = columns.size // width
    add_product(out, 0, width, values, 0, values.size // batch, 1, columns, 0, width, inputs, batch, width)


@part
def add_back(out: Array, slope: Array, rows: Array, batch: int) -> None:
    """To a block's gradient what comes back through a gate's product: of slopes [batch * width] and rows
    [units * width]."""
    width = out.size // batch
    add_product(out, 0, width, slope, 0, width, 1, rows, 0, width, rows.size // width, batch, width)


@part
def write_input_weights(
    slopes: Array, gates: int, inputs: Array, units: int, features: int, sums: Array, weight: int, bias: int
) -> None:
    """Gradients of the inputs' weights [gates * units, features], in one product over all steps, and of their biases;
    the gates are the first ones of the slopes."""
    width, rows = width_of(units), inputs.size // features
    out = numbers_at(inputs, weight, gates * units * features)
    out_bias = numbers_at(inputs, bias, gates * units)
    for gate in range(gates):
        at = gate * units
        turned = np.zeros(features * width, inputs.dtype)
        add_product(turned, 0, width, inputs, 0, 1, features, slopes[gate].reshape(-1), 0, width, rows, features, width)
        for j in range(units):
            out_bias[at + j] = sums[gate, j]
            for i in range(features):
                out[(at + j) * features + i] = turned[i * width + j]


@part
def write_state_weights(
    slopes: Array, gates: int, hidden: Array, steps: int, units: int, sums: Array, weight: int, bias: int
) -> None:
    """The same of the states' weights [gates * units, units]; the last gate is the last one of the slopes. The hidden
    states are those before each step and, unused, after the last."""
    width = width_of(units)
    states = hidden.reshape(-1)[: steps * hidden.shape[1]]
    rows = states.size // width
    out_bias = numbers_at(hidden, bias, gates * units)
    for place in range(gates):
        gate, at = len(slopes) - 1 if place == gates - 1 else place, place * units
        filled = np.zeros(width * width, hidden.dtype)
        add_product(filled, 0, width, slopes[gate].reshape(-1), 0, 1, width, states, 0, width, rows, width, width)
        write_rows(filled[: units * width], weight + at * units * filled.itemsize, units, units)
        for j in range(units):
            out_bias[at + j] = sums[gate, j]


@part
def sums_of(slopes: Array, width: int) -> Array:
    """Over all rows of width: [gates, width]."""
    gates, steps, size = slopes.shape
    sums = np.zeros((gates, width), slopes.dtype)
    for gate in range(gates):
        total = sums[gate]
        for step in range(steps):
            slope = slopes[gate, step]
            for begin in range(0, size, width):
                for j in range(width):
                    total[j] += slope[begin + j]
    return sums


@part
def write_inputs(slopes: Array, gates: int, batch: int, units: int, features: int, weight: int, out: int) -> None:
    """Gradients of the inputs, [steps, batch, features]."""
    if out == 0:
        return
    count, width = slopes.shape[1] * batch, width_of(features)
    rows = rows_of(numbers_at(slopes, weight, gates * units * features), gates, features, units)
    filled = np.zeros(count * width, slopes.dtype)
    for gate in range(gates):
        slope = slopes[gate].reshape(-1)
        add_product(filled, 0, width, slope, 0, width_of(units), 1, rows[gate], 0, width, units, count, width)
    write_rows(filled, out, count, features)
