"""Texts as parallel streams: which tokens a window holds, where a shifted epoch begins, and in how many one is read."""

from itertools import chain
from pathlib import Path

import pytest
import torch

from hpsearch.objectives.rnn.data.batches import EVALUATION_STEPS, Stream
from hpsearch.objectives.rnn.models.loader import load_model
from hpsearch.trials import Scalar
from tests.objectives.conftest import MakeRecorder

PARAMETERS: dict[str, Scalar] = {"dataset": "text.txt", "max_epochs": 2, "hidden_units": 6, "batch_size": 4}


def numbered(tokens: int) -> Stream:
    """Each token is its place, each target the place after it."""
    places = torch.arange(tokens)
    return Stream(places, places + 1)


def read(stream: Stream, is_shifted: bool, seed: int = 0) -> list[list[int]]:
    """What each stream reads in an epoch of windows of 16 in 4 streams."""
    rows: list[list[int]] = [[] for _ in range(4)]
    for piece in stream.epoch(4, 16, torch.Generator().manual_seed(seed), is_shifted=is_shifted):
        batch = stream.batch(piece)
        assert torch.equal(batch.targets, batch.inputs + 1)
        for row, tokens, length in zip(rows, batch.inputs.tolist(), batch.lengths.tolist(), strict=True):
            row.extend(tokens[:length])
    return rows


@pytest.mark.parametrize("tokens", [5, 64, 163, 400])
def test_an_epoch_reads_each_token_once_and_each_stream_onwards(tokens: int) -> None:
    rows = read(numbered(tokens), is_shifted=False)
    assert [*chain(*rows)] == list(range(tokens))


@pytest.mark.parametrize("tokens", [5, 64, 163, 400])
def test_a_shifted_epoch_does_too_from_another_place_on(tokens: int) -> None:
    starts = set()
    for seed in range(6):
        rows = read(numbered(tokens), is_shifted=True, seed=seed)
        start = rows[0][0]
        assert [*chain(*rows)] == [place % tokens for place in range(start, start + tokens)]
        starts.add(start)
    assert len(starts) > 3


def test_epochs_shift_one_after_another_by_the_seed(recorder: MakeRecorder, data: Path) -> None:
    (data / "text.txt").write_text("to be or not to be, that is the question: " * 40)
    usual, shifted, again = recorder(), recorder(), recorder()
    usual.run(PARAMETERS)
    shifted.run({**PARAMETERS, "shift_streams": True})
    again.run({**PARAMETERS, "shift_streams": True})
    assert shifted.values == again.values != usual.values
    stream, generator = numbered(1000), torch.Generator().manual_seed(0)
    firsts = {stream.epoch(4, 16, generator, is_shifted=True)[0].offset for _ in range(5)}
    assert len(firsts) == 5


@pytest.mark.parametrize(("streams", "count"), [(None, 2), (1, 1), (3, 3), (9000, 8500)])
def test_a_text_is_evaluated_in_as_many_streams_as_asked_for(streams: int | None, count: int) -> None:
    pieces = numbered(8500).in_order(streams)
    assert {piece.streams for piece in pieces} == {count}
    assert max(piece.stop - piece.start for piece in pieces) <= EVALUATION_STEPS
    assert sum(int(numbered(8500).batch(piece).lengths.sum()) for piece in pieces) == 8500


def test_a_model_reads_as_it_was_evaluated(recorder: MakeRecorder, data: Path) -> None:
    """A text of one stream is told from its whole past: its likelihood is the same cut nowhere."""
    text = "to be or not to be, that is the question: " * 300
    (data / "text.txt").write_text(text)
    trial = recorder()
    result = trial.run({**PARAMETERS, "evaluation_streams": 3, "learning_rate": 0.02})
    other = recorder().run({**PARAMETERS, "learning_rate": 0.02})
    assert result.metrics["train_loss"] != other.metrics["train_loss"]
    for name in ("model.safetensors", "model.json"):
        (trial.folder / name).write_bytes(trial.saved[name])
    model = load_model(trial.folder)
    train = text[: round(0.8 * round(0.8 * len(text)))]
    told = model.log_likelihood(train) / (len(train) - 1)
    assert told == pytest.approx(-(result.metrics["train_loss"] or 0), rel=1e-5)
