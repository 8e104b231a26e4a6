"""Data sets from the files of installed packages: chorales, names, Python's help."""

import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.chorales import CHOIR, bach_chorales, read_choir
from hpsearch.objectives.rnn.data.names import LANGUAGES, last_names
from hpsearch.objectives.rnn.data.python_topics import python_topics
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.sequences import Dataset
from hpsearch.objectives.rnn.data.vocabulary import decode
from hpsearch.objectives.rnn.parameters import INFO

CONTAINER = '<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'
TWO_IN_A_QUARTER = "<attributes><divisions>2</divisions></attributes>"
Voices = Sequence[Sequence[str | None]]


def note(pitch: str | None, ticks: int | None, inside: str = "") -> str:
    """A note, as "C4" or "C4#"; a rest without a pitch, a grace note without a time."""
    sound, time = "<rest/>", f"<duration>{ticks}</duration>" if ticks else "<grace/>"
    if pitch:
        alter = "<alter>1</alter>" if pitch.endswith("#") else ""
        sound = f"<pitch><step>{pitch[0]}</step>{alter}<octave>{pitch[1]}</octave></pitch>"
    return f"<note>{inside}{sound}{time}</note>"


def write(path: Path, parts: Sequence[Sequence[str]], names: Sequence[str] = CHOIR) -> Path:
    """A score of parts of measures each."""
    listed = "".join(f'<score-part id="{i}"><part-name>{name}</part-name></score-part>' for i, name in enumerate(names))
    music = "".join(
        f'<part id="{i}">' + "".join(f"<measure>{measure}</measure>" for measure in part) + "</part>"
        for i, part in enumerate(parts)
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("score.xml", f"<score-partwise><part-list>{listed}</part-list>{music}</score-partwise>")
    return path


def write_quarters(path: Path, voices: Voices, names: Sequence[str] = CHOIR) -> Path:
    """A score of quarter notes and rests in one measure."""
    parts = [[TWO_IN_A_QUARTER + "".join(note(pitch, 2) for pitch in voice)] for voice in voices]
    return write(path, parts, names)


def chorale(root: int, steps: int = 20, seed: int = 0) -> list[list[str | None]]:
    """Four voices at random, a fifth apart from each other, on white keys from `root` on."""
    walk = np.random.default_rng(seed).integers(0, 5, steps)
    keys = [f"{'CDEFGAB'[k % 7]}{k // 7}" for k in range(70)]
    return [[keys[root + 4 * voice + step] for step in walk] for voice in (3, 2, 1, 0)]


class TestScores:
    def test_divisions_accidentals_rests_and_grace_notes(self, tmp_path: Path) -> None:
        soprano = [
            TWO_IN_A_QUARTER + note("C5", 2) + note("C5#", 1) + note("D5", None) + note(None, 1),
            "<attributes><divisions>4</divisions></attributes>" + note("D5", 8),
        ]
        others = [TWO_IN_A_QUARTER + note("C4", 8)]
        voices = read_choir(write(tmp_path / "a.mxl", [soprano, others, others, others]))
        assert voices == [[(0, 1, 72), (1, 1.5, 73), (2, 4, 74)], *[[(0, 4, 60)]] * 3]

    def test_a_second_voice_and_chords(self, tmp_path: Path) -> None:
        back, on = "<backup><duration>6</duration></backup>", "<forward><duration>2</duration></forward>"
        both = note("C5", 2) + note("E5", 2, "<chord/>") + note("D5", 4) + back + on + note("A4", 2)
        voices = read_choir(write(tmp_path / "a.mxl", [[TWO_IN_A_QUARTER + both, note("B4", 2)]] * 4))
        assert voices[0] == [(0, 1, 72), (0, 1, 76), (1, 3, 74), (1, 2, 69), (3, 4, 71)]

    def test_a_key_is_on_while_it_sounds_at_the_beginning_of_a_quarter(self, tmp_path: Path) -> None:
        """An eighth before the beat is not heard; a tied note is heard twice."""
        upbeat, tied = TWO_IN_A_QUARTER + note("G5", 1), "<tie type='start'/>"
        bar = note("C5", 1) + note("D5", 1) + note("E5", 1) + note("F5", 3, tied) + note("F5", 2) + note("A5", 30)
        other = [TWO_IN_A_QUARTER + note("C4", 1), note("C4", 38)]
        write(tmp_path / "a.mxl", [[upbeat, bar], other, other, other])
        data = bach_chorales(tmp_path)
        roll = np.concatenate([data.train.inputs[0], data.train.targets[0, -1:]])
        melody = [int(np.flatnonzero(step)[-1]) + 21 for step in roll]
        assert melody == [72, 76, 77, 77] + [81] * 15
        assert (roll[:, 60 - 21] == 1).all()
        assert roll.sum() == 2 * len(roll)

    def test_only_the_choir_is_read(self, tmp_path: Path) -> None:
        horn: list[str | None] = ["C7"] * 20
        path = write_quarters(tmp_path / "a.mxl", [horn, *chorale(21)], ("Horn", *CHOIR))
        assert len(read_choir(path)) == 4
        assert not bach_chorales(tmp_path).train.inputs[..., 96 - 21].any()
        assert read_choir(write_quarters(tmp_path / "b.mxl", chorale(21), ("Violin", *CHOIR[1:]))) == []

    def test_what_is_left_out(self, tmp_path: Path) -> None:
        """Second versions, in another key too; short ones; those in which a voice is silent for long."""
        first = chorale(21)
        write_quarters(tmp_path / "a.mxl", first)
        write_quarters(tmp_path / "b.mxl", chorale(28))  # an octave above
        write_quarters(
            tmp_path / "c.mxl",
            [voice[:14] + other[:6] for voice, other in zip(first, chorale(22, seed=1), strict=True)],
        )
        write_quarters(tmp_path / "d.mxl", chorale(21, steps=15, seed=2))
        write_quarters(tmp_path / "e.mxl", [*chorale(21, seed=3)[:3], [None] * 3 + ["C2"] * 17])
        assert len(bach_chorales(tmp_path).train) == 1
        write_quarters(tmp_path / "f.mxl", [*chorale(21, seed=3)[:3], [None] * 2 + ["C2"] * 18])
        assert len(bach_chorales(tmp_path).train) == 2

    def test_a_folder_without_chorales(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="finds no chorales"):
            bach_chorales(tmp_path)


Read = Callable[..., Dataset]


@pytest.fixture
def read() -> Read:
    """Reads a built-in data set with some settings."""

    def read(name: str, **settings: Any) -> Dataset:
        return read_dataset(with_defaults(INFO, {"dataset": name, **settings}), ())

    return read


def needs(package: str) -> Path:
    """The folder of a package; skips a test where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


class TestBachChorales:
    def test_a_melody_and_its_chords(self) -> None:
        """BWV 66.6, as any edition prints it."""
        voices = read_choir(needs("music21") / "corpus" / "bach" / "bwv66.6.mxl")
        assert [key for _, _, key in voices[0]][:12] == [73, 71, 69, 71, 73, 76, 73, 71, 69, 73, 69, 71]
        assert {voice[0][2] for voice in voices} == {57, 64, 73}

    def test_the_corpus(self, read: Read) -> None:
        needs("music21")
        data = read("bach_chorales")
        steps = data.train.inputs.sum(axis=2)[np.arange(data.train.inputs.shape[1]) < data.train.lengths[:, None]]
        assert data.task == "next_step"
        assert data.train.inputs.shape[2] == 88
        assert len(data.train) > 350
        assert 3.7 < steps.mean() <= steps.max() == 4


class TestNames:
    def test_each_name_has_one_language(self) -> None:
        needs("faker")
        names = last_names()
        everything = [name for language in names.values() for name in language]
        assert list(names) == list(LANGUAGES)
        assert len(set(everything)) == len(everything) > 14_000
        assert min(map(len, names.values())) > 80
        assert "Sánchez" in names["Spanish"]
        assert not any("Meyer" in of_it for of_it in names.values())  # French and German
        assert all(name == name.strip() != "" for name in everything)

    def test_the_dataset(self, read: Read) -> None:
        needs("faker")
        data = read("names")
        assert (data.task, data.classes) == ("classification", tuple(LANGUAGES))
        assert data.validation is not None
        assert data.test is not None
        assert all(set(part.targets) == set(range(18)) for part in (data.train, data.validation, data.test))
        assert data.vocabulary is not None
        first = decode(data.vocabulary, data.test.inputs[0, : data.test.lengths[0]].tolist())
        assert first in last_names()["Arabic"]

    def test_another_task_is_refused(self, read: Read) -> None:
        needs("faker")
        with pytest.raises(InvalidInput, match="is regression, but names is for classification"):
            read("names", task="regression")


class TestPythonTopics:
    def test_no_long_paragraph_stands_twice(self) -> None:
        paragraphs = [" ".join(item.split()) for item in python_topics().split("\n\n") if "\n" in item.strip("\n")]
        assert len(paragraphs) == len(set(paragraphs)) > 1000

    def test_every_topic_is_in_it(self) -> None:
        text = python_topics()
        assert text.startswith('The "assert" statement\n')
        assert all(f'The "{word}" statement\n***' in text for word in ("for", "return", "with", "yield"))
        assert 300_000 < len(text) < 700_000

    def test_the_dataset(self, read: Read) -> None:
        data = read("python_topics", test_fraction=0.1)
        text = python_topics()
        assert data.task == "language_model"
        assert data.test is not None
        assert data.vocabulary is not None
        rest = decode(data.vocabulary, data.test.targets[0].tolist())
        assert len(rest) == round(0.1 * len(text)) - 1
        assert text.endswith(rest)
