"""A network under way: everything that changes while it trains, and one epoch of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.data.augmentation import Augmentation
from hpsearch.objectives.rnn.data.batches import Batch, Piece, Split, Stream
from hpsearch.objectives.rnn.network.layers import State
from hpsearch.objectives.rnn.network.model import SequenceModel, detached
from hpsearch.objectives.rnn.network.plain import PlainNetwork, is_plain
from hpsearch.objectives.rnn.network.transfer import HEAD, Freeze
from hpsearch.objectives.rnn.training.averaging import averager_of
from hpsearch.objectives.rnn.training.checkpoint import Weights, part, under, unusable
from hpsearch.objectives.rnn.training.gradients import GradientRecord, clipped
from hpsearch.objectives.rnn.training.losses import Loss
from hpsearch.objectives.rnn.training.optimizers import optimizer_of, with_l1
from hpsearch.objectives.rnn.training.schedules import Plateau, schedule_of


@dataclass(slots=True)
class Progress:
    """How far training has come, besides weights and random states. Plain values."""

    epoch: int = 0
    """Epochs begun; the last one is finished where `step` is 0."""
    step: int = 0
    """Steps done of the epoch under way."""
    best_epoch: int = 0
    best_value: float | None = None
    best_loss: float | None = None
    plateau: dict[str, Any] = field(default_factory=lambda: asdict(Plateau()))
    marks: dict[str, Any] = field(default_factory=dict)
    """What `gradients.marked` remembers of the epochs."""


class Training:
    """One network, its optimizer, and where both stand."""

    def __init__(
        self,
        model: SequenceModel,
        split: Split | Stream,
        loss: Loss,
        augmentation: Augmentation | None,
        options: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.model, self.progress = model, Progress()
        self.best: Weights = {}
        """Of the best epoch so far."""
        self._split, self._loss, self._augmentation, self._options = split, loss, augmentation, options
        self._plain = PlainNetwork(model) if is_plain(model.architecture) else None
        self._optimizer = optimizer_of(options, model, HEAD)
        self._schedule = schedule_of(options, self._steps_per_epoch())
        self._averager = averager_of(options, model)
        self._freeze = Freeze(options, model)
        self._shuffler = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(split.device).manual_seed(seed + 1)
        self._epoch_start = self._shuffler.get_state()
        self._parameters = self._optimizer.trained()
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        # kept as tensors: asking for a number would wait for it, a step
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._record = GradientRecord()
        self._states: tuple[State, ...] | None = None

    def _steps_per_epoch(self) -> int:
        return len(self._pieces(torch.Generator()))

    def _pieces(self, generator: torch.Generator) -> Sequence[Piece]:
        """An epoch, drawn."""
        options = self._options
        return self._split.epoch(
            options["batch_size"], options["bptt_steps"], generator, is_shifted=options["shift_streams"]
        )

    # --- an epoch ----------------------------------------------------------------------------------------------------

    def run_epoch(self, after_step: Callable[[], None]) -> dict[str, float]:
        """Train one epoch, or what is left of it: the mean loss, and the norms of gradients before clipping."""
        progress, options = self.progress, self._options
        if progress.step == 0:
            progress.epoch += 1
            self._epoch_start = self._shuffler.get_state()
            self._begin_epoch()
        self.model.train()
        self._freeze.apply(progress.epoch)
        self._parameters = self._optimizer.trained()
        pieces = self._pieces(self._shuffler)
        for position in range(progress.step, len(pieces)):
            number = (progress.epoch - 1) * len(pieces) + position
            rate = self._schedule.rate(number, progress.plateau["drops"])
            self._step(pieces[position], rate, is_watched=position == 0 and options["bptt_steps"] is None)
            progress.step = position + 1
            if progress.step < len(pieces):
                after_step()
        progress.step = 0
        if self._averager is not None:
            self._averager.after_epoch(self.model, progress.epoch)
        losses, sizes = torch.stack(self._losses).double(), self._losses[0].new_tensor(self._sizes).double()
        return {"train_loss": float((losses * sizes).sum() / sizes.sum()), **self._record.metrics()}

    def losses(self, rates: Iterable[float]) -> Iterator[float]:
        """Train a step at each learning rate, epoch after epoch: the loss of each (the range test)."""
        self.model.train()
        pieces: list[Piece] = []
        for rate in rates:
            if not pieces:
                pieces = list(reversed(self._pieces(self._shuffler)))
            yield float(self._step(pieces.pop(), rate))

    def _step(self, piece: Piece, rate: float, *, is_watched: bool = False) -> Tensor:
        """One step of the optimizer; the loss before it. Watched: how far its gradient goes back is noted."""
        options, batch = self._options, self._split.batch(piece)
        if self._augmentation is not None:
            batch = self._augmentation(batch, self._noise)
        if self._plain is not None and not is_watched and self._plain.takes(batch):
            loss, by_weight = self._plain.gradients(batch, self._loss)
            gradients = tuple(by_weight[parameter] for parameter in self._parameters)
        else:
            loss, gradients = self._by_autograd(batch, piece, is_watched)
        gradients, norm = clipped(gradients, options["clip_norm"], options["clip_value"])
        self._record.add(norm)
        if options["l1"]:
            gradients = with_l1(self._parameters, gradients, options["l1"])
        self._optimizer.step(gradients, rate)
        if self._averager is not None:
            self._averager.after_step(self.model)
        self._losses.append(loss)
        self._sizes.append(len(batch))
        return loss

    def _by_autograd(self, batch: Batch, piece: Piece, is_watched: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss, and its gradients by the parameters; the states go on to the next piece."""
        with self._precision(), self._watched(is_watched) as watched:
            outputs = self.model(batch, self._states if piece.start else None)
        loss = self._loss(outputs.values.float(), batch)
        found = torch.autograd.grad(loss, [*self._parameters, *watched], materialize_grads=True)
        if watched:
            self._record.note_reach(found[-1], batch.lengths)
        if self._split.carries:
            self._states = tuple(detached(state) for state in outputs.states)
        return loss.detach(), found[: len(self._parameters)]

    @contextmanager
    def _watched(self, is_watched: bool) -> Iterator[list[Tensor]]:
        """What the first layer is given within the block, with a gradient; none where it is not watched."""
        found: list[Tensor] = []
        if not is_watched:
            yield found
            return

        def watch(_module: nn.Module, _inputs: object, values: Tensor) -> Tensor:
            found.append(values if values.requires_grad else values.detach().requires_grad_())
            return found[0]

        hook = self.model.input_dropout.register_forward_hook(watch)
        try:
            yield found
        finally:
            hook.remove()

    def _precision(self) -> Any:
        """bfloat16 products on a GPU, where they are asked for."""
        if self._options["mixed_precision"] and self._split.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    # --- what is measured and kept -----------------------------------------------------------------------------------

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """The averaged weights in the model's place, where there are some."""
        averaged = self._averager.weights() if self._averager is not None else None
        if averaged is None:
            yield
            return
        own = self.weights()
        self.model.load_state_dict(averaged)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def weights(self) -> Weights:
        """A copy of what the model holds now."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def state(self) -> tuple[Weights, dict[str, Any]]:
        """Tensors and plain values, from which `load` goes on to the bit."""
        tensors = under("model.", self.model.state_dict()) | under("best.", self.best)
        tensors |= under("optimizer.", self._optimizer.state())
        if self._averager is not None:
            tensors |= under("average.", self._averager.state())
        tensors |= {"random.torch": torch.get_rng_state(), "random.noise": self._noise.get_state()}
        # within an epoch the order is drawn again from where the epoch began
        tensors["random.shuffler"] = self._epoch_start if self.progress.step else self._shuffler.get_state()
        if self._split.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        tensors |= under("epoch.gradients.", self._record.state()) | {"epoch.sizes": torch.tensor(self._sizes)}
        tensors["epoch.losses"] = torch.stack(self._losses) if self._losses else torch.empty(0)
        for layer, state in enumerate(self._states or ()):
            both = state if isinstance(state, tuple) else (state,)
            tensors |= {f"epoch.states.{layer}.{place}": value for place, value in enumerate(both)}
        return tensors, asdict(self.progress)

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Put a saved state in place. Raises `InvalidInput` where it is of another model."""
        device = self._split.device
        try:
            self.model.load_state_dict(part(tensors, "model."))
            self._optimizer.load(part(tensors, "optimizer."))
            if self._averager is not None:
                self._averager.load(part(tensors, "average."))
            self._shuffler.set_state(tensors["random.shuffler"])
            self._noise.set_state(tensors["random.noise"])
            torch.set_rng_state(tensors["random.torch"])
            if device.type == "cuda" and "random.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random.cuda"])
            self._losses = list(tensors["epoch.losses"].to(device))
            self._sizes = tensors["epoch.sizes"].tolist()
            recorded = part(tensors, "epoch.gradients.")
            self._record = GradientRecord.of({name: value.to(device) for name, value in recorded.items()})
            self.progress = Progress(**{item.name: progress[item.name] for item in fields(Progress)})
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise unusable(error) from error
        self._epoch_start = tensors["random.shuffler"]
        self._states = _states(part(tensors, "epoch.states."), device)
        self.best = {name: value.to(device) for name, value in part(tensors, "best.").items()}


def _states(tensors: Mapping[str, Tensor], device: torch.device) -> tuple[State, ...] | None:
    """By layer; None where there are none."""
    layers = {int(name.partition(".")[0]) for name in tensors}
    found: list[State] = []
    for layer in sorted(layers):
        own = [value.to(device) for _, value in sorted(part(tensors, f"{layer}.").items())]
        found.append(own[0] if len(own) == 1 else (own[0], own[1]))
    return tuple(found) or None
