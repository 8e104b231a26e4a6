"""Layers by numba's kernels against torch's own, to the values, the gradients and the bits; and without numba."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor, nn

import hpsearch
from hpsearch.objectives.rnn.network.kernels.activations import to_sigmoid, to_tanh
from hpsearch.objectives.rnn.network.kernels.compiling import kernel
from hpsearch.objectives.rnn.network.layers import recurrent_layer
from hpsearch.objectives.rnn.network.native import NATIVE_CELLS, is_faster, is_usable, native_layer


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def peer(cell: str, inputs: int, units: int) -> nn.RNNBase:
    return {"lstm": nn.LSTM, "gru": nn.GRU}[cell](inputs, units, batch_first=True)


def random_states(cell: str, batch: int, units: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.randn(1, batch, units, dtype=dtype, requires_grad=True) for _ in range(2 if cell == "lstm" else 1)]


def of_torch(module: nn.RNNBase, values: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    outputs, last = module(values, tuple(states) if len(states) == 2 else states[0])
    return [outputs, *(last if isinstance(last, tuple) else [last])]


def of_kernels(module: nn.RNNBase, values: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    return [*native_layer(module.mode.lower(), values, states, [*module.parameters()])]


def with_gradients(results: Sequence[Tensor], factors: Tensor, *wanted: Tensor) -> list[Tensor]:
    """The results, and the gradients of a loss that needs them all."""
    loss = (results[0] * factors).sum() + torch.stack([last.sin() for last in results[1:]]).sum()
    return [*(each.detach() for each in results), *torch.autograd.grad(loss, wanted, retain_graph=True)]


@pytest.mark.parametrize(
    ("batch", "steps", "inputs", "units"),
    [(1, 1, 1, 1), (7, 9, 5, 12), (32, 8, 8, 32), (4, 3, 17, 37), (1, 20, 40, 64), (33, 2, 3, 40), (6, 5, 24, 100)],
)
@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_values_and_gradients_are_torchs(cell: str, batch: int, steps: int, inputs: int, units: int) -> None:
    module = peer(cell, inputs, units)
    values, states = torch.randn(batch, steps, inputs, requires_grad=True), random_states(cell, batch, units)
    factors = torch.randn(batch, steps, units)
    ours, theirs = (
        with_gradients(way(module, values, states), factors, *module.parameters(), values, *states)
        for way in (of_kernels, of_torch)
    )
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_long_sequences_lose_no_precision(cell: str) -> None:
    """Against torch in double precision; errors by the largest number of each result."""
    module = peer(cell, 88, 128)
    values, states = torch.randn(16, 50, 88, requires_grad=True), random_states(cell, 16, 128)
    factors = torch.randn(16, 50, 128) / 800
    ours = with_gradients(of_kernels(module, values, states), factors, *module.parameters(), values, *states)
    double = peer(cell, 88, 128).double()
    double.load_state_dict(module.state_dict())
    values, states = (
        values.detach().double().requires_grad_(),
        [state.detach().double().requires_grad_() for state in states],
    )
    exact = with_gradients(of_torch(double, values, states), factors.double(), *double.parameters(), values, *states)
    for mine, truth in zip(ours, exact, strict=True):
        assert (mine - truth).abs().max() < 1e-5 * truth.abs().max()


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.long)])  # to compile it takes longest
def test_gradients_are_the_differences(cell: str) -> None:
    values = torch.randn(4, 5, 2, dtype=torch.double, requires_grad=True)
    weights, states = [*peer(cell, 2, 3).double().parameters()], random_states(cell, 4, 3, torch.double)

    def layer(values: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        return native_layer(cell, values, others[: len(states)], others[len(states) :])

    assert torch.autograd.gradcheck(layer, (values, *states, *weights))


@pytest.mark.parametrize("wanted", ["outputs", "last", "cells"])
def test_a_loss_may_leave_results_out(wanted: str) -> None:
    module, values, states = peer("lstm", 5, 12), torch.randn(3, 6, 5), random_states("lstm", 3, 12)
    place = ["outputs", "last", "cells"].index(wanted)
    ours, theirs = (
        torch.autograd.grad(way(module, values, states)[place].square().sum(), [*module.parameters(), *states])
        for way in (of_kernels, of_torch)
    )
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_small_layers_take_the_kernels(cell: str) -> None:
    assert is_usable(cell)
    outputs, _ = recurrent_layer(cell, 8, 32)(torch.randn(16, 8, 8))
    assert type(outputs.grad_fn).__name__ == "_NativeBackward"


def test_other_layers_do_not() -> None:
    assert is_faster("gru", 128, 32, 8)
    assert not is_faster("gru", 128, 33, 8)
    assert not is_faster("lstm", 97, 1, 8)
    assert not is_faster("rnn_tanh", 8, 8, 8)
    assert not is_faster("lstm", 8, 8, 0)
    assert not is_usable("rnn_tanh")
    outputs, _ = recurrent_layer("lstm", 8, 32).double()(torch.randn(2, 3, 8, dtype=torch.double))
    assert type(outputs.grad_fn).__name__ != "_NativeBackward"


def test_numbers_of_two_types_are_refused() -> None:
    layer = recurrent_layer("gru", 5, 12)
    with pytest.raises(TypeError, match="so must be states"):
        layer(torch.randn(3, 6, 5), torch.zeros(1, 3, 12, dtype=torch.double))
    with pytest.raises(RuntimeError, match="hidden size"):
        layer(torch.randn(3, 6, 5), torch.zeros(1, 1, 12))


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_strides_of_values_and_gradients_do_not_matter(cell: str) -> None:
    """As of the other direction, of windows and of a sum."""
    layer, values = recurrent_layer(cell, 5, 12), torch.randn(3, 6, 5)
    found = []
    for each in (values, values.transpose(1, 2).contiguous().transpose(1, 2), torch.cat([values] * 2, 1)[:, 6:]):
        outputs, _ = layer(each)
        found += [
            [outputs.detach(), *torch.autograd.grad(outputs, layer.parameters(), factors, retain_graph=True)]
            for factors in (torch.ones(()).expand_as(outputs), torch.ones(12, 6, 3).permute(2, 1, 0))
        ]
    assert all(torch.equal(mine, other) for one in found[1:] for mine, other in zip(one, found[0], strict=True))


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_inference_gives_the_bits_of_training(cell: str) -> None:
    layer, values = recurrent_layer(cell, 5, 12), torch.randn(3, 16, 5)
    outputs, last = layer(values)
    with torch.inference_mode():
        inferred, inferred_last = layer(values)
    assert torch.equal(outputs, inferred)
    assert not inferred.requires_grad
    both = [state if isinstance(state, tuple) else (state,) for state in (last, inferred_last)]
    assert all(map(torch.equal, *both))


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_a_sequence_has_its_bits_in_any_batch(cell: str) -> None:
    layer, values = recurrent_layer(cell, 5, 12), torch.randn(7, 6, 5)
    with torch.no_grad():
        whole, _ = layer(values)
        assert all(torch.equal(layer(one[None])[0][0], expected) for one, expected in zip(values, whole, strict=True))


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_gradients_again_are_the_same_whatever_became_of_the_results(cell: str) -> None:
    layer, values = recurrent_layer(cell, 5, 12), torch.randn(3, 6, 5)
    outputs, _ = layer(values)
    loss = outputs.clone().square().sum()
    first = torch.autograd.grad(loss, [*layer.parameters()], retain_graph=True)
    outputs.detach().zero_()
    again = torch.autograd.grad(loss, [*layer.parameters()])
    assert all(map(torch.equal, first, again))


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_what_is_no_number_stays_none(cell: str) -> None:
    layer, values = recurrent_layer(cell, 5, 12), torch.randn(3, 6, 5)
    values[1, 2, 3] = torch.nan
    outputs, _ = layer(values)
    assert outputs[1, 2:].isnan().all()
    assert outputs[[0, 2]].isfinite().all()
    assert outputs[1, :2].isfinite().all()
    layer.weight_hh_l0.data[:] = torch.inf
    assert not layer(values)[0].isfinite().all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_functions_are_as_exact_as_single_precision(name: str) -> None:
    """To some units in the last place, over all of what they are not constant on."""
    part = {"sigmoid": to_sigmoid, "tanh": to_tanh}[name]
    function = njit(lambda numbers: part(numbers))  # noqa: PLW0108 (parts cannot be called from here)
    values = np.concatenate([np.linspace(-80, 80, 400_000), np.geomspace(1e-30, 1, 10_001)]).astype(np.float32)
    found = values.copy()
    function(found)
    exact = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[name](torch.from_numpy(values).double()).numpy()
    assert np.abs(found / exact - 1).max() < 5e-7
    special = np.array([np.nan, np.inf, -np.inf, 0], np.float32)
    function(special)
    low = 0 if name == "sigmoid" else -1
    assert np.isnan(special[0])
    assert special[1:].tolist() == pytest.approx([1, low, (1 + low) / 2], abs=5e-7)


# --- without ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import hashlib, sys
if "--without" in sys.argv:
    sys.modules["numba"] = None
import torch
from hpsearch.objectives.rnn.network.layers import recurrent_layer
from hpsearch.objectives.rnn.network.native import is_usable, numba_version
torch.set_num_threads(1)
torch.manual_seed(0)
layer = recurrent_layer("gru", 5, 12)
outputs, _ = layer(torch.randn(3, 16, 5))
outputs.square().sum().backward()
digest = hashlib.sha256()
for each in (outputs.detach(), layer.weight_hh_l0.grad):
    digest.update(each.contiguous().numpy().tobytes())
print(type(outputs.grad_fn).__name__, is_usable("gru"), numba_version("gru", [12]) is not None, digest.hexdigest())
"""


def run(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """What a process of its own says."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, *arguments]
    own = os.environ | {"NUMBA_CACHE_DIR": str(folder)} | environment
    return subprocess.run(command, env=own, capture_output=True, text=True, check=True, timeout=200).stdout.split()


def test_without_numba_torch_runs_the_layers(tmp_path: Path) -> None:
    assert run(tmp_path, "--without")[:3] == ["_GruBackward", "False", "False"]
    assert run(tmp_path, NUMBA_DISABLE_JIT="1")[:3] == ["_GruBackward", "False", "False"]
    assert not [*tmp_path.iterdir()]


@pytest.mark.long
def test_what_was_compiled_before_gives_the_same_bits(tmp_path: Path) -> None:
    first = run(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    assert first[:3] == ["_NativeBackward", "True", "True"]
    assert len(files) == 4  # forwards and backwards, an index and the code of each
    assert run(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")} == files


COMPILER = """
from hpsearch.objectives.rnn.network.kernels import gru
from hpsearch.objectives.rnn.network.native import is_usable, load_kernels
load_kernels()
compiled_before = bool(gru.gru_forward.signatures)
assert is_usable("gru")
print(compiled_before, sum(gru.gru_forward.stats.cache_misses.values()))
"""


@pytest.mark.long
def test_of_two_slots_one_compiles_and_the_other_waits(tmp_path: Path) -> None:
    command, own = [sys.executable, "-c", COMPILER], os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    slots = [subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(slot.communicate(timeout=200)[0].strip() for slot in slots) == ["False 0", "False 1"]


@pytest.mark.long
def test_another_file_of_the_kernels_makes_the_compiled_ones_out_of_date(tmp_path: Path) -> None:
    """numba itself looks at the file of a kernel alone."""
    package = Path(shutil.copytree(Path(hpsearch.__file__).parent, tmp_path / "hpsearch"))
    own = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def compiled() -> str:
        command = [sys.executable, "-c", COMPILER]
        ended = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200)
        return ended.stdout.strip()

    assert [compiled(), compiled()] == ["False 1", "True 0"]
    with (package / "objectives" / "rnn" / "network" / "kernels" / "products.py").open("a") as file:
        file.write("# other products\n")
    assert [compiled(), compiled()] == ["False 1", "True 0"]


def test_a_folder_that_cannot_be_written_to_is_done_without() -> None:
    names: dict[str, Any] = {}
    exec("def twice(x): return 2 * x", names)  # of no file, as little to be cached as one of a read-only installation
    assert kernel(names["twice"])(3) == 6


@pytest.mark.parametrize("cell", NATIVE_CELLS)
def test_who_asks_first_may_be_about_to_predict(cell: str) -> None:
    is_usable.cache_clear()
    with torch.inference_mode():
        assert is_usable(cell)
