"""A split in memory as tensors, once, and its batches.

An epoch is a list of pieces, drawn at its start: a trial that goes on in the middle of an epoch draws the same list
again and leaves out what it has done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

BUCKETS = 8
"""Batches whose sequences are sorted by length together: padding goes, the order stays random enough."""
EVALUATION_SEQUENCES = 1024
EVALUATION_STEPS = 256
STREAM_STEPS = 64
"""Steps of a window where the study says nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some sequences of a split."""

    inputs: Tensor
    """float32 [batch, steps, features], or int64 [batch, steps] of tokens."""
    lengths: Tensor
    """[batch]: steps that count."""
    targets: Tensor
    """classification: int64 [batch]; multilabel: float32 [batch, labels]; regression float32 [batch, 1] and forecast
    float32 [batch, horizon], both scaled; next_step: float32 [batch, steps, labels]; language_model: int64
    [batch, steps]."""
    statics: Tensor | None = None
    """[batch, numbers]."""
    categories: Tensor | None = None
    """int64 [batch, categories]."""
    context: Tensor | None = None
    """[batch, context steps, context features]."""
    context_lengths: Tensor | None = None
    """[batch]."""
    is_even: bool = field(default=False, kw_only=True)
    """Whether it is known that all steps of all sequences count."""

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: Tensor) -> "Batch":
        """Some of them."""
        return self._each(lambda values: values.index_select(0, indices))

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            change(self.inputs),
            change(self.lengths),
            change(self.targets),
            None if self.statics is None else change(self.statics),
            None if self.categories is None else change(self.categories),
            None if self.context is None else change(self.context),
            None if self.context_lengths is None else change(self.context_lengths),
            is_even=self.is_even,
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch to be: sequences by their indices, or a window of parallel streams."""

    indices: Tensor
    """[batch]; empty for a window."""
    streams: int = 0
    start: int = 0
    """The window's first step: at 0 the states are fresh, else those of the window before go on."""
    stop: int = 0
    offset: int = 0
    """Where the first stream begins: what is before that comes last."""


_NONE = torch.empty(0, dtype=torch.int64)


class Split:
    """Sequences that are trained on one by one, in any order."""

    carries = False
    """Whether the states at the end of a batch are the next one's first."""

    def __init__(self, data: Batch, *, targets_by_step: bool = False) -> None:
        self._lengths, longest = data.lengths.cpu(), data.inputs.shape[1]
        self.data = replace(data, is_even=bool((self._lengths == longest).all()))
        self.device = data.lengths.device
        self._targets_by_step = targets_by_step

    def __len__(self) -> int:
        return len(self.data)

    def epoch(
        self,
        batch_size: int,
        steps: int | None,  # noqa: ARG002
        generator: torch.Generator,
        *,
        is_shifted: bool = False,  # noqa: ARG002
    ) -> Sequence[Piece]:
        """One epoch in random order, sequences of like length together."""
        order = torch.randperm(len(self), generator=generator)
        if self.data.is_even:
            return [Piece(batch) for batch in torch.split(order, batch_size)]
        pools = [
            pool[torch.argsort(self._lengths[pool], stable=True)] for pool in torch.split(order, batch_size * BUCKETS)
        ]
        batches = [batch for pool in pools for batch in torch.split(pool, batch_size)]
        return [Piece(batches[position]) for position in torch.randperm(len(batches), generator=generator).tolist()]

    def in_order(self, streams: int | None = None) -> Sequence[Piece]:  # noqa: ARG002
        """The whole split, for evaluation."""
        return [Piece(batch) for batch in torch.split(torch.arange(len(self)), EVALUATION_SEQUENCES)]

    def batch(self, piece: Piece) -> Batch:
        """The sequences of a piece, without the padding that none of them needs."""
        batch = self.data.take(piece.indices.to(self.device))
        if self.data.is_even:
            return batch
        longest = int(self._lengths[piece.indices].max())
        targets = batch.targets[:, :longest] if self._targets_by_step else batch.targets
        return replace(batch, inputs=batch.inputs[:, :longest], targets=targets)


class Stream:
    """One long sequence of tokens, each with its target, read as parallel streams whose states go on."""

    carries = True

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        """Of [tokens] both."""
        self._inputs, self._targets, self.device = inputs, targets, inputs.device

    def __len__(self) -> int:
        return len(self._inputs)

    def epoch(
        self, batch_size: int, steps: int | None, generator: torch.Generator, *, is_shifted: bool = False
    ) -> Sequence[Piece]:
        """One pass from the beginning to the end, `steps` at a time: truncated back-propagation through time.

        Shifted: from a random place to the end, and on from the beginning, so that each epoch cuts other windows."""
        offset = int(torch.randint(len(self), (), generator=generator)) if is_shifted else 0
        return self.windows(batch_size, steps or STREAM_STEPS, offset)

    def in_order(self, streams: int | None = None) -> Sequence[Piece]:
        """The whole split, for evaluation: in few streams, as each begins without a past."""
        return self.windows(streams or max(1, min(32, len(self) // 4096)), EVALUATION_STEPS)

    def windows(self, streams: int, steps: int, offset: int = 0) -> Sequence[Piece]:
        """The whole split, `steps` at a time."""
        streams = min(streams, len(self))
        each = -(-len(self) // streams)
        return [Piece(_NONE, streams, start, min(start + steps, each), offset) for start in range(0, each, steps)]

    def batch(self, piece: Piece) -> Batch:
        """A window of all streams; the last one may end early."""
        each = -(-len(self) // piece.streams)
        begins = torch.arange(piece.streams, device=self.device) * each
        left = (begins + each).clamp(max=len(self)) - begins - piece.start
        steps = torch.arange(piece.start, piece.stop, device=self.device)
        positions = (begins[:, None] + steps).clamp(max=len(self) - 1)
        if piece.offset:
            positions = (positions + piece.offset) % len(self)
        return Batch(self._inputs[positions], left.clamp(0, len(steps)), self._targets[positions])
