"""`hpsearch rnn`: learning rates, attention and export; and studies that narrow their learning rates beforehand."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.cli.lr_range import middle_of, narrowed
from hpsearch.client import Client
from hpsearch.errors import InvalidSpec
from hpsearch.objectives.rnn.training.lr_range import RangeTest
from hpsearch.parameters import FloatParameter
from hpsearch.spec import parse_study
from tests.cli.conftest import Command, Shell
from tests.cli.runs import running, write_study
from tests.objectives.conftest import Recorder

SETTINGS: dict[str, Any] = {"dataset": "mine.npz", "max_epochs": 1, "lr_range_test": True}
SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 1e-6, "high": 1.0, "log": True},
    "hidden_units": {"type": "int", "low": 8, "high": 32, "log": True},
}


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> Path:
    """A folder with easy sequences, `mine.npz`."""
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    lengths = generator.integers(2, 6, size=200)
    x = generator.normal(size=(200, 5, 2)) + (2.0 * labels - 1)[:, None, None]
    np.savez(tmp_path / "mine.npz", x=x, y=labels, lengths=lengths)
    return tmp_path


def study_of(folder: Path, settings: dict[str, Any] = SETTINGS, **changes: Any) -> Path:
    return write_study(folder, 1, settings, **{"space": SPACE} | changes)


@pytest.fixture
def model(data: Path) -> Path:
    """The folder of a tiny trained model."""
    workspace, folder = data / "workspace", data / "model"
    workspace.mkdir()
    folder.mkdir()
    trial = Recorder(workspace, (data,))
    trial.run({"dataset": "mine.npz", "max_epochs": 1, "hidden_units": 8, "pooling": "additive", "attention_heads": 2})
    for name, content in trial.saved.items():
        (folder / name).write_bytes(content)
    return folder


def is_self_contained(page: str) -> bool:
    """Whether a page brings its script and loads nothing."""
    return len(page) > 1_000_000 and "<script src" not in page and "<link" not in page


class TestLearningRates:
    def test_the_curve_and_the_range(self, hpsearch: Command, data: Path) -> None:
        answer = hpsearch("rnn", "lr-range", str(study_of(data)), "--plot", str(data / "rates.html"))
        assert (answer.code, answer.complaints) == (0, "")
        lines = answer.output.splitlines()
        assert sum("•" in line for line in lines) > 3
        assert any("├" in line and "┤" in line for line in lines)
        assert lines[-2].startswith("the network learns from ")
        assert lines[-1].startswith("of the study's range, 1e-06 … 1, that leaves ")
        assert is_self_contained((data / "rates.html").read_text())

    def test_as_json(self, hpsearch: Command, data: Path) -> None:
        file = str(study_of(data))
        found = hpsearch("rnn", "lr-range", file, "--json").json
        assert 1e-6 < found["low"] < found["steepest"] <= found["high"] < 1
        assert found["narrowed"] == {end: float(f"{found[end]:.2g}") for end in ("low", "high")}
        assert len(found["rates"]) == len(found["losses"]) > 50
        assert hpsearch("rnn", "lr-range", file, "--json").json == found
        assert hpsearch("rnn", "lr-range", file, "--json", "--seed", "5").json != found
        assert len(hpsearch("rnn", "lr-range", file, "--json", "--steps", "60").json["rates"]) < 60

    def test_data_are_found_where_they_are_said_to_be(self, hpsearch: Command, data: Path) -> None:
        (data / "elsewhere").mkdir()
        file = str(study_of(data / "elsewhere"))
        answer = hpsearch("rnn", "lr-range", file)
        assert answer.code == 1
        assert "there is no file 'mine.npz'" in answer.complaints
        assert hpsearch("rnn", "lr-range", file, "--data", str(data)).code == 0

    def test_a_study_of_something_else(self, hpsearch: Command, data: Path) -> None:
        file = study_of(data, objective={"direction": "minimize"})
        answer = hpsearch("rnn", "lr-range", str(file))
        assert answer.code == 1
        assert answer.complaints == "error: 1 fault\n  objective.name: must be rnn, not None\n"

    def test_without_plotly(self, hpsearch: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "plotly", None)
        monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
        answer = hpsearch("rnn", "lr-range", str(study_of(data)), "--plot", str(data / "rates.html"))
        assert answer.code == 1
        assert "pip install 'hpsearch[plot]'" in answer.complaints


class TestNarrowing:
    FOUND = RangeTest(rates=(1e-6, 1.0), losses=(2.0, 1.0), low=0.00123, high=0.0456, steepest=0.01)

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (1e-6, 1.0, (0.0012, 0.046)),
            (0.005, 1.0, (0.005, 0.046)),
            (1e-6, 0.01, (0.0012, 0.01)),
            (0.01, 0.02, (0.01, 0.02)),
            (0.046, 1.0, (0.046, 0.046)),
        ],
    )
    def test_what_both_ranges_have_in_common(self, low: float, high: float, expected: tuple[float, float]) -> None:
        assert narrowed(FloatParameter(type="float", low=low, high=high, log=True), self.FOUND) == expected

    @pytest.mark.parametrize(("low", "high"), [(1e-6, 1e-3), (0.05, 1.0)])
    def test_nothing_in_common(self, low: float, high: float) -> None:
        with pytest.raises(InvalidSpec, match=r"space.learning_rate: is from .* learns from 0\.0012 to 0\.046"):
            narrowed(FloatParameter(type="float", low=low, high=high, log=True), self.FOUND)

    def test_the_middle_of_a_space(self) -> None:
        space = {
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "l1": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
            "hidden_units": {"type": "int", "low": 16, "high": 64, "log": True},
            "batch_size": {"type": "int", "low": 16, "high": 96, "step": 16},
            "cell": {"type": "categorical", "choices": ["gru", "lstm"]},
        }
        study = {"name": "s", "objective": {"name": "rnn", "direction": "minimize", "settings": {"dataset": "digits"}}}
        middle = middle_of(parse_study({**study, "space": space, "budget": {"trials": 1}}))
        assert middle.pop("learning_rate") == pytest.approx(1e-3)
        assert middle.pop("l1") == pytest.approx(0.2)
        assert middle.pop("batch_size") in (48, 64)
        assert middle == {"dataset": "digits", "dropout": 0.25, "hidden_units": 32, "cell": "gru"}

    def test_create_narrows_and_finds_the_same_again(self, connected: Command, client: Client, data: Path) -> None:
        file = study_of(data, name="narrow")
        lines = connected("study", "create", str(file)).output.splitlines()
        posted = client.study("narrow").info.spec.space["learning_rate"]
        assert isinstance(posted, FloatParameter)
        assert 1e-6 < posted.low < posted.high < 1.0
        assert posted.log
        assert lines[0] == f"learning rate: 1e-06 … 1 narrowed to {posted.low:g} … {posted.high:g}"
        assert lines[1] == "narrow: running"
        again = connected("study", "create", str(file), "--json")
        assert again.json["id"] == client.study("narrow").info.id
        assert again.complaints == lines[0] + "\n"

    def test_a_study_that_does_not_ask_is_posted_as_it_is(
        self, connected: Command, client: Client, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        file = study_of(data, {**SETTINGS, "lr_range_test": False}, name="plain")
        assert connected("study", "create", str(file)).output.startswith("plain: running\n")
        posted = client.study("plain").info.spec.space["learning_rate"]
        assert posted.model_dump(mode="json", exclude_none=True) == SPACE["learning_rate"]

    @pytest.mark.parametrize("searched", [None, {"type": "categorical", "choices": [0.1, 0.2]}])
    def test_without_a_range_to_narrow(self, connected: Command, client: Client, data: Path, searched: Any) -> None:
        space = {"hidden_units": SPACE["hidden_units"]} | ({"learning_rate": searched} if searched else {})
        answer = connected("study", "create", str(study_of(data, name="none", space=space)))
        assert answer.code == 1
        assert "objective.settings.lr_range_test: narrows a range: space.learning_rate must be a" in answer.complaints
        assert "none" not in {study.name for study in client.studies()}

    def test_without_torch_nothing_is_posted(
        self, connected: Command, client: Client, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        answer = connected("study", "create", str(study_of(data, name="none")))
        assert (answer.code, answer.output) == (1, "")
        assert "needs PyTorch: pip install 'hpsearch[rnn]'" in answer.complaints
        assert "none" not in {study.name for study in client.studies()}

    def test_run_narrows_before_it_searches(self, shell: Shell, data: Path) -> None:
        output = shell.start(*running(study_of(data))).stdout
        assert output
        told = output.readline()
        assert told.startswith("learning rate: 1e-06 … 1 narrowed to ")
        assert output.readline().startswith("tiny on http://")
        posted = shell.client().study("tiny").info.spec.space["learning_rate"]
        assert isinstance(posted, FloatParameter)
        assert told.endswith(f"narrowed to {posted.low:g} … {posted.high:g}\n")


class TestAttention:
    def test_a_table_a_head(self, hpsearch: Command, model: Path, data: Path) -> None:
        answer = hpsearch("rnn", "attention", str(model), str(data / "mine.npz"), "--sequence", "7")
        assert (answer.code, answer.complaints) == (0, "")
        steps = int(np.load(data / "mine.npz")["lengths"][7])
        rows = answer.rows
        assert rows[0] == ["self, head 1", *(str(step + 1) for step in range(steps))]
        assert rows[steps + 1][0] == "self, head 2"
        assert rows[2 * steps + 2] == ["step", "pooling"]
        pooled = [float(row[1]) for row in rows[2 * steps + 3 :]]
        assert len(pooled) == steps
        assert sum(pooled) == pytest.approx(1, abs=1e-3)

    def test_as_json_and_as_a_plot(self, hpsearch: Command, model: Path, data: Path) -> None:
        page = data / "attention.html"
        answer = hpsearch("rnn", "attention", str(model), str(data / "mine.npz"), "--json", "--plot", str(page))
        found = answer.json
        steps = len(found["steps"])
        assert np.array(found["self"]).shape == (2, steps, steps)
        assert np.array(found["pooling"]).sum() == pytest.approx(1, abs=1e-5)
        assert is_self_contained(page.read_text())
        first = page.read_bytes()
        hpsearch("rnn", "attention", str(model), str(data / "mine.npz"), "--plot", str(page))
        assert page.read_bytes() == first

    @pytest.mark.parametrize(
        ("more", "problem"),
        [
            (["mine.npz", "--sequence", "200"], "sequence: must be from 0 to 199, as mine.npz has 200, not 200"),
            (["none.npz"], "none.npz: No such file"),
            (["tiny.json"], "is no .npz of plain arrays"),
            (["empty.npz"], "has no array x; arrays: y"),
            (["wide.npz"], "must be [steps, features] of 2 features"),
        ],
    )
    def test_what_cannot_be_read_is_told(
        self, hpsearch: Command, model: Path, data: Path, more: list[str], problem: str
    ) -> None:
        study_of(data)
        np.savez(data / "empty.npz", y=np.zeros(3))
        np.savez(data / "wide.npz", x_test=np.zeros((3, 4, 5)))
        answer = hpsearch("rnn", "attention", str(model), str(data / more[0]), *more[1:])
        assert (answer.code, answer.output) == (1, "")
        assert problem in answer.complaints

    def test_texts_are_told_by_their_tokens(self, hpsearch: Command, data: Path) -> None:
        workspace = data / "workspace"
        workspace.mkdir()
        (data / "texts.csv").write_text("\n".join(["t,k", *(f"{'ab' if i % 2 else 'ba'},k{i % 2}" for i in range(40))]))
        trial = Recorder(workspace, (data,))
        trial.run({"dataset": "texts.csv", "text": "t", "target": "k", "pooling": "additive", "max_epochs": 1})
        for name, content in trial.saved.items():
            (data / name).write_bytes(content)
        np.savez(data / "raw.npz", x=np.array(["ab", "bza"]))
        answer = hpsearch("rnn", "attention", str(data), str(data / "raw.npz"), "--sequence", "1", "--json")
        assert answer.json["steps"] == ["b", "[UNK]", "a"]


class TestExport:
    def test_a_file_that_runs(self, hpsearch: Command, model: Path, data: Path) -> None:
        answer = hpsearch("rnn", "export", str(model), "--to", str(data / "network.pt"))
        assert (answer.code, answer.complaints) == (0, "")
        assert answer.output == f"{data / 'network.pt'}: takes inputs, lengths\n"
        assert (data / "network.pt").stat().st_size > 1000

    def test_what_cannot_be_written_is_told(self, hpsearch: Command, model: Path, data: Path) -> None:
        answer = hpsearch("rnn", "export", str(model), "--to", str(data / "network.bin"))
        assert answer.code == 1
        assert "must end in .pt (TorchScript) or .onnx (ONNX)" in answer.complaints
        (model / "model.json").write_text(json.dumps({"format": 1}))
        answer = hpsearch("rnn", "export", str(model), "--to", str(data / "network.pt"))
        assert answer.code == 1
        assert "is of format 1" in answer.complaints


@pytest.mark.parametrize("command", ["lr-range", "export", "attention"])
def test_every_command_explains_itself(hpsearch: Command, command: str) -> None:
    answer = hpsearch("rnn", command, "--help")
    assert answer.code == 0
    assert f"hpsearch rnn {command}" in answer.output
