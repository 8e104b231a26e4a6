"""The peer: a training loop as PyTorch's tutorials have it. `python -m tests.benchmarks.tutorial_peer` is a side.

After "Training with PyTorch" and "Quickstart" (DataLoader, `.item()` a step, `torch.optim.Adam` as it comes,
validation through a DataLoader of the same batch size), and for sequences of different lengths a `collate_fn` with
`pad_sequence`, and `pack_padded_sequence`. PyTorch and numpy alone.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.benchmarks.training_work import Trained, Work, answer

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}
PARTS = ("train", "validation")
EndEpoch = Callable[[float], Any]
"""Called with the validation loss."""


class Network(nn.Module):
    """One recurrent layer; its last state goes into a linear one."""

    def __init__(self, cell: str, inputs: int, units: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = CELLS[cell](inputs, units, batch_first=True)
        self.head = nn.Linear(units, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            outputs, _ = self.recurrent(inputs)
            return self.head(outputs[:, -1])
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.recurrent(packed)
        hidden = state[0] if isinstance(state, tuple) else state
        return self.head(hidden[-1])


class SequenceDataset(Dataset):
    """Sequences of different lengths."""

    def __init__(self, sequences: Sequence[Tensor], targets: Tensor) -> None:
        self.sequences, self.targets = sequences, targets

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sequences[index], self.targets[index]


def collate(examples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """A padded batch, its lengths and its targets."""
    sequences, targets = zip(*examples, strict=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.stack(targets)


@cache
def read_splits(path: Path) -> tuple[Dataset, Dataset, int, int]:
    """The data to train on and to validate on, how many features they have, and outputs there are."""
    with np.load(path) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    train, validation = (_dataset(*(arrays[f"{kind}_{name}"] for kind in ("x", "lengths", "y"))) for name in PARTS)
    return train, validation, arrays["x_train"].shape[2], int(arrays["outputs"])


def _dataset(inputs: Tensor, lengths: Tensor, targets: Tensor) -> Dataset:
    if bool((lengths == inputs.shape[1]).all()):
        return TensorDataset(inputs, targets)
    sequences = [one[:length] for one, length in zip(inputs, lengths.tolist(), strict=True)]
    return SequenceDataset(sequences, targets)


def loaders(work: Work) -> tuple[DataLoader, DataLoader]:
    """To train on, shuffled, and to validate on."""
    train, validation, _, _ = read_splits(Path(work.folder) / f"{work.dataset}.splits.npz")
    how: dict[str, Any] = {"batch_size": work.batch_size}
    if isinstance(train, SequenceDataset):
        how["collate_fn"] = collate
    return DataLoader(train, shuffle=True, **how), DataLoader(validation, **how)


def network(work: Work) -> Network:
    """A fresh one."""
    _, _, inputs, outputs = read_splits(Path(work.folder) / f"{work.dataset}.splits.npz")
    return Network(work.cell, inputs, work.units, outputs)


def loss_function(model: Network) -> nn.Module:
    """By what the network tells: a class or a number."""
    return nn.CrossEntropyLoss() if model.head.out_features > 1 else nn.MSELoss()


def train(work: Work, end_epoch: EndEpoch) -> float:
    """The last epoch's validation loss."""
    training_loader, validation_loader = loaders(work)
    model = network(work)
    loss_fn = loss_function(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=work.learning_rate)
    validation_loss = float("nan")
    for _ in range(work.epochs):
        model.train()
        running_loss = 0.0
        for *inputs, targets in training_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(*inputs), targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        validation_loss = validate(model, validation_loader, loss_fn)
        end_epoch(validation_loss)
    return validation_loss


def validate(model: Network, loader: DataLoader, loss_fn: nn.Module) -> float:
    """The mean loss over all sequences; the accuracy is counted too, as tutorials do."""
    model.eval()
    total, correct, count = 0.0, 0.0, 0
    with torch.no_grad():
        for *inputs, targets in loader:
            outputs = model(*inputs)
            total += loss_fn(outputs, targets).item() * len(targets)
            if targets.dim() == 1:
                correct += (outputs.argmax(1) == targets).type(torch.float).sum().item()
            count += len(targets)
    return total / count


def _train(work: Work) -> Trained:
    trained = Trained()
    train(work, trained.note)
    return trained


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    answer(_train, torch.__version__)
