"""Models taken home: raw sequences in, the predictions that the trial's own evaluation made out."""

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import hpsearch
from hpsearch.errors import ConfigurationError, HpsearchError, InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.sequences import Sequences
from hpsearch.objectives.rnn.data.splits import split
from hpsearch.objectives.rnn.models.export import Exported, export_network, input_names
from hpsearch.objectives.rnn.models.trained import Model
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.trials import Metrics, Scalar
from tests.objectives.conftest import MakeRecorder

QUICK: Mapping[str, Scalar] = {"hidden_units": 8, "max_epochs": 2, "batch_size": 16}


@dataclass(frozen=True)
class Trained:
    """A model as a user has it, and what its trial measured."""

    folder: Path
    model: Model
    metrics: Metrics
    test: Sequences
    """The split that it was tested on, raw."""

    @property
    def rows(self) -> list[Any]:
        """The sequences of the test split, as long as they are."""
        return [row[:length] for row, length in zip(self.test.inputs, self.test.lengths, strict=True)]


Train = Callable[..., Trained]


@pytest.fixture
def train(recorder: MakeRecorder, data: Path, tmp_path: Path) -> Train:
    """Trains a tiny network on a data set and loads it from its two files."""

    def train(metric: str = "validation_loss", **parameters: Scalar) -> Trained:
        trial, options = recorder(), {**QUICK, **parameters}
        result = trial.run(options, metric=metric)
        assert result.state == "complete"
        folder = tmp_path / f"model {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name in ("model.safetensors", "model.json"):
            (folder / name).write_bytes(trial.saved[name])
        whole = with_defaults(INFO, options)
        fractions = whole["validation_fraction"], whole["test_fraction"]
        (parts,) = split(read_dataset(whole, (data,)), *fractions, whole["split_seed"])
        return Trained(folder, hpsearch.load_model(folder), result.metrics, parts.test)

    return train


def close(value: float | None) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-6)


class TestPredict:
    """Predictions on the test split's raw sequences give the metrics that the trial's evaluation recorded."""

    @pytest.mark.parametrize("more", [{}, {"bidirectional": True, "pooling": "additive", "attention_heads": 2}])
    def test_classes(self, train: Train, more: dict[str, Scalar]) -> None:
        trained = train(dataset="classes.npz", **more)
        model, names = trained.model, np.array(["0", "1"])
        told = model.predict(trained.rows)
        assert told.dtype.kind == "U"
        assert float((told == names[trained.test.targets]).mean()) == close(trained.metrics["test_accuracy"])
        likelihoods = model.predict_proba(trained.rows)
        assert likelihoods.shape == (len(trained.rows), 2)
        assert model.classes.tolist() == ["0", "1"]
        own = np.log(likelihoods[np.arange(len(told)), trained.test.targets].astype(np.float64))
        assert -own.mean() == close(trained.metrics["test_loss"])
        assert (names[likelihoods.argmax(axis=1)] == told).all()

    @pytest.mark.parametrize("scaling", ["standard", "min_max", "robust", "none"])
    @pytest.mark.parametrize("scope", ["training_set", "series"])
    def test_numbers(self, train: Train, scaling: str, scope: str) -> None:
        trained = train(dataset="numbers.npz", scaling=scaling, scaling_scope=scope, max_epochs=1)
        told = trained.model.predict(trained.rows)
        assert told.shape == (len(trained.rows),)
        assert np.sqrt(np.square(told - trained.test.targets).mean()) == close(trained.metrics["test_rmse"])

    @pytest.mark.parametrize("strategy", ["direct", "recursive"])
    @pytest.mark.parametrize("scope", ["training_set", "series"])
    def test_forecasts(self, train: Train, strategy: str, scope: str) -> None:
        series = {"dataset": "series.csv", "task": "forecast", "target": "temperature", "window": 12, "horizon": 3}
        features = "temperature" if strategy == "recursive" else "day,temperature"
        trained = train(**series, features=features, forecast_strategy=strategy, scaling_scope=scope, max_epochs=1)
        told = trained.model.predict(trained.test.inputs)
        assert told.shape == trained.test.targets.shape == (len(trained.test), 3)
        assert np.sqrt(np.square(told - trained.test.targets).mean()) == close(trained.metrics["test_rmse"])
        with pytest.raises(InvalidInput, match="windows of 12 steps, the newest ones, not of 11"):
            trained.model.predict(trained.test.inputs[:, 1:])

    def test_labels_with_all_that_goes_beside_a_sequence(self, train: Train, data: Path) -> None:
        generator = np.random.default_rng(1)
        arrays = {}
        for end, count in (("train", 60), ("validation", 20), ("test", 40)):
            arrays |= {
                f"x_{end}": generator.normal(size=(count, 6, 2)),
                f"lengths_{end}": generator.integers(1, 7, size=count),
                f"statics_{end}": 100 * generator.normal(size=(count, 2)),
                # training never sees 3 and 4
                f"categories_{end}": generator.integers(0, 3 if end == "train" else 5, size=(count, 1)),
                f"context_{end}": generator.normal(size=(count, 4, 3)),
                f"context_lengths_{end}": generator.integers(1, 5, size=count),
                f"y_{end}": generator.integers(0, 2, size=(count, 3)),
            }
        np.savez(data / "labels.npz", **arrays)
        trained = train(dataset="labels.npz")
        raw = {
            "statics": arrays["statics_test"],
            "categories": arrays["categories_test"].tolist(),
            "context": [
                item[:length]
                for item, length in zip(arrays["context_test"], arrays["context_lengths_test"], strict=True)
            ],
        }
        told = trained.model.predict(trained.rows, **raw)
        assert told.dtype == np.bool_
        right = (told == arrays["y_test"].astype(bool)).all(axis=1).mean()
        assert float(right) == close(trained.metrics["test_accuracy"])
        likelihoods = trained.model.predict_proba(trained.rows, **raw).astype(np.float64)
        truth = arrays["y_test"]
        loss = -(truth * np.log(likelihoods) + (1 - truth) * np.log(1 - likelihoods)).mean()
        assert loss == close(trained.metrics["test_loss"])
        for name, value in raw.items():
            with pytest.raises(InvalidInput, match=f"{name}: is missing"):
                trained.model.predict(trained.rows, **{**raw, name: None})
            with pytest.raises(InvalidInput, match=name):
                trained.model.predict(trained.rows, **{**raw, name: value[1:]})  # type: ignore[index]
        with pytest.raises(InvalidInput, match="categories: must hold whole numbers"):
            trained.model.predict(trained.rows, **{**raw, "categories": np.ones((len(trained.rows), 1)) / 2})

    @pytest.mark.parametrize("is_number", [False, True])
    def test_categories_of_a_table_go_by_their_names(self, train: Train, data: Path, is_number: bool) -> None:
        kinds = [10.0, 2.5, 7.0] if is_number else ["aß", "b", "c d"]
        chance = np.random.default_rng(1)
        of = chance.integers(0, 3, size=60)
        rows = [f"{i},{of[i]},{kinds[of[i]]},{step},{chance.normal():.3f}" for i in range(60) for step in range(4)]
        (data / "kinds.csv").write_text("g,label,kind,step,v\n" + "\n".join(rows) + "\n")
        table = {"dataset": "kinds.csv", "group": "g", "target": "label", "categories": "kind", "features": "v"}
        trained = train(**table, batch_size=8, learning_rate=0.05, max_epochs=12)
        assert trained.metrics["test_accuracy"] == 1  # the kind tells the label
        rows_of = [np.zeros((4, 1))] * 3
        assert trained.model.predict(rows_of, categories=kinds).tolist() == ["0", "1", "2"]
        assert trained.model.predict(rows_of, categories=[[kind] for kind in kinds]).tolist() == ["0", "1", "2"]
        unknown = trained.model.predict_proba(rows_of[:2], categories=["never seen", "nor this"])
        assert np.array_equal(unknown[0], unknown[1])
        with pytest.raises(InvalidInput, match=r"categories: must be \[sequences, 1\] of names"):
            trained.model.predict(rows_of, categories=[["b", "b"]] * 3)

    def test_next_steps(self, train: Train, data: Path) -> None:
        rolls = np.random.default_rng(2).integers(0, 2, size=(30, 6, 4))
        np.savez(data / "rolls.npz", x=rolls, lengths=np.arange(30) % 4 + 3)
        trained = train(dataset="rolls.npz", task="next_step", max_epochs=1)
        # a sequence's beginnings, each with the step after it: what evaluation sums up
        starts = [row[:stop] for row in trained.rows for stop in range(1, len(row) + 1)]
        after = np.concatenate(
            [steps[:length] for steps, length in zip(trained.test.targets, trained.test.lengths, strict=True)]
        )
        told = trained.model.predict(starts).astype(np.float64)
        assert told.shape == after.shape
        loss = -np.log(np.where(after == 1, told, 1 - told)).sum(axis=1).mean()
        assert loss == close(trained.metrics["test_loss"])

    def test_texts(self, train: Train, data: Path) -> None:
        words = ["sun", "rain", "wind"]
        rows = [
            f"{words[i % 3]} {words[i * 5 % 3]} {'!' * (i % 4)},{'wet' if i % 3 == 1 else 'dry'}" for i in range(60)
        ]
        (data / "texts.csv").write_text("\n".join(["text,kind", *rows, ",wet", ",dry"]))
        trained = train(dataset="texts.csv", text="text", target="kind", max_tokens=6, max_epochs=3)
        vocabulary = json.loads(trained.model.card["vocabulary"])["model"]["vocab"]
        letters = {number: letter for letter, number in vocabulary.items()}
        raw = ["".join(letters[token] for token in row if token) + "…cut" * (len(row) == 6) for row in trained.rows]
        names = trained.model.classes
        told = trained.model.predict(raw)
        assert float((told == names[trained.test.targets]).mean()) == close(trained.metrics["test_accuracy"])
        likelihoods = trained.model.predict_proba(raw)
        own = likelihoods[np.arange(len(told)), trained.test.targets].astype(np.float64)
        assert -np.log(own).mean() == close(trained.metrics["test_loss"])
        assert trained.model.predict(["", "sun"]).shape == (2,)  # no token: an unknown one, as in training


class TestLanguageModel:
    TEXT = "the cat sat on the mat. the dog sat on the log. "

    @pytest.fixture(params=[0, 2], ids=["plain", "attention"])
    def trained(self, request: pytest.FixtureRequest, train: Train, data: Path) -> Trained:
        (data / "text.txt").write_text(self.TEXT * 60)
        more = {"dataset": "text.txt", "attention_heads": request.param, "learning_rate": 0.02, "cell": "gru"}
        return train(**more, bptt_steps=16, max_epochs=3)

    def test_log_likelihood(self, trained: Trained) -> None:
        test = (self.TEXT * 60)[-len(trained.rows[0]) - 1 :]
        assert trained.model.log_likelihood(test) == close(-len(trained.rows[0]) * trained.metrics["test_loss"])  # type: ignore

    def test_the_likeliest_text_is_what_the_likelihood_says(self, trained: Trained) -> None:
        model, letters = trained.model, sorted(set(self.TEXT))
        for length in (1, 20, 255, 400):
            text = prompt = (self.TEXT * 10)[:length]
            for _ in range(3):
                likelihoods = {letter: model.log_likelihood(text + letter) for letter in letters}
                text += max(letters, key=lambda letter: likelihoods[letter])
            assert prompt + model.generate(prompt, 3, temperature=0) == text

    def test_a_seed_draws_the_same_text(self, trained: Trained) -> None:
        model = trained.model
        first = model.generate("the ", 30, seed=1)
        assert len(first) == 30
        assert set(first) <= set(self.TEXT)
        assert model.generate("the ", 30, seed=1) == first
        assert model.generate("the ", 30, seed=2) != first
        assert model.generate("the ", 30, temperature=1e-9, seed=2) == model.generate("the ", 30, temperature=0)

    def test_wrong_use_is_told(self, trained: Trained) -> None:
        model = trained.model
        for call, problem in (
            (lambda: model.generate("", 3), "prompt: must have 1 token at least"),
            (lambda: model.generate("a", 3, temperature=-1.0), "temperature: must be 0 or more"),
            (lambda: model.log_likelihood("a"), "text: must have 2 tokens at least"),
            (lambda: model.log_likelihood(b"ab"), "text: must be a text, not bytes"),  # type: ignore[arg-type]
            (lambda: model.predict(["a"]), "predict: is for the other tasks; see generate"),
            (lambda: model.predict_proba(["a"]), "predict_proba: is for classification and multilabel"),
        ):
            with pytest.raises(InvalidInput, match=problem):
                call()


class TestAttention:
    def test_weights_sum_to_1_and_padding_has_none(self, train: Train, data: Path) -> None:
        generator = np.random.default_rng(0)
        arrays = {"x": generator.normal(size=(70, 5, 2)), "lengths": np.arange(70) % 5 + 1, "y": np.arange(70) % 2}
        np.savez(data / "both.npz", **arrays, context=generator.normal(size=(70, 3, 1)))
        model = train(dataset="both.npz", pooling="dot_product", attention_heads=2, max_epochs=1).model
        rows = [row[:length] for row, length in zip(arrays["x"], arrays["lengths"], strict=True)]
        context = generator.normal(size=(70, 3, 1))
        found = model.attention(rows, context=context)
        assert {kind: values.shape for kind, values in found.items()} == {
            "pooling": (70, 5),
            "self": (70, 2, 5, 5),
            "context": (70, 5, 3),
        }
        inside = np.arange(5) < arrays["lengths"][:, None]
        assert (found["pooling"][~inside] == 0).all()
        assert found["pooling"].sum(axis=1) == pytest.approx(np.ones(70), abs=1e-6)
        for attending in (found["self"].transpose(0, 2, 1, 3).sum(axis=3) / 1.0, found["context"].sum(axis=2)):
            sums = attending.reshape(70, 5, -1)
            assert sums[inside] == pytest.approx(np.ones_like(sums[inside]), abs=1e-6)
            assert (sums[~inside] == 0).all()
        alone = model.attention(rows[66:67], context=context[66:67])  # of two steps
        assert alone["self"][0] == pytest.approx(found["self"][66, :, :2, :2], abs=1e-6)

    def test_a_model_without_it_says_so(self, train: Train) -> None:
        trained = train(dataset="classes.npz", max_epochs=1)
        with pytest.raises(InvalidInput, match="attention: has none"):
            trained.model.attention(trained.rows)


class TestRawSequences:
    @pytest.fixture
    def model(self, train: Train) -> Model:
        return train(dataset="classes.npz", max_epochs=1).model

    def test_a_list_and_an_array_are_the_same(self, model: Model) -> None:
        x = np.random.default_rng(0).normal(size=(4, 5, 2))
        both = model.predict_proba(x), model.predict_proba([item.tolist() for item in x])
        assert (both[0] == both[1]).all()

    @pytest.mark.parametrize(
        ("sequences", "problem"),
        [
            ([np.zeros((4, 2)), np.zeros((4, 3))], r"sequences\[1\]: must be \[steps, features\] of 2 features"),
            (np.zeros((4, 2)), r"sequences\[0\]: must be \[steps, features\] of 2 features, not .* shape \[2\]"),
            ([np.zeros((4, 2)), np.zeros((0, 2))], r"sequences\[1\]: is empty"),
            ([], "sequences: is empty"),
            ([[]], r"sequences\[0\]: is empty"),
            ([np.full((3, 2), np.nan)], r"sequences\[0\]: holds a missing or infinite value"),
            ([np.full((3, 2), 1e300)], r"sequences\[0\]: holds a missing or infinite value"),
            ([[[1, 2], [3]]], r"sequences\[0\]: is no array of numbers"),
            (["text"], r"sequences\[0\]: must hold numbers"),
            ("text", "sequences: must be a list of sequences, not one str"),
            (7, "sequences: must be a list of sequences, not one int"),
        ],
    )
    def test_what_does_not_fit_is_told(self, model: Model, sequences: Any, problem: str) -> None:
        with pytest.raises(InvalidInput, match=problem):
            model.predict(sequences)

    def test_what_the_model_does_not_read_is_refused(self, model: Model) -> None:
        x = np.zeros((3, 4, 2))
        for name in ("statics", "categories", "context"):
            with pytest.raises(InvalidInput, match=f"{name}: must be None: the model reads none"):
                model.predict(x, **{name: x})
        with pytest.raises(InvalidInput, match="generate: is for language models; this model is for classification"):
            model.generate("a", 3)

    def test_features_are_told_by_their_names(self, train: Train) -> None:
        series: dict[str, Scalar] = {"dataset": "series.csv", "task": "forecast", "target": "temperature"}
        model = train(**series, window=4, features="temperature,day", max_epochs=1).model
        with pytest.raises(InvalidInput, match=r"of 2 features \(temperature, day\)"):
            model.predict(np.zeros((2, 4, 1)))

    def test_texts_must_be_texts(self, train: Train, data: Path) -> None:
        (data / "texts.csv").write_text("\n".join(["t,k", *(f"{'ab'[i % 2]},{i % 2}k" for i in range(20))]))
        model = train(dataset="texts.csv", text="t", target="k", max_epochs=1).model
        with pytest.raises(InvalidInput, match="sequences: must be texts: number 1 is none"):
            model.predict(["a", 3])


class TestFiles:
    @pytest.fixture
    def trained(self, train: Train) -> Trained:
        return train(dataset="classes.npz", max_epochs=1)

    def change(self, trained: Trained, **changes: Any) -> None:
        card = json.loads((trained.folder / "model.json").read_text())
        (trained.folder / "model.json").write_text(json.dumps({**card, **changes}))

    def test_the_card_says_how_it_was_made(self, trained: Trained) -> None:
        card = trained.model.card
        versions = {"hpsearch": hpsearch.__version__, "torch": torch.__version__, "numba": numba.__version__}
        assert card["versions"] == versions
        assert card["trial"] == {"number": 0, "attempt": 1}
        assert card["metrics"] == trained.metrics
        assert (card["seed"], card["parameters"]["dataset"]) == (3, "classes.npz")

    def test_the_json_alone_names_the_model(self, trained: Trained) -> None:
        model = hpsearch.load_model(str(trained.folder / "model.json"))
        assert (model.predict(trained.rows) == trained.model.predict(trained.rows)).all()

    def test_loading_draws_from_nobodys_generator(self, trained: Trained) -> None:
        before = torch.get_rng_state()
        hpsearch.load_model(trained.folder)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
    def test_a_missing_file(self, trained: Trained, name: str) -> None:
        (trained.folder / name).unlink()
        with pytest.raises(InvalidInput, match=f"cannot read .*{name}: No such file"):
            hpsearch.load_model(trained.folder)

    @pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
    @pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
    def test_a_damaged_file(self, trained: Trained, name: str, part: float) -> None:
        content = (trained.folder / name).read_bytes()
        (trained.folder / name).write_bytes(content[: int(part * len(content))])
        with pytest.raises(InvalidInput, match=f"{name} is damaged"):
            hpsearch.load_model(trained.folder)

    def test_another_format(self, trained: Trained) -> None:
        self.change(trained, format=99, versions={"hpsearch": "7.0"})
        with pytest.raises(InvalidInput, match=r"is of format 99 \(hpsearch 7.0\); this is hpsearch .* reads format 2"):
            hpsearch.load_model(trained.folder)

    @pytest.mark.parametrize("changes", [{"architecture": None}, {"scaling": {}}, {"architecture": {"task": "x"}}])
    def test_a_card_that_describes_nothing(self, trained: Trained, changes: dict[str, Any]) -> None:
        self.change(trained, **changes)
        with pytest.raises(InvalidInput, match="does not describe a model"):
            hpsearch.load_model(trained.folder)

    def test_another_programs_json(self, trained: Trained) -> None:
        (trained.folder / "model.json").write_text("[1, 2]")
        with pytest.raises(InvalidInput, match=r"is no model\.json of hpsearch"):
            hpsearch.load_model(trained.folder)

    def test_weights_of_another_network(self, trained: Trained) -> None:
        self.change(trained, architecture={**trained.model.card["architecture"], "units": [9]})
        with pytest.raises(InvalidInput, match=r"(?s)model.safetensors does not fit model.json: .*size mismatch"):
            hpsearch.load_model(trained.folder)

    def test_weights_of_another_precision(self, trained: Trained) -> None:
        file = trained.folder / "model.safetensors"
        file.write_bytes(save({name: value.double() for name, value in load(file.read_bytes()).items()}))
        with pytest.raises(InvalidInput, match=r"does not fit model.json: .* is torch.float64"):
            hpsearch.load_model(trained.folder)

    def test_without_torch(self, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'hpsearch\[rnn\]'"):
            hpsearch.load_model(trained.folder)


KINDS: Mapping[str, dict[str, Any]] = {
    **{cell: {"cell": cell} for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    "both ways": {"cell": "gru", "bidirectional": True, "units": (6, 6), "residual": True, "layer_norm": True},
    "self-attention": {"attention_heads": 2, "pooling": "dot_product", "head_units": 3, "head_activation": "gelu"},
    "context": {"context_features": 3, "pooling": "additive", "statics": 2, "category_sizes": (4, 3)},
    "each step": {"task": "next_step", "attention_heads": 2},
    "tokens": {"task": "language_model", "vocabulary_size": 7, "outputs": 7, "cell": "gru"},
    "recursive": {"task": "forecast", "outputs": 1, "inputs": 1},
}


def batch_of(a: Architecture, batch: int, steps: int) -> dict[str, torch.Tensor]:
    """Random inputs of a network, by name."""
    draw = torch.Generator().manual_seed(batch)
    tokens = torch.randint(0, a.vocabulary_size or 1, (batch, steps), generator=draw)
    lengths = torch.randint(1, steps + 1, (batch,), generator=draw)
    found = {
        "inputs": tokens if a.vocabulary_size else torch.randn(batch, steps, a.inputs, generator=draw),
        "lengths": torch.full((batch,), steps) if a.task == "forecast" else lengths,
        "statics": torch.randn(batch, a.statics, generator=draw),
        "categories": torch.randint(0, 3, (batch, len(a.category_sizes)), generator=draw),
        "context": torch.randn(batch, steps + 1, a.context_features, generator=draw),
        "context_lengths": lengths,
    }
    return {name: found[name] for name in input_names(a)}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
class TestExport:
    """An exported network says what ours says, also of other numbers of sequences and steps than it was traced with."""

    def network(self, kind: str) -> tuple[SequenceModel, int]:
        torch.manual_seed(0)
        given = {"task": "classification", "outputs": 3, "inputs": 2, "units": (6,), **KINDS[kind]}
        return SequenceModel(Architecture(**given)).eval(), 4 if kind == "recursive" else 0

    def check(self, kind: str, suffix: str, folder: Path, run: Callable[[Path, dict[str, torch.Tensor]], Any]) -> None:
        network, ahead = self.network(kind)
        file = folder / f"model{suffix}"
        names = export_network(network, file, ahead)
        for batch, steps in ((2, 4), (5, 9), (1, 1)):
            inputs = batch_of(network.architecture, batch, steps)
            assert tuple(inputs) == names
            with torch.no_grad():
                expected = Exported(network, names, ahead)(*inputs.values())
            found = run(file, inputs)
            assert found.shape == expected.shape
            assert np.asarray(found) == pytest.approx(expected.numpy(), abs=2e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_torchscript(self, kind: str, tmp_path: Path) -> None:
        def run(file: Path, inputs: dict[str, torch.Tensor]) -> Any:
            with torch.no_grad():
                return torch.jit.load(file)(*inputs.values())

        self.check(kind, ".pt", tmp_path, run)

    @pytest.mark.parametrize("kind", KINDS)
    def test_onnx(self, kind: str, tmp_path: Path) -> None:
        pytest.importorskip("onnx")
        runtime = pytest.importorskip("onnxruntime")

        def run(file: Path, inputs: dict[str, torch.Tensor]) -> Any:
            session = runtime.InferenceSession(file)
            assert [item.name for item in session.get_inputs()] == list(inputs)
            return session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]

        self.check(kind, ".onnx", tmp_path, run)

    def test_a_trained_model(self, train: Train, tmp_path: Path) -> None:
        trained = train(dataset="numbers.npz", cell="gru", max_epochs=1)
        assert trained.model.export(tmp_path / "model.pt") == ("inputs", "lengths")
        scaling = trained.model.card["scaling"]
        centre, spread = (np.array(scaling["features"][name]) for name in ("centre", "spread"))
        row = ((trained.rows[0] - centre) / spread).astype(np.float32)
        with torch.no_grad():
            told = torch.jit.load(tmp_path / "model.pt")(torch.from_numpy(row)[None], torch.tensor([len(row)]))
        number = float(told) * scaling["target"]["spread"][0] + scaling["target"]["centre"][0]
        assert number == pytest.approx(float(trained.model.predict(trained.rows[:1])[0]), rel=1e-6)

    def test_it_is_quiet_and_leaves_the_warnings_as_they_were(self, tmp_path: Path) -> None:
        filters = list(warnings.filters)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            export_network(self.network("lstm")[0], tmp_path / "model.pt")
        assert not told
        assert list(warnings.filters) == filters

    @pytest.mark.parametrize("name", ["model.pth", "model"])
    def test_another_ending_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"must end in \.pt \(TorchScript\) or \.onnx"):
            export_network(self.network("lstm")[0], tmp_path / name)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(HpsearchError, match=r"none/model.pt cannot be written: No such file"):
            export_network(self.network("lstm")[0], tmp_path / "none" / "model.pt")

    def test_onnx_without_its_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ConfigurationError, match=r"needs the package onnx: pip install"):
            export_network(self.network("lstm")[0], tmp_path / "model.onnx")
        assert list(tmp_path.iterdir()) == []
