"""A trained model in use: raw sequences in, predictions out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hpsearch.errors import Fault, InvalidInput
from hpsearch.objectives.rnn.data.batches import EVALUATION_STEPS, Batch, Split, Stream
from hpsearch.objectives.rnn.data.prepared import as_batch
from hpsearch.objectives.rnn.data.sequences import AnyArray, FloatArray, Sequences
from hpsearch.objectives.rnn.data.vocabulary import decode, encode
from hpsearch.objectives.rnn.models.raw import RawReader, RawSequences
from hpsearch.objectives.rnn.models.saved import SavedModel
from hpsearch.objectives.rnn.network.layers import State
from hpsearch.objectives.rnn.network.pooling import last_state, sequence_mask
from hpsearch.objectives.rnn.tasks import is_recursive
from hpsearch.objectives.rnn.training.evaluation import recursive
from hpsearch.objectives.rnn.training.losses import Loss
from hpsearch.objectives.rnn.training.metrics import StepTally

ATTENTION_SEQUENCES = 64
"""Read at a time: attention weights are many."""


class Model:
    """What `hpsearch.load_model` gives.

    Every method takes raw sequences, as they are before any scaling or cutting: a list of arrays [steps, features], of
    any lengths; or one array [sequences, steps, features]; or, where the model reads text, a list of str. Beside them,
    where the model was trained with such, `statics` [sequences, numbers], `categories` [sequences, categories], as the
    table has them, or of indices where the data were arrays (what training has not seen counts as unknown), and
    `context`, a second sequence each. They are scaled and
    padded as in training. All raise `InvalidInput`, where what they are given does not fit the model.
    """

    def __init__(self, saved: SavedModel) -> None:
        self.card = saved.card
        """All that `model.json` says: parameters, metrics, seed, versions."""
        self._network, self._scaler = saved.network, saved.scaler
        self._reader = RawReader.of_card(saved.card, saved.network.architecture)

    @property
    def task(self) -> str:
        """classification, multilabel, regression, forecast, next_step or language_model."""
        return str(self.card["task"])

    @property
    def classes(self) -> NDArray[np.str_]:
        """Names of the classes or labels, in the order of the probabilities."""
        return np.array(self.card["classes"], dtype=np.str_)

    def predict(
        self,
        sequences: RawSequences,
        *,
        statics: ArrayLike | None = None,
        categories: ArrayLike | None = None,
        context: RawSequences | None = None,
    ) -> AnyArray:
        """What the model tells, by its task:

        - classification: names of classes, [sequences] of str;
        - multilabel: which labels are on, [sequences, labels] of bool;
        - regression: numbers in the target's unit, [sequences];
        - forecast: of windows of the past, as long as in training, the steps after them, [sequences, horizon] in the
          target's unit;
        - next_step: the probability of each label in the step after a sequence's end, [sequences, labels].

        A language model has `generate` and `log_likelihood` instead.
        """
        if self.task == "language_model":
            raise _wrong_task("predict", "the other tasks; see generate and log_likelihood", self.task)
        read = self._reader.read(sequences, statics, categories, context)
        outputs = self._outputs(read)
        match self.task:
            case "classification":
                return np.asarray(self.classes[outputs.numpy().argmax(axis=1)])
            case "multilabel":
                return np.asarray(outputs.numpy() > 0)
            case "next_step":
                return outputs.sigmoid().numpy()
        told = self._scaler.unscale(outputs.numpy(), read)
        return told[:, 0] if self.task == "regression" else told

    def predict_proba(
        self,
        sequences: RawSequences,
        *,
        statics: ArrayLike | None = None,
        categories: ArrayLike | None = None,
        context: RawSequences | None = None,
    ) -> FloatArray:
        """Probabilities, [sequences, classes] or [sequences, labels] in the order of `classes`."""
        if self.task not in ("classification", "multilabel"):
            raise _wrong_task("predict_proba", "classification and multilabel", self.task)
        outputs = self._outputs(self._reader.read(sequences, statics, categories, context))
        return (outputs.softmax(dim=1) if self.task == "classification" else outputs.sigmoid()).numpy()

    @torch.inference_mode()
    def attention(
        self,
        sequences: RawSequences,
        *,
        statics: ArrayLike | None = None,
        categories: ArrayLike | None = None,
        context: RawSequences | None = None,
    ) -> dict[str, FloatArray]:
        """How much each step weighs, by kind, and 0 for padding: `pooling` [sequences, steps]; `self` [sequences,
        heads, steps attending, steps attended to]; `context` [sequences, steps, context steps]."""
        batch = as_batch(self._reader.read(sequences, statics, categories, context), self._scaler, self.task)
        pieces = torch.split(torch.arange(len(batch)), ATTENTION_SEQUENCES)
        parts = [_weights(self._network, batch.take(piece)) for piece in pieces]
        if not parts[0]:
            problem = "has none: it was trained with neither self-attention nor attention pooling nor a context"
            raise InvalidInput(faults=[Fault("attention", problem)])
        return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}

    @torch.inference_mode()
    def generate(self, prompt: str, tokens: int, temperature: float = 1.0, seed: int = 0) -> str:
        """So many tokens of text after a prompt, drawn one after the other. Below 1 the temperature makes likely tokens
        likelier; 0 takes the likeliest each time. The same seed draws the same text."""
        if not temperature >= 0:
            raise InvalidInput(faults=[Fault("temperature", f"must be 0 or more, not {temperature}")])
        pending = self._encoded("generate", prompt, "prompt", least=1)
        generator = torch.Generator().manual_seed(seed)
        states: tuple[State, ...] | None = None
        found: list[int] = []
        for _ in range(tokens):
            while len(pending) > EVALUATION_STEPS:
                states = self._network(_of_tokens(pending[:EVALUATION_STEPS]), states).states
                pending = pending[EVALUATION_STEPS:]
            outputs = self._network(_of_tokens(pending), states)
            found.append(_drawn(outputs.values[0, -1], temperature, generator))
            if self._network.self_attention is None:
                states, pending = outputs.states, found[-1:]
            else:  # which looks back over the steps of a window
                pending = [*pending, found[-1]]
        return decode(self._reader.vocabulary or "", found)

    @torch.inference_mode()
    def log_likelihood(self, text: str) -> float:
        """The logarithm of a text's probability, in nats: the sum over all tokens but the first, each told from those
        before it. Read as in evaluation: texts of 8,192 tokens and more in parts, each without a past, or in
        `evaluation_streams` parts where the model was trained with that setting."""
        tokens = torch.tensor(self._encoded("log_likelihood", text, "text", least=2))
        stream = Stream(tokens[:-1], tokens[1:])
        tally = StepTally(self.task, Loss(task=self.task, name="cross_entropy"), stream.device)
        states: tuple[State, ...] | None = None
        for piece in stream.in_order(self.card["parameters"].get("evaluation_streams")):
            batch = stream.batch(piece)
            outputs = self._network(batch, states if piece.start else None)
            states = outputs.states
            tally.add(outputs.values, batch)
        return -tally.metrics()["loss"] * len(stream)

    def export(self, path: str | Path) -> tuple[str, ...]:
        """Write the network as TorchScript (`.pt`) or ONNX (`.onnx`); returns the names of its inputs."""
        from hpsearch.objectives.rnn.models.export import export_network

        return export_network(self._network, Path(path).expanduser(), self._steps_ahead)

    @property
    def _steps_ahead(self) -> int:
        """Of a recursive forecast; 0: it is none."""
        return self._reader.horizon if is_recursive(self.task, self.card["parameters"]) else 0

    @torch.inference_mode()
    def _outputs(self, read: Sequences) -> Tensor:
        """[sequences, outputs]: of tasks that tell each step, those of the last one."""
        split = Split(as_batch(read, self._scaler, self.task))
        found = []
        for piece in split.in_order():
            batch = split.batch(piece)
            values = recursive(self._network, batch) if self._steps_ahead else self._network(batch).values
            found.append(last_state(values, batch.lengths, False) if values.dim() == 3 else values)
        return torch.cat(found)

    def _encoded(self, method: str, text: str, name: str, least: int) -> list[int]:
        if self.task != "language_model":
            raise _wrong_task(method, "language models", self.task)
        if not isinstance(text, str):
            raise InvalidInput(faults=[Fault(name, f"must be a text, not {type(text).__name__}")])
        (tokens,) = encode(self._reader.vocabulary or "", [text])
        if len(tokens) < least:
            raise InvalidInput(faults=[Fault(name, f"must have {least} token{'s' * (least > 1)} at least")])
        return tokens


def _weights(network: Any, batch: Batch) -> Mapping[str, Tensor]:
    """Weights of attention, 0 where a padded step attends."""
    found = network(batch, attention=True).attention
    mask = sequence_mask(batch.lengths, batch.inputs.shape[1])
    shapes = {"pooling": mask, "self": mask[:, None, :, None], "context": mask[:, :, None]}
    return {name: weights * shapes[name] for name, weights in found.items()}


def _of_tokens(tokens: list[int]) -> Batch:
    inputs = torch.tensor([tokens])
    return Batch(inputs, torch.tensor([len(tokens)]), inputs)


def _drawn(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """A token; never the unknown one, which stands for no text."""
    known = logits[1:]
    if temperature == 0:
        return 1 + int(known.argmax())
    scores = (known.double() - known.max()) / temperature
    return 1 + int(torch.multinomial(scores.softmax(dim=0), 1, generator=generator))


def _wrong_task(method: str, tasks: str, task: str) -> InvalidInput:
    return InvalidInput(faults=[Fault(method, f"is for {tasks}; this model is for {task}")])
