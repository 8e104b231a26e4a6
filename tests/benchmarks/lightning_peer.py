"""The peer: the same network, data and optimizer under PyTorch Lightning, with logger, checkpoints, progress bar and
summary off. `python -m tests.benchmarks.lightning_peer` is a side; needs the package `lightning`."""

import logging
import warnings
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from tests.benchmarks.training_work import Trained, Work, answer
from tests.benchmarks.tutorial_peer import Network, loaders, loss_function, network


class Classifier(lightning.LightningModule):
    """As Lightning's tutorials have it."""

    def __init__(self, model: Network, learning_rate: float) -> None:
        super().__init__()
        self.model, self.loss_fn, self.learning_rate = model, loss_function(model), learning_rate

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        *inputs, targets = batch
        loss = self.loss_fn(self.model(*inputs), targets)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        *inputs, targets = batch
        outputs = self.model(*inputs)
        self.log("validation_loss", self.loss_fn(outputs, targets), batch_size=len(targets))
        if targets.dim() == 1:
            accuracy = (outputs.argmax(1) == targets).float().mean()
            self.log("validation_accuracy", accuracy, batch_size=len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class _Clock(Callback):
    """Notes each epoch's end: training epochs end after their validation."""

    def __init__(self) -> None:
        self.trained = Trained()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.trained.note(float(trainer.callback_metrics["validation_loss"]))


def _train(work: Work) -> Trained:
    training_loader, validation_loader = loaders(work)
    clock = _Clock()
    trainer = lightning.Trainer(
        max_epochs=work.epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[clock],
    )
    trainer.fit(Classifier(network(work), work.learning_rate), training_loader, validation_loader)
    return clock.trained


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # that its DataLoaders have no workers, mostly: on one core they lose
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    answer(_train, lightning.__version__)
