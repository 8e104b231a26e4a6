"""A split in memory as tensors, once, and its batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hpsearch.objectives.rnn.scaling import Scaling
from hpsearch.objectives.rnn.sequences import Sequences

BUCKETS = 8
"""Batches whose sequences are sorted by length together: padding goes, the order stays random enough."""


@dataclass(frozen=True, slots=True)
class Split:
    """A split, standardised."""

    inputs: Tensor
    """[sequences, steps, features]."""
    lengths: Tensor
    """[sequences]."""
    targets: Tensor
    """int64 [sequences], or float32 [sequences] standardised."""
    longest: bool
    """Whether all sequences are of one length: then nothing needs trimming."""

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(inputs, lengths, targets) of some sequences, without the padding that none of them needs."""
        inputs, lengths = self.inputs[indices], self.lengths[indices]
        if not self.longest:
            inputs = inputs[:, : int(lengths.max())]
        return inputs, lengths, self.targets[indices]


def as_split(sequences: Sequences, scaling: Scaling, task: str) -> Split:
    """A split ready to train on."""
    targets = sequences.targets if task == "classification" else scaling.targets(sequences)
    return Split(
        torch.from_numpy(scaling.inputs(sequences)),
        torch.from_numpy(sequences.lengths),
        torch.from_numpy(targets),
        bool((sequences.lengths == sequences.inputs.shape[1]).all()),
    )


def shuffled(split: Split, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch's batches in random order, sequences of like length together."""
    order = torch.randperm(len(split), generator=generator)
    if not split.longest:
        pools = [
            pool[torch.argsort(split.lengths[pool], stable=True)] for pool in torch.split(order, batch_size * BUCKETS)
        ]
        batches = [batch for pool in pools for batch in torch.split(pool, batch_size)]
        batches = [batches[position] for position in torch.randperm(len(batches), generator=generator).tolist()]
    else:
        batches = list(torch.split(order, batch_size))
    for batch in batches:
        yield split.batch(batch)


def in_order(split: Split, batch_size: int = 1024) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The whole split, for evaluation."""
    for batch in torch.split(torch.arange(len(split)), batch_size):
        yield split.batch(batch)
