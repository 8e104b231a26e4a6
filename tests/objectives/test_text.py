"""Texts: tokenizers, language models' streams and tables of texts."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.data import vocabulary
from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.data.vocabulary import (
    characters_after_first,
    decode,
    encode,
    train_tokenizer,
    vocabulary_size,
)
from tests.objectives.reading import fault_of, read

pytest.importorskip("tokenizers")
SHAKESPEARE = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"
KINDS = ("characters", "words", "bpe", "wordpiece")
VERSE = (
    "The quick brown fox,\nit's over  the dog;\n\n\tthe dogs don't mind the foxes.\n"
    "Größe, naïve café — 漢字 🦊 and 1,234.5 more [UNK] ## things.\n"
)


def parts_of(data: Dataset) -> dict[str, Sequences]:
    assert data.validation is not None
    assert data.test is not None
    return {"train": data.train, "validation": data.validation, "test": data.test}


class TestTokenizers:
    @pytest.mark.parametrize("kind", ["characters", "bpe", "wordpiece"])
    def test_texts_come_back_as_they_were(self, kind: str) -> None:
        tokenizer = train_tokenizer([VERSE], kind, 400)
        (tokens,) = encode(tokenizer, [VERSE])
        assert decode(tokenizer, tokens) == VERSE
        assert 0 not in tokens

    def test_characters_are_the_most_frequent_ones(self) -> None:
        tokenizer = train_tokenizer(["aaaa bbb cc d"], "characters", 5)
        assert vocabulary_size(tokenizer) == 5
        assert encode(tokenizer, ["abcd a"]) == [[1, 3, 4, 0, 2, 1]]  # the space and b, a tie, by their codes

    def test_words_are_words_marks_and_line_ends(self) -> None:
        tokenizer = train_tokenizer(["don't stop, don't\n"], "words", 100)
        (tokens,) = encode(tokenizer, ["stop  don't\n,other"])
        assert decode(tokenizer, tokens) == "stop don't \n , [UNK]"

    @pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
    def test_frequent_words_become_one_token(self, kind: str) -> None:
        texts = ["the cat and the dog and the bird"] * 5
        tokenizer = train_tokenizer(texts, kind, 300)
        assert [decode(tokenizer, [token]) for token in encode(tokenizer, [" the and"])[0]] == [" the", " and"]

    @pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
    def test_bytes_leave_nothing_unknown(self, kind: str) -> None:
        tokenizer = train_tokenizer(["plain ascii"], kind, 300)
        (tokens,) = encode(tokenizer, [VERSE])
        assert 0 not in tokens
        assert decode(tokenizer, tokens) == VERSE

    def test_word_pieces_are_the_longest_that_fit(self) -> None:
        """Merges are made in the order they were learnt; word-pieces by their length."""
        tokenizer = train_tokenizer(["undo undone done doing going"] * 9, "wordpiece", 280)
        vocabulary_of = json.loads(tokenizer)["model"]["vocab"]
        rest, pieces = "undoing", []
        while rest:
            pieces.append(max((piece for piece in vocabulary_of if rest.startswith(piece)), key=len))
            rest = rest.removeprefix(pieces[-1])
        assert encode(tokenizer, ["undoing"]) == [[vocabulary_of[piece] for piece in pieces]]
        assert len(pieces) < len("undoing")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("size", [257, 300])
    def test_no_more_tokens_than_asked_for(self, kind: str, size: int) -> None:
        texts = ["".join(map(chr, range(first, first + 40))) + f" word{first}" for first in range(32, 900, 7)]
        assert vocabulary_size(train_tokenizer(texts, kind, size)) == size

    @pytest.mark.parametrize("kind", KINDS)
    def test_token_0_is_the_unknown_one(self, kind: str) -> None:
        assert json.loads(train_tokenizer([VERSE], kind, 300))["model"]["vocab"]["[UNK]"] == 0

    @pytest.mark.parametrize("kind", ["characters", "bpe", "wordpiece"])
    def test_its_name_in_a_text_is_text(self, kind: str) -> None:
        tokenizer = train_tokenizer(["[UNK] is a word here"], kind, 300)
        assert decode(tokenizer, encode(tokenizer, ["[UNK]"])[0]) == "[UNK]"
        assert 0 not in encode(tokenizer, ["[UNK]"])[0]

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_empty_text_has_no_tokens(self, kind: str) -> None:
        assert encode(train_tokenizer([VERSE], kind, 300), ["", "a"])[0] == []

    @pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
    def test_bytes_need_their_place(self, kind: str) -> None:
        with pytest.raises(InvalidInput, match="vocabulary_size: must be at least 257"):
            train_tokenizer([VERSE], kind, 256)

    @pytest.mark.parametrize("kind", KINDS)
    def test_long_texts_are_cut_as_if_whole(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = [VERSE, "one\ntwo\n", "\n", "x \n y\n", "a\n\n\nb\n", "  c\n"] * 20
        text = "".join(np.random.default_rng(0).permutation(lines))
        whole = train_tokenizer([text], kind, 320)
        tokens = encode(whole, [text])
        monkeypatch.setattr(vocabulary, "PIECE", 7)
        assert train_tokenizer([text], kind, 320) == whole
        assert encode(whole, [text]) == tokens

    def test_the_same_texts_give_the_same_tokenizer_anywhere(self) -> None:
        """Also in another process: the library's maps are in another order in each."""
        program = (
            "import hashlib, random\n"
            "from hpsearch.objectives.rnn.data.vocabulary import train_tokenizer\n"
            "r = random.Random(1)\n"
            "word = lambda: ''.join(r.choice('abcdefghij') for _ in range(r.randint(1, 7)))\n"
            "texts = [' '.join(word() for _ in range(40)) for _ in range(40)]\n"
            f"states = [train_tokenizer(texts, kind, 400) for kind in {KINDS}]\n"
            "print(*(hashlib.md5(state.encode()).hexdigest() for state in states))\n"
        )
        found = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)}
        assert len(found) == 1

    def test_no_threads_are_started(self) -> None:
        program = (
            "import os\n"
            "from hpsearch.objectives.rnn.data.vocabulary import encode, train_tokenizer\n"
            "texts = [f'text number {number}' for number in range(500)]\n"
            "encode(train_tokenizer(texts, 'bpe', 300), texts)\n"
            "print(len(os.listdir('/proc/self/task')))\n"
        )
        environment = {"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("1\n", "")

    def test_the_package_is_named_where_it_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(InvalidInput, match="tokenizer: needs the package tokenizers: pip install"):
            train_tokenizer([VERSE], "characters", 300)


class TestLanguageModels:
    TEXT = "".join(chr(ord("a") + number % 7) for number in range(800)) + "x" * 100 + "yz" * 50

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "x.txt").write_text(self.TEXT)
        return tmp_path

    def test_each_token_is_told_from_those_before(self, folder: Path) -> None:
        data = read(folder, "x.txt", test_fraction=0.1, validation_fraction=0.1)
        assert (data.task, data.train.inputs.dtype) == ("language_model", np.int64)
        for part in parts_of(data).values():
            assert part.inputs.shape == part.targets.shape == (1, int(part.lengths[0]))
            np.testing.assert_array_equal(part.inputs[0, 1:], part.targets[0, :-1])

    def test_it_is_divided_by_position(self, folder: Path) -> None:
        data = read(folder, "x.txt", test_fraction=0.1, validation_fraction=0.1, split_seed=5)
        assert data.vocabulary is not None
        texts = {
            name: decode(data.vocabulary, [int(part.inputs[0, 0]), *part.targets[0].tolist()])
            for name, part in parts_of(data).items()
        }
        assert texts["train"] == self.TEXT[:810]
        assert data.characters == {"train": 809, "validation": 89, "test": 99}
        assert len(texts["validation"]) == 90

    def test_the_tokenizer_knows_the_training_part_alone(self, folder: Path) -> None:
        data = read(folder, "x.txt", test_fraction=0.1, validation_fraction=0.1)
        assert data.test is not None
        assert data.vocabulary_size == 1 + len(set(self.TEXT[:810])) == 9
        assert (data.test.inputs == 0).all()  # y and z are in no other part

    @pytest.mark.parametrize("kind", KINDS)
    def test_characters_are_those_behind_the_targets(self, kind: str) -> None:
        tokenizer = train_tokenizer([VERSE] * 9, kind, 300)
        first = {"characters": "T", "words": "The", "bpe": "The", "wordpiece": "The"}[kind]
        assert characters_after_first(tokenizer, VERSE) == len(VERSE) - len(first)

    @pytest.mark.parametrize(("kind", "size"), [("bpe", 300), ("wordpiece", 300), ("words", 50)])
    def test_other_tokenizers(self, tmp_path: Path, kind: str, size: int) -> None:
        (tmp_path / "x.txt").write_text("to be or not to be that is the question\n" * 60)
        data = read(tmp_path, "x.txt", tokenizer=kind, vocabulary_size=size)
        assert data.vocabulary is not None
        assert int(data.train.lengths[0]) < data.characters["train"] / 2
        told = decode(data.vocabulary, data.train.targets[0].tolist())
        assert told.replace("\n ", "\n").startswith("be or not to be" if kind == "words" else " be or not to be")

    @pytest.mark.parametrize("content", [b"", b"abc"])
    def test_too_short_a_text_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.txt").write_bytes(content)
        assert "is too small: the" in fault_of(tmp_path, "x.txt").problem

    def test_what_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00")
        assert fault_of(tmp_path, "x.txt").problem == "x.txt is not UTF-8 text"

    def test_another_task_is_refused(self, folder: Path) -> None:
        assert fault_of(folder, "x.txt", task="classification").path == "objective.settings.task"

    def test_tinyshakespeare(self) -> None:
        if not SHAKESPEARE.is_file():
            pytest.skip(f"{SHAKESPEARE} is not there")
        data = read(SHAKESPEARE.parent, SHAKESPEARE.name, test_fraction=0.1, validation_fraction=0.05)
        assert data.test is not None
        assert data.vocabulary_size == 66  # 65 characters, and the unknown one
        assert data.characters["test"] == len(data.test.targets[0]) == 111_538
        assert sum(data.characters.values()) == 1_115_394 - 3


def table(rows: int = 60) -> str:
    """Texts of two classes, whose words say the class and the row."""
    lines = [
        f'"{("good fine", "bad poor")[row % 2]} row{row}, it is",{"pn"[row % 2]},{row / 7},{row % 2},{row % 3 // 2}'
        for row in range(rows)
    ]
    return "\n".join(["review,label,score,a,b", *lines])


class TestTables:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "x.csv").write_text(table())
        return tmp_path

    def words(self, data: Dataset, part: Sequences, row: int) -> str:
        assert data.vocabulary is not None
        return decode(data.vocabulary, part.inputs[row, : part.lengths[row]].tolist())

    def test_each_row_is_a_sequence(self, folder: Path) -> None:
        data = read(folder, "x.csv", text="review", target="label", tokenizer="words")
        assert (data.task, data.classes, data.train.inputs.dtype) == ("classification", ("n", "p"), np.int64)
        for part in parts_of(data).values():
            for row in range(len(part)):
                is_good = self.words(data, part, row).startswith("good")
                assert data.classes[part.targets[row]] == ("p" if is_good else "n")

    def test_the_splits_are_drawn_in_proportion(self, folder: Path) -> None:
        settings = {"text": "review", "target": "label"}
        parts = parts_of(read(folder, "x.csv", **settings, test_fraction=0.2, validation_fraction=0.25))
        counts = {name: np.bincount(part.targets).tolist() for name, part in parts.items()}
        assert counts == {"train": [18, 18], "validation": [6, 6], "test": [6, 6]}

    def test_the_seed_alone_decides(self, folder: Path) -> None:
        settings = {"text": "review", "target": "label"}
        first, again, other = (read(folder, "x.csv", **settings, split_seed=seed) for seed in (1, 1, 2))
        assert first.vocabulary == again.vocabulary != other.vocabulary
        np.testing.assert_array_equal(first.train.inputs, again.train.inputs)

    def test_the_tokenizer_knows_the_training_part_alone(self, folder: Path) -> None:
        data = read(folder, "x.csv", text="review", target="label", tokenizer="words")
        for name, part in parts_of(data).items():
            unknown = [int((part.inputs[row, : part.lengths[row]] == 0).sum()) for row in range(len(part))]
            assert Counter(unknown) == {0 if name == "train" else 1: len(part)}, name  # each row's own number

    def test_long_texts_are_cut(self, folder: Path) -> None:
        data = read(folder, "x.csv", text="review", target="label", max_tokens=4)
        assert data.train.inputs.shape[1] == data.train.lengths.max() == 4
        assert self.words(data, data.train, 0) == "good"

    def test_an_empty_text_is_an_unknown_token(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text(table() + "\n,p,1,0,0" * 20)
        data = read(tmp_path, "x.csv", text="review", target="label")
        shortest = data.train.inputs[data.train.lengths == 1]
        assert len(shortest) > 0
        assert not shortest.any()

    def test_numbers_are_text_too(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("t,y\n" + "007,a\n1.50,b\n" * 10)
        data = read(tmp_path, "x.csv", text="t", target="y")
        assert {self.words(data, data.train, row) for row in range(len(data.train))} == {"007", "1.50"}

    @pytest.mark.parametrize(
        ("target", "task", "shape"), [("score", "regression", (38,)), ("a,b", "multilabel", (38, 2))]
    )
    def test_other_targets(self, folder: Path, target: str, task: str, shape: tuple[int, ...]) -> None:
        data = read(folder, "x.csv", text="review", target=target)
        assert (data.task, data.train.targets.shape, data.train.targets.dtype) == (task, shape, np.float32)

    def test_static_features_go_with_it(self, folder: Path) -> None:
        data = read(folder, "x.csv", text="review", target="label", statics="score", categories="a", tokenizer="words")
        assert data.category_sizes == (3,)
        assert data.train.statics is not None
        assert data.train.categories is not None
        row = next(row for row in range(len(data.train)) if "row40" in self.words(data, data.train, row))
        assert data.train.statics[row, 0] == pytest.approx(40 / 7)
        np.testing.assert_array_equal(data.train.categories[:, 0], 2 - data.train.targets)

    def test_parquet_is_as_csv(self, folder: Path) -> None:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        texts = [f"{word} {row}" for row, word in enumerate(["yes", "no"] * 20)]
        labels = ["y", "n"] * 20
        parquet.write_table(pa.table({"t": [None, *texts], "l": ["y", *labels]}), folder / "x.parquet")
        (folder / "y.csv").write_text("t,l\n,y\n" + "".join(map("{},{}\n".format, texts, labels)))
        ours, other = (read(folder, name, text="t", target="l") for name in ("x.parquet", "y.csv"))
        assert ours.vocabulary == other.vocabulary
        np.testing.assert_array_equal(ours.train.inputs, other.train.inputs)

    @pytest.mark.parametrize(
        ("settings", "path", "suggestion"),
        [
            ({"text": "revue", "target": "label"}, "text", "review"),
            ({"text": "review", "target": "lable"}, "target", "label"),
            ({"text": "review"}, "target", None),
            ({"text": "review", "target": "label", "group": "a"}, "group", None),
            ({"text": "review", "target": "label", "features": "a"}, "features", None),
            ({"text": "review", "target": "label", "task": "regression"}, "target", None),
            ({"text": "review", "target": "label", "task": "language_model"}, "task", None),
            ({"text": "review", "target": "label", "tokenizer": "bpe", "vocabulary_size": 9}, "vocabulary_size", None),
        ],
    )
    def test_wrong_settings_are_refused(
        self, folder: Path, settings: dict[str, Any], path: str, suggestion: str | None
    ) -> None:
        fault = fault_of(folder, "x.csv", **settings)
        assert (fault.path, fault.suggestion) == (f"objective.settings.{path}", suggestion)

    def test_too_small_a_table_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("t,y\na,1\nb,2\nc,1\n")
        assert "split would be empty" in fault_of(tmp_path, "x.csv", text="t", target="y").problem
