"""Augmentation: what each kind changes, and what none does."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.augmentation import Augmentation, augmentation_of
from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.parameters import INFO

EVERYTHING = {
    "jitter": 0.1, "magnitude_scaling": 0.1, "window_slice": 0.7, "time_mask": 0.4, "time_warp": 0.3,
    "token_dropout": 0.3,
}  # fmt: skip


def made(task: str = "classification", unknown: int = 0, **parameters: float) -> Augmentation:
    found = augmentation_of(with_defaults(INFO, parameters), task, unknown)
    assert found is not None
    return found


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lengths_of(count: int, steps: int) -> Tensor:
    """From 1 to `steps`, and back to 1."""
    return torch.arange(count) % steps + 1


def batch_of(values: Tensor, lengths: Tensor) -> Batch:
    """Padded as batches are."""
    counted = torch.arange(values.shape[1]) < lengths[:, None]
    inputs = torch.where(counted.reshape(*counted.shape, *[1] * (values.dim() - 2)), values, 0)
    return Batch(inputs, lengths, torch.arange(len(values)))


def numbers(count: int = 60, steps: int = 12, features: int = 2) -> Batch:
    return batch_of(torch.randn(count, steps, features, generator=generator(9)) + 5, lengths_of(count, steps))


def ramps(count: int = 60, steps: int = 30) -> Batch:
    """Each step's value is its place, from 1 on."""
    return batch_of(torch.arange(1.0, steps + 1).expand(count, steps)[:, :, None], lengths_of(count, steps))


def tokens(count: int = 60, steps: int = 20) -> Batch:
    """Each step's token is its place, from 1 on."""
    return batch_of(torch.arange(1, steps + 1).expand(count, steps), lengths_of(count, steps))


def counted(batch: Batch) -> Tensor:
    return torch.arange(batch.inputs.shape[1]) < batch.lengths[:, None]


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("kind", [numbers, tokens])
def test_padding_and_targets_stay(name: str, kind: Any) -> None:
    batch = kind()
    found = made(**{name: EVERYTHING[name]})(batch, generator())
    assert found.targets is batch.targets
    assert found.inputs.dtype == batch.inputs.dtype
    assert not found.inputs[~counted(found)].any()
    changes = name in ("window_slice", "time_mask") or (name == "token_dropout") == (kind is tokens)
    assert torch.equal(found.inputs, batch.inputs) != changes
    assert torch.equal(found.lengths, batch.lengths) == (name != "window_slice")


@pytest.mark.parametrize("kind", [numbers, tokens])
def test_draws_come_from_the_generator_alone(kind: Any) -> None:
    augment, source = made(**EVERYTHING), generator()
    before = torch.get_rng_state()
    first, second = augment(kind(), source), augment(kind(), source)
    assert torch.equal(torch.get_rng_state(), before)
    again = augment(kind(), generator())
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.lengths, again.lengths)
    assert first.inputs.shape != second.inputs.shape or not torch.equal(first.inputs, second.inputs)


def test_what_is_off_is_nothing() -> None:
    assert augmentation_of(with_defaults(INFO, {}), "classification") is None
    assert augmentation_of(with_defaults(INFO, {}), "language_model", unknown=3) is None


def test_jitter_is_noise_of_its_deviation() -> None:
    batch = numbers(600)
    found = made(jitter=0.2)(batch, generator())
    noise = (found.inputs - batch.inputs)[counted(batch)]
    assert float(noise.std()) == pytest.approx(0.2, rel=0.05)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)


def test_magnitudes_have_one_factor_a_sequence_and_feature() -> None:
    batch = numbers(600)
    found = made(magnitude_scaling=0.2)(batch, generator())
    factors = found.inputs / torch.where(counted(batch)[:, :, None], batch.inputs, 1)
    first = factors[:, :1].expand_as(factors)
    torch.testing.assert_close(factors[counted(batch)], first[counted(batch)])
    assert float(first[:, 0].std()) == pytest.approx(0.2, rel=0.05)
    assert float(first[:, 0].mean()) == pytest.approx(1, abs=0.02)
    assert not torch.allclose(first[:, 0, 0], first[:, 0, 1])


class TestWindowSlice:
    @pytest.mark.parametrize("kind", [ramps, tokens])
    @pytest.mark.parametrize("part", [0.01, 0.5, 0.8])
    def test_keeps_a_part_of_each_sequence(self, kind: Any, part: float) -> None:
        batch = kind()
        found = made(window_slice=part)(batch, generator())
        expected = [max(1, round(length * part)) for length in batch.lengths.tolist()]
        assert found.lengths.tolist() == expected
        assert found.inputs.shape[1] == max(expected)
        for row, kept, length in zip(found.inputs, expected, batch.lengths.tolist(), strict=True):
            first = int(row.flatten()[0])
            assert row.flatten()[:kept].tolist() == list(range(first, first + kept))
            assert 1 <= first <= length - kept + 1

    def test_begins_anywhere(self) -> None:
        batch = batch_of(torch.arange(1.0, 6).expand(4000, 5)[:, :, None], torch.full((4000,), 5))
        firsts = made(window_slice=0.6)(batch, generator()).inputs[:, 0, 0]
        assert torch.bincount(firsts.long())[1:].tolist() == pytest.approx([4000 / 3] * 3, rel=0.1)


class TestTimeMask:
    @pytest.mark.parametrize("kind", [ramps, tokens])
    def test_is_one_span_of_at_most_its_part(self, kind: Any) -> None:
        batch = kind()
        found = made(time_mask=0.5)(batch, generator())
        masked = (found.inputs == 0).reshape(len(batch), -1) & counted(batch)
        widths = masked.sum(dim=1)
        assert (widths <= 0.5 * batch.lengths).all()
        begins = (masked.int().diff(dim=1, prepend=torch.zeros(len(batch), 1).int()) == 1).sum(dim=1)
        assert torch.equal(begins, (widths > 0).long())
        kept = counted(batch) & ~masked
        assert torch.equal(found.inputs[kept], batch.inputs[kept])

    def test_is_of_any_width_and_place(self) -> None:
        batch = batch_of(torch.ones(8000, 4, 1), torch.full((8000,), 4))
        masked = made(time_mask=0.5)(batch, generator()).inputs[:, :, 0] == 0
        widths = torch.bincount(masked.sum(dim=1))
        assert widths.tolist() == pytest.approx([8000 / 3] * 3, rel=0.1)
        alone = masked[masked.sum(dim=1) == 1].sum(dim=0)
        assert alone.tolist() == pytest.approx([8000 / 12] * 4, rel=0.15)

    def test_puts_the_unknown_token(self) -> None:
        found = made(unknown=99, time_mask=0.5)(tokens(), generator())
        assert ((found.inputs == 99) & counted(found)).any()
        assert not (found.inputs[counted(found)] == 0).any()


class TestTimeWarp:
    def test_reads_from_the_first_to_the_last_step_and_never_back(self) -> None:
        batch = ramps()
        found = made(time_warp=0.8)(batch, generator())
        for row, length in zip(found.inputs[:, :, 0], batch.lengths.tolist(), strict=True):
            assert float(row[0]) == 1
            assert float(row[length - 1]) == length
            assert (row[:length].diff() > 0).all()

    def test_changes_speed_smoothly(self) -> None:
        batch = batch_of(torch.arange(1.0, 201).expand(50, 200)[:, :, None], torch.full((50,), 200))
        speeds = made(time_warp=0.3)(batch, generator()).inputs[:, :, 0].diff(dim=1)
        assert float(speeds.std(dim=1).mean()) > 0.1
        assert float(speeds.diff(dim=1).abs().max()) < 0.1
        weak = made(time_warp=0.01)(batch, generator()).inputs[:, :, 0].diff(dim=1)
        assert float(weak.std(dim=1).mean()) < 0.02

    def test_is_linear_between_steps_and_the_same_for_all_features(self) -> None:
        values = torch.randn(20, 15, 2, generator=generator(1))
        values[:, :, 1] = torch.arange(15.0)
        found = made(time_warp=0.5)(batch_of(values, torch.full((20,), 15)), generator()).inputs
        for row, curve in zip(found, values[:, :, 0], strict=True):
            before = row[:, 1].floor().long().clamp(max=13)
            share = row[:, 1] - before
            torch.testing.assert_close(row[:, 0], curve[before] * (1 - share) + curve[before + 1] * share)


class TestTokenDropout:
    def test_drops_its_part(self) -> None:
        batch = tokens(2000)
        found = made(unknown=99, token_dropout=0.3)(batch, generator())
        dropped = found.inputs == 99
        assert float(dropped[counted(batch)].float().mean()) == pytest.approx(0.3, abs=0.01)
        assert torch.equal(found.inputs[~dropped], batch.inputs[~dropped])
        assert not (dropped & ~counted(batch)).any()


class TestStepsThatAreTold:
    @pytest.mark.parametrize("name", EVERYTHING)
    @pytest.mark.parametrize("task", ["next_step", "language_model", "forecast"])
    def test_are_not_moved(self, task: str, name: str) -> None:
        moves = {"window_slice": True, "time_warp": task != "forecast"}
        if not moves.get(name, False):
            assert made(task, **{name: EVERYTHING[name]}) is not None
            return
        with pytest.raises(InvalidInput) as caught:
            made(task, **{name: EVERYTHING[name]})
        (fault,) = caught.value.faults
        assert fault.path == f"objective.settings.{name}"
        assert task in fault.problem

    def test_a_stream_that_has_ended_stays_empty(self) -> None:
        batch = batch_of(torch.arange(1, 6).expand(2, 5), torch.tensor([5, 0]))
        found = made("language_model", 9, time_mask=0.9, token_dropout=0.9)(batch, generator())
        assert found.inputs[0].any()
        assert not found.inputs[1].any()
