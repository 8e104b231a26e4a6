"""Recurrent layers by `kernels`, as torch's autograd sees them; and where these can be used and are faster."""

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

logger = logging.getLogger("hpsearch.objectives.rnn")

NATIVE_UNITS = {"lstm": 96, "gru": 128}
"""So many at most: of more, torch's products make up for what surrounds them."""
ALWAYS_UNITS, FEW_SEQUENCES = 96, 32
"""Of more units than the first number, batches of no more sequences than the second."""
NATIVE_CELLS = tuple(NATIVE_UNITS)
Array = np.ndarray[Any, np.dtype[Any]]
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def native_layer(cell: str, values: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """One layer of `lstm` or `gru`, as torch's function of that name has it.

    From [batch, steps, inputs] and first states [1, batch, units], of an LSTM the hidden and the cells', none for
    zeros, to the hidden states [batch, steps, units] and the last of each. The weights are those of torch's modules,
    in their order. All are float32, or all float64, on the CPU, not empty, and get gradients, but no second ones.
    Without gradients (`torch.no_grad`, `torch.inference_mode`) nothing is saved. `is_usable` says whether this can be
    called.
    """
    if torch.is_grad_enabled():
        return _Native.apply(cell, values, *weights, *states)  # type: ignore[no-any-return,no-untyped-call]
    return _forward(cell, values, weights, states, is_kept=False)[0]


def is_small(cell: str, units: int) -> bool:
    """Whether the kernels may be faster than what a layer takes otherwise."""
    return units <= NATIVE_UNITS.get(cell, 0)


def is_faster(cell: str, units: int, batch: int, steps: int) -> bool:
    """Whether they are: measured on batches of 1, 16, 32 and 128 sequences of 8, 30, 50 and 100 steps, in float32 on
    one thread, training and inference; `tests/benchmarks/layers.py` shows where."""
    is_narrow = units <= ALWAYS_UNITS or batch <= FEW_SEQUENCES
    return steps > 0 and batch > 0 and is_narrow and is_small(cell, units)


@cache
def is_usable(cell: str) -> bool:
    """Whether the kernels of this cell run here: numba is installed, and compiles them.

    The first answer in a process takes as long as that: a part of a second where numba's cache on disk has them,
    else some seconds, in which other processes wait for them rather than compile the same. Why not, where numba is
    there, is logged.
    """
    if cell not in NATIVE_CELLS or find_spec("numba") is None:
        return False
    try:
        import numba

        if numba.config.DISABLE_JIT:
            return False
        with _compiling(cell):
            _try(cell)
    except Exception:  # whatever a compiler, its cache and its libraries may raise: torch does the same work
        logger.warning("numba does not compile the kernels of %s: torch runs these layers", cell, exc_info=True)
        return False
    return True


def load_kernels() -> None:
    """Load the kernels that numba has compiled on this machine before, so that no trial waits for that. None is
    compiled: each cell's take seconds, and not all cells are tried."""
    if find_spec("numba") is None:
        return
    for cell in NATIVE_CELLS:
        with suppress(Exception):  # whoever asks `is_usable` hears of it
            if _is_on_disk(cell):
                is_usable(cell)


def numba_version(cell: str, units: Iterable[int]) -> str | None:
    """Whose kernels layers of these units run by on the CPU; None where they run without."""
    if not (any(is_small(cell, each) for each in units) and is_usable(cell)):
        return None
    from numba import __version__

    return str(__version__)


@contextmanager
def _compiling(cell: str) -> Iterator[None]:
    """Within the block no other process of this machine compiles these kernels."""
    folder = _kernels(cell).forward.stats.cache_path  # type: ignore[attr-defined]
    with ExitStack() as stack:
        if folder is not None and not _is_on_disk(cell):
            with suppress(OSError):  # a folder or a file system that knows no locks: then each compiles for itself
                file = stack.enter_context(Path(folder, f"{cell}.lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_on_disk(cell: str) -> bool:
    """Whether numba's cache has both kernels; they may be out of date."""
    kernels = _kernels(cell)
    return all(map(_has_index, (kernels.forward, kernels.backward)))


def _has_index(kernel: Any) -> bool:
    function, folder = kernel.py_func, kernel.stats.cache_path
    code = function.__code__
    # numba names its files so
    name = f"{Path(code.co_filename).stem}.{function.__qualname__}-{code.co_firstlineno}.py*.nbi"
    return folder is not None and any(Path(folder).glob(name))


@torch.inference_mode(False)  # a model that is loaded to predict asks within it
@torch.enable_grad()
def _try(cell: str) -> None:
    """Forwards and backwards, so that all is compiled."""
    gates = 4 if cell == "lstm" else 3
    values = torch.zeros(1, 1, 1, requires_grad=True)
    weights = [torch.zeros(gates, 1), torch.zeros(gates, 1), torch.zeros(gates), torch.zeros(gates)]
    native_layer(cell, values, [], weights)[0].sum().backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Kernels:
    """A cell's."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    states: int
    """An LSTM has two."""
    blocks: int
    """Of numbers that are kept of a step: see `kernels`."""
    lanes: int


@cache
def _kernels(cell: str) -> _Kernels:
    from hpsearch.objectives.rnn.network.kernels import gru, lstm
    from hpsearch.objectives.rnn.network.kernels.products import LANES

    if cell == "lstm":
        return _Kernels(lstm.lstm_forward, lstm.lstm_backward, 2, 7, LANES)
    return _Kernels(gru.gru_forward, gru.gru_backward, 1, 5, LANES)


class _Native(Function):
    """Cell, values, weights, states to outputs and last states."""

    @staticmethod
    def forward(ctx: Any, cell: str, values: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        weights = others[:4]
        results, kept = forward_pass(cell, values, weights, others[4:])
        ctx.cell, ctx.kept, ctx.shape = cell, kept, values.shape
        ctx.save_for_backward(*weights[:2])
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outputs: Tensor | None, *last: Tensor | None) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad
        by_values, by_weights, by_states = backward_pass(
            ctx.cell, ctx.kept, ctx.shape, ctx.saved_tensors, outputs, last, values=needed[1], states=needed[6:]
        )
        return None, by_values, *by_weights, *by_states


def forward_pass(
    cell: str, values: Tensor, weights: Sequence[Tensor], states: Sequence[Tensor] = ()
) -> tuple[tuple[Tensor, ...], Array]:
    """`native_layer` without autograd; and what `backward_pass` needs."""
    return _forward(cell, values, weights, states, is_kept=True)


def backward_pass(
    cell: str,
    kept: Array,
    shape: Sequence[int],
    weights: Sequence[Tensor],
    outputs: Tensor | None,
    last: Sequence[Tensor | None],
    *,
    values: bool,
    states: Sequence[bool] = (),
) -> tuple[Tensor | None, list[Tensor], list[Tensor | None]]:
    """Gradients of a pass over values of this shape, from those of its outputs and last states, None being zero: by
    the values and the states, if they are wanted, and by the four weights. Of `weights` the first two are read."""
    weight_ih, weight_hh = weights[0].contiguous(), weights[1].contiguous()
    (batch, steps, features), units = shape, weight_hh.shape[1]
    by_last = [None if grad is None else grad.contiguous() for grad in last]
    by_values = _steps_first(weight_hh, batch, steps, features) if values else None
    by_states = [weight_hh.new_empty(1, batch, units) if wanted else None for wanted in states]
    biases = weight_ih.shape[:1]
    by_weights = [weight_hh.new_empty(each) for each in (weight_ih.shape, weight_hh.shape, biases, biases)]
    outer = (0, 0, 0, 0) if outputs is None else (outputs.data_ptr(), *outputs.stride())
    found = [*by_last, weight_ih, weight_hh, by_values, *(by_states or [None] * len(last)), *by_weights]
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in found]
    _kernels(cell).backward(kept, batch, steps, features, units, *outer, *addresses)
    return by_values, by_weights, by_states


def _forward(
    cell: str, values: Tensor, weights: Sequence[Tensor], states: Sequence[Tensor], *, is_kept: bool
) -> tuple[tuple[Tensor, ...], Array]:
    """Outputs and last states; and what the backward pass needs, if it is kept."""
    (batch, steps, features), units, kind = values.shape, weights[1].shape[1], values.dtype
    kernels = _kernels(cell)
    if values.stride(2) != 1:
        values = values.contiguous()
    read = [each.contiguous() for each in (*states, *weights)]
    for each in read:
        if each.dtype is not kind:
            raise TypeError(f"values are {kind}, and so must be states and weights, but one is {each.dtype}")
    last = [values.new_empty(1, batch, units) for _ in range(kernels.states)]
    outputs = _steps_first(values, batch, steps, units)
    kept_steps = steps if is_kept else 1
    blocks = kernels.blocks * kept_steps + kernels.states
    width = -(-units // kernels.lanes) * kernels.lanes
    kept = np.empty(batch * (blocks * width + kept_steps * features), _NUMPY[kind])
    by_batch, by_step, _ = values.stride()
    addresses = [each.data_ptr() for each in (*read, outputs, *last)]
    first = [] if states else [0] * kernels.states
    kernels.forward(
        kept, batch, steps, features, units, is_kept, values.data_ptr(), by_batch, by_step, *first, *addresses
    )
    return (outputs, *last), kept


def _steps_first(like: Tensor, batch: int, steps: int, width: int) -> Tensor:
    """[batch, steps, width], in memory step after step: so the next layer wants it."""
    shape = (batch, steps, width)
    return like.new_empty_strided(shape, (width, batch * width, 1))
