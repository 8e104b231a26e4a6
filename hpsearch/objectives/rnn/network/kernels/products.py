"""Products of matrices, in tiles that stay in registers."""

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from hpsearch.objectives.rnn.network.kernels.compiling import Array, part

DEPTH = 128
"""Products that are added up at a time."""
LANES = 8
"""Numbers in a vector: of float32 in AVX. Where a processor has others, LLVM makes two or a half of one."""
IS_WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether a processor has AVX-512: vectors twice as long, and twice as many registers. No number depends on it."""
TILES = (1, 2, 3, 4, 5, 6) if IS_WIDE else (1, 2, 3)
"""Widths of tiles, in vectors."""


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


@part
def add_product(
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


@part
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


@part
def _next_tile(left: int) -> int:
    """How wide, where so many vectors are left: tiles are as even as can be, as narrow ones are slow."""
    count = -(-left // TILES[-1])
    return -(-left // count)
