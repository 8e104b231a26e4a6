"""Torch's memory, and ours: by gate, its rows filled up to whole vectors."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from hpsearch.objectives.rnn.network.kernels.compiling import Array, part
from hpsearch.objectives.rnn.network.kernels.products import LANES


def _pointer_of(_context: Any, like: Any, _address: Any) -> Any:
    def written(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[1], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(like, types.intp), written


_pointer = intrinsic(_pointer_of)


@part
def numbers_at(like: Array, address: int, count: int) -> Array:
    """Torch's memory, of the type of another array."""
    found: Array = carray(_pointer(like, address), (count,))
    return found


@part
def width_of(units: int) -> int:
    """In memory."""
    return -(-units // LANES) * LANES


@part
def columns_of(weight: Array, gates: int, inputs: int, units: int) -> Array:
    """[gates, units, inputs] turned: [gates, inputs * width], a gate's columns side by side."""
    width = width_of(units)
    out = np.zeros((gates, inputs * width), weight.dtype)
    for gate in range(gates):
        columns, at = out[gate], gate * units * inputs
        for j in range(units):
            for i in range(inputs):
                columns[i * width + j] = weight[at + j * inputs + i]
    return out


@part
def rows_of(weight: Array, gates: int, inputs: int, units: int) -> Array:
    """[gates, units, inputs], its rows filled up: [gates, units * width of inputs]."""
    width = width_of(inputs)
    out = np.zeros((gates, units * width), weight.dtype)
    for gate in range(gates):
        rows, at = out[gate], gate * units * inputs
        for j in range(units):
            for i in range(inputs):
                rows[j * width + i] = weight[at + j * inputs + i]
    return out


@part
def clear(block: Array) -> None:
    zero = block.dtype.type(0)
    for k in range(block.size):
        block[k] = zero


@part
def add_bias(row: Array, bias: Array, gate: int, units: int) -> None:
    """A gate's biases to a row [width]."""
    for j in range(units):
        row[j] += bias[gate * units + j]


@part
def fill(block: Array, row: Array) -> None:
    """All rows of a block [batch * width] with the same."""
    width = row.size
    for begin in range(0, block.size, width):
        for j in range(width):
            block[begin + j] = row[j]


@part
def add_rows(block: Array, address: int, batch: int, units: int, by_row: int, by_unit: int) -> None:
    """Numbers [batch, units], so far apart in torch's memory, to a block [batch * width]."""
    if address == 0:
        return
    values, width = numbers_at(block, address, (batch - 1) * by_row + (units - 1) * by_unit + 1), block.size // batch
    for row in range(batch):
        if by_unit == 1:
            for j in range(units):
                block[row * width + j] += values[row * by_row + j]
        else:
            for j in range(units):
                block[row * width + j] += values[row * by_row + j * by_unit]


@part
def write_rows(block: Array, address: int, rows: int, units: int) -> None:
    """A block [rows * width] to [rows, units]."""
    if address == 0:
        return
    out, width = numbers_at(block, address, rows * units), block.size // rows
    for row in range(rows):
        for j in range(units):
            out[row * units + j] = block[row * width + j]


@part
def take_step(out: Array, address: int, batch: int, features: int, by_batch: int) -> None:
    """A step's inputs [batch * features], of sequences that are so far apart in torch's memory."""
    values = numbers_at(out, address, (batch - 1) * by_batch + features)
    for row in range(batch):
        for i in range(features):
            out[row * features + i] = values[row * by_batch + i]
