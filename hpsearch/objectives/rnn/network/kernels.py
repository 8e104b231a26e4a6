"""Recurrent layers compiled for this processor by numba: whole passes, forwards and backwards, on one thread.

A small layer's time goes not into its products but into what surrounds them: torch spends microseconds on each of its
operations, oneDNN on each of its calls, and here a pass is one call. What it reads and writes is torch's memory, by
address, as an array each would take microseconds again; 0 is none: zeros to read, nothing to write. `kept` is what
the forward pass leaves to the backward pass, and its type, float32 or float64, is that of all numbers.

Within, memory is laid out by gate, [gates, steps, batch * width], where `width` is the units rounded up to whole
vectors: a gate at a step is one block, and what goes element by element is one loop that LLVM makes vectors of, if it
writes to one place alone. The units that fill up have weights and biases of zero: so have their states and gradients.

All is in this one file: numba's cache on disk looks at no other to see whether it is out of date.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

Array = np.ndarray[Any, np.dtype[Any]]

DEPTH = 128
"""Products that are added up at a time."""
LANES = 8
"""Numbers in a vector: of float32 in AVX. Where a processor has others, LLVM makes two or a half of one."""
IS_WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether a processor has AVX-512: vectors twice as long, and twice as many registers. No number depends on it."""
TILES = (1, 2, 3, 4, 5, 6) if IS_WIDE else (1, 2, 3)
"""Widths of tiles, in vectors."""


_OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
"""A product and a sum may become one operation, and nothing else: a NaN stays one, and each sum keeps its order."""


def _part(function: Callable[..., Any]) -> Any:
    """Compiled by numba into what calls it."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def _kernel(function: Callable[..., Any]) -> Any:
    """Compiled by numba at the first call; and kept on disk, where there is a folder to write to."""
    try:
        return njit(cache=True, nogil=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's own: once a process
        return njit(nogil=True, **_OPTIONS)(function)


# --- products --------------------------------------------------------------------------------------------------------


class _Tile:
    """The innermost part of a product, in LLVM's instructions, as LLVM does not find it by itself: so many rows and
    vectors of columns that all their sums stay in registers while product after product is added to them."""

    def __init__(self, rows: int, vectors: int) -> None:
        self._rows, self._vectors = rows, vectors

    def function(self, module: ir.Module, pointer: ir.PointerType, place: ir.IntType) -> ir.Function:
        """One a module: inlined wherever it is called, it would take seconds to compile."""
        name = f"hpsearch_tile_{self._rows}_{self._vectors}_{pointer.pointee}"
        if name in module.globals:
            return module.globals[name]
        kind = ir.FunctionType(ir.VoidType(), [*[pointer] * 3, *[place] * 5])
        function = ir.Function(module, kind, name)
        function.linkage = "linkonce_odr"
        for attribute in ("noinline", "nounwind"):
            function.attributes.add(attribute)
        self._write(ir.IRBuilder(function.append_basic_block()), *function.args)
        return function

    def _write(
        self, builder: ir.IRBuilder, out: Any, a: Any, b: Any, row: Any, a_row: Any, a_step: Any, b_step: Any,
        depth: Any,
    ) -> None:  # fmt: skip
        """Sums are loaded, added to in a loop over `depth`, and stored."""
        targets = [target for each in self._rows_at(builder, out, row) for target in self._vectors_at(builder, each)]
        rows = self._rows_at(builder, a, a_row)
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        firsts = [_load(builder, target) for target in targets]
        zero, one = depth.type(0), depth.type(1)
        builder.cbranch(builder.icmp_signed(">", depth, zero), loop, after)
        builder.position_at_end(loop)
        counters = [builder.phi(depth.type) for _ in range(3)]
        sums = [builder.phi(first.type) for first in firsts]
        nexts = [builder.add(*both) for both in zip(counters, (one, a_step, b_step), strict=True)]
        factors = [_load(builder, builder.gep(each, [counters[1]])) for each in rows]
        columns = [_load(builder, each) for each in self._vectors_at(builder, builder.gep(b, [counters[2]]))]
        nexts += _with_products(builder, sums, factors, columns)
        for phi, first, following in zip([*counters, *sums], [zero, zero, zero, *firsts], nexts, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", nexts[0], depth), loop, after)
        builder.position_at_end(after)
        results = [builder.phi(first.type) for first in firsts]
        for result, first, last in zip(results, firsts, nexts[3:], strict=True):
            result.add_incoming(first, before)
            result.add_incoming(last, loop)
        for result, target in zip(results, targets, strict=True):
            builder.store(result, target, align=_bytes(target))
        builder.ret_void()

    def _rows_at(self, builder: ir.IRBuilder, first: Any, apart: Any) -> list[Any]:
        return [builder.gep(first, [builder.mul(apart, apart.type(row))]) for row in range(self._rows)]

    def _vectors_at(self, builder: ir.IRBuilder, row: Any) -> list[Any]:
        """Of twice as many lanes where the processor has such, but for an odd one at the end."""
        lanes, number, index = LANES * (1 + IS_WIDE), row.type.pointee, ir.IntType(64)
        begins = range(0, LANES * self._vectors, lanes)
        kinds = [ir.VectorType(number, min(lanes, LANES * self._vectors - begin)) for begin in begins]
        return [
            builder.bitcast(builder.gep(row, [index(begin)]), kind.as_pointer())
            for begin, kind in zip(begins, kinds, strict=True)
        ]


def _with_products(builder: ir.IRBuilder, sums: list[Any], factors: list[Any], columns: list[Any]) -> list[Any]:
    """Each sum and the product of its row's factor with its column."""
    found = []
    for row, factor in enumerate(factors):
        spread = {column.type.count: _spread(builder, factor, column.type) for column in columns}
        for total, column in zip(sums[row * len(columns) :], columns, strict=False):
            product = builder.fmul(spread[column.type.count], column, flags=("contract",))
            found.append(builder.fadd(total, product, flags=("contract",)))
    return found


def _spread(builder: ir.IRBuilder, value: Any, vector: ir.VectorType) -> Any:
    """A number in all places of a vector."""
    index, nothing = ir.IntType(32), ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, index(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count))


def _load(builder: ir.IRBuilder, pointer: Any) -> Any:
    return builder.load(pointer, align=_bytes(pointer))


def _bytes(pointer: Any) -> int:
    """Of the numbers there: what their addresses are multiples of, those of vectors too."""
    kind = pointer.type.pointee
    return 4 if getattr(kind, "element", kind) == ir.FloatType() else 8


def _tile(rows: int) -> Any:
    """Adds a product of so many rows, and of as many vectors as are said last: one of `TILES`."""

    def typed(
        _context: Any, out: Any, _at: Any, _row: Any, a: Any, _a_at: Any, _a_row: Any, _a_step: Any, b: Any,
        _b_at: Any, _b_step: Any, _depth: Any, _vectors: Any,
    ) -> Any:  # fmt: skip
        size = types.intp
        arguments = (out, size, size, a, size, size, size, b, size, size, size, size)
        return types.void(*arguments), written

    def written(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        out, at, row, a, a_at, a_row, a_step, b, b_at, b_step, depth, vectors = arguments
        pointers = [
            builder.gep(context.make_array(signature.args[place])(context, builder, array).data, [begin])
            for place, array, begin in ((0, out, at), (3, a, a_at), (7, b, b_at))
        ]
        after = builder.append_basic_block()
        choice = builder.switch(vectors, after)
        for width in TILES:
            function = _Tile(rows, width).function(builder.module, pointers[0].type, depth.type)
            choice.add_case(vectors.type(width), block := builder.append_basic_block())
            builder.position_at_end(block)
            builder.call(function, [*pointers, row, a_row, a_step, b_step, depth])
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return intrinsic(typed)


_add_four_rows, _add_row = _tile(4), _tile(1)


@_part
def _add_product(
    out: Array, at: int, row: int, a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, b_step: int,
    depth: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """out[i, j] += the sum over k < depth of a[i, k] b[k, j], with a multiple of `LANES` columns.

    All three are of one dimension. Where they begin, and how far apart their rows (`b_step`: of b; `a_step`: a's
    columns) lie, is given; the columns of out and b lie side by side.
    """
    for begin in range(0, depth, DEPTH):
        part = min(DEPTH, depth - begin)
        a_from, b_from = a_at + begin * a_step, b_at + begin * b_step
        _add_part(out, at, row, a, a_from, a_row, a_step, b, b_from, b_step, part, rows, columns)


@_part
def _add_part(
    out: Array, at: int, row: int, a: Array, a_at: int, a_row: int, a_step: int, b: Array, b_at: int, b_step: int,
    depth: int, rows: int, columns: int,
) -> None:  # fmt: skip
    """The same of so few products that a and b stay in the nearest memory."""
    column = 0
    while column < columns:
        vectors = _next_tile((columns - column) // LANES)
        for i in range(0, rows - 3, 4):
            to, of = at + i * row + column, a_at + i * a_row
            _add_four_rows(out, to, row, a, of, a_row, a_step, b, b_at + column, b_step, depth, vectors)
        for i in range(rows // 4 * 4, rows):
            to, of = at + i * row + column, a_at + i * a_row
            _add_row(out, to, row, a, of, a_row, a_step, b, b_at + column, b_step, depth, vectors)
        column += LANES * vectors


@_part
def _next_tile(left: int) -> int:
    """How wide, where so many vectors are left: tiles are as even as can be, as narrow ones are slow."""
    count = -(-left // TILES[-1])
    return -(-left // count)


# --- functions of one number -----------------------------------------------------------------------------------------


def _singles(*values: float) -> tuple[Any, ...]:
    return tuple(map(np.float32, values))


_LOG2_E = np.float32(1.44269504)
_LN_2 = _singles(0.693359375, -2.12194440e-4)
"""In two parts, the first of so few digits that its multiples are exact."""
_EXP_RANGE = _singles(-87.0, 88.0)
_ROUNDER = np.float32(1.5 * 2**23)
"""A sum with it has no digits after the point; the last ones before it are the whole number's."""
_EXP = _singles(
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1
)  # fmt: skip
"""(e^r - 1 - r) / r^2 where |r| <= ln 2 / 2, the highest power first (`expf` of Moshier's Cephes)."""
_TANH_END = np.float32(7.90531110763549805)
"""From here on it is 1, to single precision."""
_TANH_P = _singles(
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05,
    6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = _singles(1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
"""tanh x = x p(x^2) / q(x^2), the highest powers first (Eigen's `ptanh`)."""


@_part
def _single_exp(x: Any) -> Any:
    """e^x to 2 units in the last place, in operations that vectors have."""
    x = _EXP_RANGE[1] if x > _EXP_RANGE[1] else x
    x = _EXP_RANGE[0] if x < _EXP_RANGE[0] else x
    shifted = x * _LOG2_E + _ROUNDER
    power = shifted - _ROUNDER
    r = x - power * _LN_2[0] - power * _LN_2[1]
    p = ((((_EXP[0] * r + _EXP[1]) * r + _EXP[2]) * r + _EXP[3]) * r + _EXP[4]) * r + _EXP[5]
    two_to_power = np.int32((np.float32(shifted).view(np.int32) + 127) << 23).view(np.float32)
    return (p * r * r + r + np.float32(1)) * two_to_power


@_part
def _single_tanh(x: Any) -> Any:
    x = _TANH_END if x > _TANH_END else x
    x = -_TANH_END if x < -_TANH_END else x
    s, p, q = x * x, _TANH_P, _TANH_Q
    above = (((((p[0] * s + p[1]) * s + p[2]) * s + p[3]) * s + p[4]) * s + p[5]) * s + p[6]
    return x * above / (((q[0] * s + q[1]) * s + q[2]) * s + q[3])


def _sigmoid(x: Any) -> Any:
    raise NotImplementedError("compiled alone")


def _tanh(x: Any) -> Any:
    raise NotImplementedError("compiled alone")


def _sigmoid_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: np.float32(1) / (np.float32(1) + _single_exp(-x))
    return lambda x: 1 / (1 + np.exp(-x))


def _tanh_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: _single_tanh(x)  # noqa: PLW0108 (it is compiled already)
    return lambda x: np.tanh(x)  # noqa: PLW0108


# numba holds signatures to be different that are not annotated alike, and lambdas are not
overload(_sigmoid, jit_options=_OPTIONS)(lambda x: _sigmoid_of(x))  # noqa: PLW0108
overload(_tanh, jit_options=_OPTIONS)(lambda x: _tanh_of(x))  # noqa: PLW0108


@_part
def _to_sigmoid(values: Array) -> None:
    """In place, as below."""
    for k in range(values.size):
        values[k] = _sigmoid(values[k])


@_part
def _to_tanh(values: Array) -> None:
    for k in range(values.size):
        values[k] = _tanh(values[k])


# --- memory ----------------------------------------------------------------------------------------------------------


def _pointer_of(_context: Any, like: Any, _address: Any) -> Any:
    def written(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[1], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(like, types.intp), written


_pointer = intrinsic(_pointer_of)


@_part
def _numbers(like: Array, address: int, count: int) -> Array:
    """Torch's memory, of the type of another array."""
    found: Array = carray(_pointer(like, address), (count,))
    return found


@_part
def _width(units: int) -> int:
    """In memory."""
    return -(-units // LANES) * LANES


@_part
def _columns(weight: Array, gates: int, inputs: int, units: int) -> Array:
    """[gates, units, inputs] turned: [gates, inputs * width], a gate's columns side by side."""
    width = _width(units)
    out = np.zeros((gates, inputs * width), weight.dtype)
    for gate in range(gates):
        columns, at = out[gate], gate * units * inputs
        for j in range(units):
            for i in range(inputs):
                columns[i * width + j] = weight[at + j * inputs + i]
    return out


@_part
def _rows(weight: Array, gates: int, inputs: int, units: int) -> Array:
    """[gates, units, inputs], its rows filled up: [gates, units * width of inputs]."""
    width = _width(inputs)
    out = np.zeros((gates, units * width), weight.dtype)
    for gate in range(gates):
        rows, at = out[gate], gate * units * inputs
        for j in range(units):
            for i in range(inputs):
                rows[j * width + i] = weight[at + j * inputs + i]
    return out


@_part
def _clear(block: Array) -> None:
    zero = block.dtype.type(0)
    for k in range(block.size):
        block[k] = zero


@_part
def _add_bias(row: Array, bias: Array, gate: int, units: int) -> None:
    """A gate's biases to a row [width]."""
    for j in range(units):
        row[j] += bias[gate * units + j]


@_part
def _fill(block: Array, row: Array) -> None:
    """All rows of a block [batch * width] with the same."""
    width = row.size
    for begin in range(0, block.size, width):
        for j in range(width):
            block[begin + j] = row[j]


@_part
def _add_rows(block: Array, address: int, batch: int, units: int, by_row: int, by_unit: int) -> None:
    """Numbers [batch, units], so far apart in torch's memory, to a block [batch * width]."""
    if address == 0:
        return
    values, width = _numbers(block, address, (batch - 1) * by_row + (units - 1) * by_unit + 1), block.size // batch
    for row in range(batch):
        if by_unit == 1:
            for j in range(units):
                block[row * width + j] += values[row * by_row + j]
        else:
            for j in range(units):
                block[row * width + j] += values[row * by_row + j * by_unit]


@_part
def _write_rows(block: Array, address: int, rows: int, units: int) -> None:
    """A block [rows * width] to [rows, units]."""
    if address == 0:
        return
    out, width = _numbers(block, address, rows * units), block.size // rows
    for row in range(rows):
        for j in range(units):
            out[row * units + j] = block[row * width + j]


@_part
def _take_step(out: Array, address: int, batch: int, features: int, by_batch: int) -> None:
    """A step's inputs [batch * features], of sequences that are so far apart in torch's memory."""
    values = _numbers(out, address, (batch - 1) * by_batch + features)
    for row in range(batch):
        for i in range(features):
            out[row * features + i] = values[row * by_batch + i]


# --- over all steps --------------------------------------------------------------------------------------------------


@_part
def _add_gate(out: Array, values: Array, columns: Array, batch: int) -> None:
    """To a block [batch * width] a gate's product of values [batch * inputs], filled up or not, with columns
    [inputs * width]."""
    width = out.size // batch
    inputs = columns.size // width
    _add_product(out, 0, width, values, 0, values.size // batch, 1, columns, 0, width, inputs, batch, width)


@_part
def _add_back(out: Array, slope: Array, rows: Array, batch: int) -> None:
    """To a block's gradient what comes back through a gate's product: of slopes [batch * width] and rows
    [units * width]."""
    width = out.size // batch
    _add_product(out, 0, width, slope, 0, width, 1, rows, 0, width, rows.size // width, batch, width)


@_part
def _write_input_weights(
    slopes: Array, gates: int, inputs: Array, units: int, features: int, sums: Array, weight: int, bias: int
) -> None:
    """Gradients of the inputs' weights [gates * units, features], in one product over all steps, and of their biases;
    the gates are the first ones of the slopes."""
    width, rows = _width(units), inputs.size // features
    out = _numbers(inputs, weight, gates * units * features)
    out_bias = _numbers(inputs, bias, gates * units)
    for gate in range(gates):
        at = gate * units
        turned = np.zeros(features * width, inputs.dtype)
        _add_product(
            turned, 0, width, inputs, 0, 1, features, slopes[gate].reshape(-1), 0, width, rows, features, width
        )
        for j in range(units):
            out_bias[at + j] = sums[gate, j]
            for i in range(features):
                out[(at + j) * features + i] = turned[i * width + j]


@_part
def _write_state_weights(
    slopes: Array, gates: int, hidden: Array, steps: int, units: int, sums: Array, weight: int, bias: int
) -> None:
    """The same of the states' weights [gates * units, units]; the last gate is the last one of the slopes. The hidden
    states are those before each step and, unused, after the last."""
    width = _width(units)
    states = hidden.reshape(-1)[: steps * hidden.shape[1]]
    rows = states.size // width
    out_bias = _numbers(hidden, bias, gates * units)
    for place in range(gates):
        gate, at = len(slopes) - 1 if place == gates - 1 else place, place * units
        filled = np.zeros(width * width, hidden.dtype)
        _add_product(filled, 0, width, slopes[gate].reshape(-1), 0, 1, width, states, 0, width, rows, width, width)
        _write_rows(filled[: units * width], weight + at * units * filled.itemsize, units, units)
        for j in range(units):
            out_bias[at + j] = sums[gate, j]


@_part
def _sums(slopes: Array, width: int) -> Array:
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


@_part
def _write_inputs(slopes: Array, gates: int, batch: int, units: int, features: int, weight: int, out: int) -> None:
    """Gradients of the inputs, [steps, batch, features]."""
    if out == 0:
        return
    count, width = slopes.shape[1] * batch, _width(features)
    rows = _rows(_numbers(slopes, weight, gates * units * features), gates, features, units)
    filled = np.zeros(count * width, slopes.dtype)
    for gate in range(gates):
        slope = slopes[gate].reshape(-1)
        _add_product(filled, 0, width, slope, 0, _width(units), 1, rows[gate], 0, width, units, count, width)
    _write_rows(filled, out, count, features)


# --- LSTM ------------------------------------------------------------------------------------------------------------


@_part
def _lstm_kept(
    kept: Array, steps: int, batch: int, units: int, features: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Gates i, f, g, o [4, steps, block]; the hidden states and the cells', the first ones before them
    [steps + 1, block]; the cells' tanh [steps, block]; the inputs [steps, batch * features]."""
    size = batch * _width(units)
    some, more = steps * size, (steps + 1) * size
    gates, rest = kept[: 4 * some].reshape((4, steps, size)), kept[4 * some :]
    hidden, cells = rest[:more].reshape((steps + 1, size)), rest[more : 2 * more].reshape((steps + 1, size))
    rest = rest[2 * more :]
    return gates, hidden, cells, rest[:some].reshape((steps, size)), rest[some:].reshape((steps, batch * features))


@_kernel
def lstm_forward(
    kept: Array, batch: int, steps: int, features: int, units: int, is_kept: bool, values: int, by_batch: int,
    by_step: int, hidden_first: int, cells_first: int, weight_ih: int, weight_hh: int, bias_ih: int, bias_hh: int,
    outputs: int, last: int, last_cells: int,
) -> None:  # fmt: skip
    """From values [batch, steps, features] and first states [batch, units] to all hidden states
    [steps, batch, units], and the last ones and the cells' [batch, units]. Nothing kept: of one step alone."""
    size = batch * _width(units)
    gates, hidden, cells, tanhs, inputs = _lstm_kept(kept, steps if is_kept else 1, batch, units, features)
    columns_ih = _columns(_numbers(kept, weight_ih, 4 * units * features), 4, features, units)
    columns_hh = _columns(_numbers(kept, weight_hh, 4 * units * units), 4, units, units)
    biases = np.zeros((4, size // batch), kept.dtype)
    for gate in range(4):
        _add_bias(biases[gate], _numbers(kept, bias_ih, 4 * units), gate, units)
        _add_bias(biases[gate], _numbers(kept, bias_hh, 4 * units), gate, units)
    _clear(hidden[0])
    _clear(cells[0])
    _add_rows(hidden[0], hidden_first, batch, units, units, 1)
    _add_rows(cells[0], cells_first, batch, units, units, 1)
    after = 0
    for step in range(steps):
        before, at = after, step if is_kept else 0
        after = step + 1 if is_kept else 1 - before
        _take_step(inputs[at], values + step * by_step * kept.itemsize, batch, features, by_batch)
        for gate in range(4):
            _fill(gates[gate, at], biases[gate])
            _add_gate(gates[gate, at], inputs[at], columns_ih[gate], batch)
            _add_gate(gates[gate, at], hidden[before], columns_hh[gate], batch)
        for gate in (0, 1, 3):
            _to_sigmoid(gates[gate, at])
        _to_tanh(gates[2, at])
        _lstm_step(gates, at, cells[before], cells[after], tanhs[at], hidden[after])
        _write_rows(hidden[after], outputs + step * batch * units * kept.itemsize, batch, units)
    _write_rows(hidden[after], last, batch, units)
    _write_rows(cells[after], last_cells, batch, units)


@_part
def _lstm_step(gates: Array, step: int, before: Array, cells: Array, tanhs: Array, hidden: Array) -> None:
    i, f, g, o = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    for k in range(cells.size):
        cells[k] = f[k] * before[k] + i[k] * g[k]
    for k in range(tanhs.size):
        tanhs[k] = cells[k]
    _to_tanh(tanhs)
    for k in range(hidden.size):
        hidden[k] = o[k] * tanhs[k]


@_kernel
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
    rows = _rows(_numbers(kept, weight_hh, 4 * units * units), 4, units, units)
    _add_rows(by_hidden, last, batch, units, units, 1)
    _add_rows(by_cells, last_cells, batch, units, units, 1)
    for step in range(steps - 1, -1, -1):
        if outputs != 0:
            _add_rows(by_hidden, outputs + step * by_step * kept.itemsize, batch, units, by_batch, by_unit)
        _lstm_slopes(by_hidden, by_cells, gates, cells[step], tanhs[step], slopes, step)
        _clear(by_hidden)
        for gate in range(4):
            _add_back(by_hidden, slopes[gate, step], rows[gate], batch)
    _write_rows(by_hidden, hidden_first, batch, units)
    _write_rows(by_cells, cells_first, batch, units)
    _write_inputs(slopes, 4, batch, units, features, weight_ih, values)
    sums = _sums(slopes, _width(units))
    _write_input_weights(slopes, 4, inputs.reshape(-1), units, features, sums, grad_ih, grad_bias_ih)
    _write_state_weights(slopes, 4, hidden, steps, units, sums, grad_hh, grad_bias_hh)


@_part
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


# --- GRU -------------------------------------------------------------------------------------------------------------


@_part
def _gru_kept(kept: Array, steps: int, batch: int, units: int, features: int) -> tuple[Array, Array, Array]:
    """Gates r, z, n, and q = U_n h + c_n [4, steps, block]; the hidden states, the first ones before them
    [steps + 1, block]; the inputs [steps, batch * features]."""
    size = batch * _width(units)
    some, more = steps * size, (steps + 1) * size
    gates, rest = kept[: 4 * some].reshape((4, steps, size)), kept[4 * some :]
    return gates, rest[:more].reshape((steps + 1, size)), rest[more:].reshape((steps, batch * features))


@_kernel
def gru_forward(
    kept: Array, batch: int, steps: int, features: int, units: int, is_kept: bool, values: int, by_batch: int,
    by_step: int, hidden_first: int, weight_ih: int, weight_hh: int, bias_ih: int, bias_hh: int, outputs: int,
    last: int,
) -> None:  # fmt: skip
    """As `lstm_forward`."""
    size = batch * _width(units)
    gates, hidden, inputs = _gru_kept(kept, steps if is_kept else 1, batch, units, features)
    columns_ih = _columns(_numbers(kept, weight_ih, 3 * units * features), 3, features, units)
    columns_hh = _columns(_numbers(kept, weight_hh, 3 * units * units), 3, units, units)
    biases = np.zeros((4, size // batch), kept.dtype)
    for gate in range(3):
        _add_bias(biases[gate], _numbers(kept, bias_ih, 3 * units), gate, units)
        _add_bias(biases[3 if gate == 2 else gate], _numbers(kept, bias_hh, 3 * units), gate, units)
    _clear(hidden[0])
    _add_rows(hidden[0], hidden_first, batch, units, units, 1)
    after = 0
    for step in range(steps):
        before, at = after, step if is_kept else 0
        after = step + 1 if is_kept else 1 - before
        _take_step(inputs[at], values + step * by_step * kept.itemsize, batch, features, by_batch)
        for gate in range(4):
            _fill(gates[gate, at], biases[gate])
            if gate < 3:
                _add_gate(gates[gate, at], inputs[at], columns_ih[gate], batch)
            if gate != 2:
                _add_gate(gates[gate, at], hidden[before], columns_hh[min(gate, 2)], batch)
        _gru_step(gates, at, hidden[before], hidden[after])
        _write_rows(hidden[after], outputs + step * batch * units * kept.itemsize, batch, units)
    _write_rows(hidden[after], last, batch, units)


@_part
def _gru_step(gates: Array, step: int, before: Array, hidden: Array) -> None:
    r, z, n, q = gates[0, step], gates[1, step], gates[2, step], gates[3, step]
    _to_sigmoid(r)
    _to_sigmoid(z)
    for k in range(n.size):
        n[k] += r[k] * q[k]
    _to_tanh(n)
    for k in range(hidden.size):
        hidden[k] = n[k] + z[k] * (before[k] - n[k])


@_kernel
def gru_backward(
    kept: Array, batch: int, steps: int, features: int, units: int, outputs: int, by_batch: int, by_step: int,
    by_unit: int, last: int, weight_ih: int, weight_hh: int, values: int, hidden_first: int, grad_ih: int, grad_hh: int,
    grad_bias_ih: int, grad_bias_hh: int,
) -> None:  # fmt: skip
    """As `lstm_backward`."""
    gates, hidden, inputs = _gru_kept(kept, steps, batch, units, features)
    slopes = np.empty_like(gates)
    by_hidden = np.zeros(gates.shape[2], kept.dtype)
    rows = _rows(_numbers(kept, weight_hh, 3 * units * units), 3, units, units)
    _add_rows(by_hidden, last, batch, units, units, 1)
    for step in range(steps - 1, -1, -1):
        if outputs != 0:
            _add_rows(by_hidden, outputs + step * by_step * kept.itemsize, batch, units, by_batch, by_unit)
        _gru_slopes(by_hidden, gates, hidden[step], slopes, step)
        for gate in (0, 1, 3):
            _add_back(by_hidden, slopes[gate, step], rows[min(gate, 2)], batch)
    _write_rows(by_hidden, hidden_first, batch, units)
    _write_inputs(slopes, 3, batch, units, features, weight_ih, values)
    sums = _sums(slopes, _width(units))
    _write_input_weights(slopes, 3, inputs.reshape(-1), units, features, sums, grad_ih, grad_bias_ih)
    _write_state_weights(slopes, 3, hidden, steps, units, sums, grad_hh, grad_bias_hh)


@_part
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
