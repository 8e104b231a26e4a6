"""Dropout: which elements share a mask, and when it does nothing."""

import pytest
import torch
from torch import Tensor

from hpsearch.objectives.rnn.network.dropout import DRAWS, Dropout, dropped


def kept(variational: bool, shape: tuple[int, ...] = (20, 30, 64)) -> Tensor:
    torch.manual_seed(0)
    return Dropout(0.3, variational)(torch.ones(shape)) != 0


def test_a_variational_mask_is_one_a_sequence() -> None:
    mask = kept(variational=True)
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert len(mask[:, 0].unique(dim=0)) == 20
    assert mask.float().mean().item() == pytest.approx(0.7, abs=0.1)


def test_an_elementwise_mask_is_one_a_step() -> None:
    mask = kept(variational=False)
    assert all(len(sequence.unique(dim=0)) == 30 for sequence in mask)
    assert mask.float().mean().item() == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("variational", [False, True])
def test_whole_sequences_have_masks_of_their_own(variational: bool) -> None:
    mask = kept(variational, (20, 64))
    assert len(mask.unique(dim=0)) == 20


@pytest.mark.parametrize("variational", [False, True])
def test_what_is_kept_is_scaled_forwards_and_backwards(variational: bool) -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 4, 5, requires_grad=True)
    result = Dropout(0.25, variational)(values)
    result.sum().backward()
    expected = torch.where(result != 0, 1 / 0.75, 0.0)
    torch.testing.assert_close(values.grad, expected)
    torch.testing.assert_close(result, values * expected)


@pytest.mark.parametrize("variational", [False, True])
def test_the_global_seed_decides_the_mask(variational: bool) -> None:
    assert torch.equal(kept(variational), kept(variational))
    torch.manual_seed(1)
    dropout, ones = Dropout(0.3, variational), torch.ones(20, 30, 64)
    assert not torch.equal(dropout(ones), dropout(ones))


@pytest.mark.parametrize("variational", [False, True])
def test_it_costs_nothing_in_evaluation_or_where_it_is_0(variational: bool) -> None:
    values = torch.randn(2, 3, 4)
    state = torch.get_rng_state()
    assert Dropout(0.3, variational).eval()(values) is values
    assert Dropout(0.0, variational)(values) is values
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.95])
def test_each_element_is_dropped_by_its_own_chance(p: float) -> None:
    """Also those told by one draw: as often both as independent ones would be."""
    torch.manual_seed(0)
    is_dropped = (dropped(torch.ones(250_000, DRAWS), p) == 0).double()
    torch.testing.assert_close(is_dropped.mean(0), torch.full([DRAWS], p).double(), rtol=0.1, atol=0)
    assert torch.corrcoef(is_dropped.T).fill_diagonal_(0).abs().max() < 0.01


@pytest.mark.parametrize("p", [1e-9, 1 / 3, 0.99])
def test_the_mean_of_many_stays(p: float) -> None:
    torch.manual_seed(0)
    assert dropped(torch.ones(4_000_000), p).mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_number_may_be_dropped(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = torch.ones(shape, dtype=dtype)
    result = dropped(values, 0.5)
    assert (result.shape, result.dtype) == (values.shape, dtype)
    assert set(result.flatten().tolist()) <= {0.0, 2.0}


def test_values_that_do_not_lie_in_order_keep_their_places() -> None:
    values = torch.arange(1.0, 13).view(3, 4).t()
    result = dropped(values, 0.5)
    assert torch.equal(result, torch.where(result != 0, 2 * values, 0.0))
