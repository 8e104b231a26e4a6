"""Recurrent layers against torch's own cells on one CPU thread: `python -m tests.benchmarks.layers`."""

import itertools
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median

import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.network.layers import RecurrentLayer, recurrent_layer
from tests.benchmarks.tables import milliseconds, print_progress, print_table, print_title, ratio

CELLS = ("gru", "rnn_tanh", "rnn_relu", "lstm")
UNITS = (32, 64, 128, 256, 512)
INPUTS = (28, 88)
SIZES = ((16, 8), (32, 50))
"""Batch and steps."""
SECONDS = 1.5
"""Of each comparison, but three runs at least."""
NOTE = """float32, one thread, torch {version}, numba {numba}. A pass is forward and backward, gradients of all weights
and of the inputs; inference is forward alone in torch.inference_mode. Times are the thread's on the processor, medians,
ours and torch's in turns. A ratio above 1 means that ours is faster. way: what ours takes for a pass: numba's kernels,
`fused` (a path in few operations of torch), or torch's own (for an LSTM by oneDNN)."""
WAYS = {"_NativeBackward": "kernels", "_GruBackward": "fused", "_RnnBackward": "fused"}
HEADS = (
    "cell", "units", "inputs", "batch", "steps", "way", "torch: a pass", "ours: a pass", "×", "torch: inference",
    "ours: inference", "×",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    numba = version("numba") if find_spec("numba") else "is not here"
    print_title("Recurrent layers", NOTE.format(version=torch.__version__, numba=numba))
    print(f"Load of the machine at the start: {os.getloadavg()[0]:.1f}\n")
    rows = []
    for cell, (batch, steps), units, inputs in itertools.product(CELLS, SIZES, UNITS, INPUTS):
        sizes = map(str, (units, inputs, batch, steps))
        rows.append([cell, *sizes, *_cells(cell, units, torch.randn(batch, steps, inputs, requires_grad=True))])
        print_progress(rows[-1])
    print_table(HEADS, rows)


def _cells(cell: str, units: int, values: Tensor) -> list[str]:
    ours = recurrent_layer(cell, values.shape[2], units)
    modules = (_peer(ours), ours)
    factors = torch.randn(*values.shape[:2], units)
    way = WAYS.get(type(ours(values)[0].grad_fn).__name__, "torch's")
    theirs, mine = _in_turns([lambda module=module: _pass(module, values, factors) for module in modules])
    with torch.inference_mode():
        their_inference, my_inference = _in_turns([lambda module=module: module(values) for module in modules])
    return [
        way,
        *(milliseconds(theirs), milliseconds(mine), ratio(theirs, mine)),
        *(milliseconds(their_inference), milliseconds(my_inference), ratio(their_inference, my_inference)),
    ]


def _peer(layer: RecurrentLayer) -> nn.RNNBase:
    """Torch's own module with the same weights."""
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
    options = {"nonlinearity": layer.cell.removeprefix("rnn_")} if layer.cell.startswith("rnn_") else {}
    module: nn.RNNBase = kinds[layer.cell](layer.input_size, layer.hidden_size, batch_first=True, **options)
    module.load_state_dict(layer.state_dict())
    return module


def _pass(module: nn.Module, values: Tensor, factors: Tensor) -> None:
    torch.autograd.backward(module(values)[0], factors)
    module.zero_grad()
    values.grad = None


def _in_turns(functions: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each, on the processor."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    ends = time.perf_counter() + SECONDS
    while time.perf_counter() < ends or len(times[0]) < 3:
        for function, each in zip(functions, times, strict=True):
            began = time.thread_time()
            function()
            each.append(time.thread_time() - began)
    return [median(each) for each in times]


if __name__ == "__main__":
    main()
