"""Sequences varied at random, in training only. A batch at a time; padding stays zero, targets stay as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.network.pooling import sequence_mask
from hpsearch.objectives.rnn.tasks import PER_STEP

_WARP_KNOTS = 6
"""Places where the speed of time is drawn: both ends and, as in Um et al. 2017, four between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What is done to a batch of the training split, in the order of the fields; at its default each does nothing.

    Of tokens `window_slice`, `time_mask` and `token_dropout` alone have an effect, of numbers all but the last.
    """

    window_slice: float = 1.0
    """Part of each sequence that is kept, at least a step, from a random place on (Le Guennec et al. 2016)."""
    time_warp: float = 0.0
    """Deviation of the logarithm of the speed at which a sequence is read, which changes smoothly; both ends stay
    (Um et al. 2017)."""
    magnitude_scaling: float = 0.0
    """Deviation of a factor about 1 for each feature of each sequence (Um et al. 2017)."""
    jitter: float = 0.0
    """Deviation of noise on each number (Um et al. 2017)."""
    time_mask: float = 0.0
    """Largest part of a sequence that is put to zero, or to the unknown token, in one span (Park et al. 2019)."""
    token_dropout: float = 0.0
    """Part of the tokens that are replaced by the unknown one."""
    unknown: int = 0
    """The token that stands for what is unknown."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch varied by draws from `generator`, which is on the batch's device."""
        if self.window_slice < 1:
            batch = self._sliced(batch, generator)
        counted = sequence_mask(batch.lengths, batch.inputs.shape[1])
        vary = self._numbers if batch.inputs.is_floating_point() else self._tokens
        return replace(batch, inputs=vary(batch.inputs, batch.lengths, counted, generator))

    def _sliced(self, batch: Batch, generator: torch.Generator) -> Batch:
        steps = batch.inputs.shape[1]
        kept = (batch.lengths.double() * self.window_slice).round().long().clamp(min=1)
        start = _whole(batch.lengths - kept, generator)
        # no sequence is longer now: rounding keeps their order
        places = torch.arange(max(1, round(steps * self.window_slice)), device=kept.device)
        inputs = _at(batch.inputs, (start[:, None] + places).clamp(max=steps - 1))
        counted = _like(places < kept[:, None], inputs)
        return replace(batch, inputs=torch.where(counted, inputs, 0), lengths=kept, is_even=False)

    def _numbers(self, values: Tensor, lengths: Tensor, counted: Tensor, generator: torch.Generator) -> Tensor:
        if self.time_warp:
            values = self._warped(values, lengths, generator)
        if self.magnitude_scaling:
            values = values * (1 + self.magnitude_scaling * _normal(values[:, :1], generator))
        if self.jitter:
            values = values + self.jitter * _normal(values, generator)
        if self.time_mask:
            counted = counted & ~self._span(lengths, values.shape[1], generator)
        return torch.where(counted[:, :, None], values, 0.0)

    def _tokens(self, tokens: Tensor, lengths: Tensor, counted: Tensor, generator: torch.Generator) -> Tensor:
        if self.time_mask:
            tokens = tokens.masked_fill(self._span(lengths, tokens.shape[1], generator), self.unknown)
        if self.token_dropout:
            drawn = torch.rand(tokens.shape, generator=generator, device=tokens.device)
            tokens = tokens.masked_fill((drawn < self.token_dropout) & counted, self.unknown)
        return tokens

    def _warped(self, values: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Read at places that grow by the speed from 0 to the last step, between two steps linearly."""
        last = (lengths - 1)[:, None]
        place = self._places(values.shape[1], last, generator)
        before = place.floor().long()
        after = torch.minimum(before + 1, last)
        share = (place - before).to(values.dtype)[:, :, None]
        return torch.lerp(_at(values, before), _at(values, after), share)

    def _places(self, steps: int, last: Tensor, generator: torch.Generator) -> Tensor:
        """float64 [batch, steps]; `last` [batch, 1] is each sequence's last step."""
        drawn = torch.randn(len(last), _WARP_KNOTS, generator=generator, device=last.device, dtype=torch.float64)
        speeds = (self.time_warp * drawn).exp()
        step = torch.arange(steps, device=last.device)
        knot = torch.minimum(step, last) / last.clamp(min=1).double() * (_WARP_KNOTS - 1)
        before = knot.floor().long().clamp(max=_WARP_KNOTS - 2)
        speed = torch.lerp(speeds.gather(1, before), speeds.gather(1, before + 1), knot - before)
        travelled = ((speed[:, 1:] + speed[:, :-1]) / 2).cumsum(dim=1)
        travelled = torch.cat([torch.zeros_like(speed[:, :1]), travelled], dim=1)
        whole = travelled.gather(1, last)
        # beyond the last step there is nothing to read, and of a single step nothing is travelled
        return (travelled / whole.clamp(min=1e-300)).clamp(max=1) * last

    def _span(self, lengths: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """bool [batch, steps]: a span of random width, at a random place within each sequence."""
        width = _whole((lengths.double() * self.time_mask).floor().long(), generator)
        start = _whole(lengths - width, generator)[:, None]
        step = torch.arange(steps, device=lengths.device)
        return (step >= start) & (step < start + width[:, None])


def augmentation_of(options: Mapping[str, Any], task: str, unknown: int = 0) -> Augmentation | None:
    """What the parameters ask for; None where all is off. `unknown`: the token that stands for what is unknown.

    Raises `InvalidInput` where the targets are aligned with the steps that would be moved.
    """
    names = [field.name for field in fields(Augmentation) if field.name != "unknown"]
    found = Augmentation(**{name: options[name] for name in names}, unknown=unknown)
    if found.window_slice < 1 and task in (*PER_STEP, "forecast"):
        raise setting_fault("window_slice", f"must be 1 for {task}, whose targets go with the steps of their sequence")
    if found.time_warp and task in PER_STEP:
        raise setting_fault("time_warp", f"must be 0 for {task}, whose targets go with the steps of their sequence")
    return None if found == Augmentation(unknown=unknown) else found


def _whole(most: Tensor, generator: torch.Generator) -> Tensor:
    """int64 [batch]: uniform from 0 to `most`, both included."""
    drawn = torch.rand(most.shape, generator=generator, device=most.device, dtype=torch.float64)
    return torch.minimum((drawn * (most + 1)).long(), most)


def _normal(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(values.shape, generator=generator, device=values.device, dtype=values.dtype)


def _at(values: Tensor, steps: Tensor) -> Tensor:
    """[batch, steps, …] at steps [batch, places]."""
    first = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    found = values.flatten(0, 1).index_select(0, (first + steps).flatten())
    return found.reshape(*steps.shape, *values.shape[2:])


def _like(steps: Tensor, values: Tensor) -> Tensor:
    """[batch, steps] with as many axes as the values."""
    return steps.reshape(steps.shape + (1,) * (values.dim() - 2))
