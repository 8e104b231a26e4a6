"""A training loop in plain PyTorch, on handwritten digits: pruned by the epoch, resumed from its checkpoint.

cd studies/own && hpsearch run loop.yaml --objective loop:Loop
"""

from pathlib import Path
from typing import Annotated

import torch
from sklearn.datasets import load_digits
from torch import nn

from hpsearch import Categorical, Context, Float, Int


class Loop:
    """A class is made once a process: its trials share the data."""

    def __init__(self) -> None:
        x, y = load_digits(return_X_y=True)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        self.x, self.y = torch.tensor(x, dtype=torch.float32)[order] / 16, torch.tensor(y)[order]

    def __call__(
        self,
        context: Context,
        learning_rate: Annotated[float, Float(1e-4, 1e-1, log=True)],
        units: Annotated[int, Int(8, 64, log=True)],
        activation: Annotated[str, Categorical("relu", "tanh")] = "relu",
        epochs: int = 20,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        torch.manual_seed(context.seed)
        x, y = self.x.to(context.device), self.y.to(context.device)
        model = nn.Sequential(
            nn.Linear(64, units), nn.ReLU() if activation == "relu" else nn.Tanh(), nn.Linear(units, 10)
        ).to(context.device)
        optimizer = torch.optim.Adam(model.parameters(), learning_rate)
        epoch = 0
        if before := context.checkpoint.load():
            state = torch.load(before / "state.pt", weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            epoch = state["epoch"]

        def save(folder: Path) -> None:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state | {"random": torch.get_rng_state()}, folder / "state.pt")

        context.checkpoint.keep(save, seconds=checkpoint_seconds)
        while epoch < epochs:
            for batch in torch.randperm(1200).split(64):
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            epoch += 1
            with torch.no_grad():
                accuracy = (model(x[1200:]).argmax(1) == y[1200:]).float().mean()
            context.report(epoch, accuracy, train_loss=loss)
        # nothing returned: the best value reported counts
