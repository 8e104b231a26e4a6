"""Data sets: the built-in ones, and files of every kind, right and wrong."""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import Fault, InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn import readers
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.objectives.rnn.readers import read_dataset
from hpsearch.objectives.rnn.sequences import Dataset
from hpsearch.objectives.rnn.splits import split

Read = Callable[..., Dataset]
TS = "@classLabel true a b\n@data\n1,2:a\n3,4:b\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def read(root: Path) -> Read:
    """Reads a data set with some settings; only below `root`."""

    def read(name: str, **settings: Any) -> Dataset:
        return read_dataset(with_defaults(INFO, {"dataset": name, **settings}), (root,))

    return read


def fault_of(read: Read, name: str, **settings: Any) -> Fault:
    with pytest.raises(InvalidInput) as caught:
        read(name, **settings)
    return caught.value.faults[0]


def needs(*packages: str) -> None:
    """Skips a test where a package is not installed; importing it would be what is forbidden here."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


class TestBuiltIn:
    def test_digits(self, read: Read) -> None:
        data = read("digits")
        assert (data.task, data.train.inputs.shape) == ("classification", (1797, 8, 8))
        assert data.classes == tuple("0123456789")

    def test_japanese_vowels_bring_their_test_split(self, read: Read) -> None:
        needs("sktime")
        data = read("japanese_vowels")
        assert data.test is not None
        assert (len(data.train), len(data.test), len(data.classes)) == (270, 370, 9)
        assert data.train.inputs.shape[2] == 12
        assert (data.train.lengths.min(), data.test.lengths.max()) == (7, 29)

    def test_seattle_temps(self, read: Read) -> None:
        needs("vega_datasets")
        data = read("seattle_temps", window=48, horizon=6)
        assert data.task == "forecast"
        assert data.train.inputs.shape == (8759 - 48 - 6 + 1, 48, 1)

    @pytest.mark.parametrize("name", ["japanese_vowels", "seattle_temps"])
    def test_what_is_not_installed_is_named(self, read: Read, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readers, "find_spec", lambda package: None)
        assert "pip install 'hpsearch[datasets]'" in fault_of(read, name).problem

    def test_their_packages_are_never_imported(self, read: Read) -> None:
        needs("sktime", "vega_datasets")
        read("japanese_vowels")
        read("seattle_temps")
        assert not {"sktime", "aeon", "vega_datasets"} & sys.modules.keys()

    def test_a_misspelt_name_is_answered_with_the_near_one(self, read: Read) -> None:
        fault = fault_of(read, "digit")
        assert (fault.path, fault.suggestion) == ("objective.settings.dataset", "digits")

    def test_a_task_that_the_data_is_not_for_is_refused(self, read: Read) -> None:
        assert fault_of(read, "digits", task="regression").path == "objective.settings.task"


class TestPlaces:
    """A trial reads below its data folders alone."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        (tmp_path / "outside").mkdir()
        path = tmp_path / "outside" / "secret.ts"
        path.write_text(TS)
        return path

    def test_a_file_in_a_folder_below_is_read(self, read: Read, root: Path) -> None:
        (root / "deep" / "er").mkdir(parents=True)
        (root / "deep" / "er" / "x.ts").write_text(TS)
        assert len(read("deep/er/x.ts").train) == 2
        assert len(read(str(root / "deep" / "er" / "x.ts")).train) == 2

    def test_a_link_within_is_followed(self, read: Read, root: Path) -> None:
        (root / "x.ts").write_text(TS)
        (root / "link.ts").symlink_to(root / "x.ts")
        assert len(read("link.ts").train) == 2

    def test_nothing_outside_is_read(self, read: Read, root: Path, secret: Path) -> None:
        (root / "folder").symlink_to(secret.parent)
        (root / "link.ts").symlink_to(secret)
        (root / "link of link.ts").symlink_to(root / "link.ts")
        (root / "here").mkdir()
        names = ["../outside/secret.ts", "here/../../outside/secret.ts", str(secret), "link.ts", "link of link.ts"]
        for name in [*names, "folder/secret.ts", "folder/../outside/secret.ts"]:
            fault = fault_of(read, name)
            assert fault.path == "objective.settings.dataset"
            assert "below the data folders" in fault.problem

    def test_the_test_file_beside_is_not_read_outside_either(self, read: Read, root: Path, secret: Path) -> None:
        (root / "x_TRAIN.ts").write_text(TS)
        (root / "x_TEST.ts").symlink_to(secret)
        assert "x_TEST.ts leads to no file below" in fault_of(read, "x_TRAIN.ts").problem

    def test_a_root_that_is_itself_a_link_serves(self, root: Path, tmp_path: Path) -> None:
        (root / "x.ts").write_text(TS)
        (tmp_path / "alias").symlink_to(root)
        options = with_defaults(INFO, {"dataset": "x.ts"})
        assert len(read_dataset(options, (tmp_path / "nowhere", tmp_path / "alias")).train) == 2

    @pytest.mark.parametrize(
        "name", ["none.csv", "folder.csv", "pipe.csv", "loop.csv", "a\0b.csv", "x" * 5000 + ".csv"]
    )
    def test_what_is_no_file_is_refused(self, read: Read, root: Path, name: str) -> None:
        (root / "folder.csv").mkdir()
        os.mkfifo(root / "pipe.csv")
        (root / "loop.csv").symlink_to(root / "loop.csv")
        assert "there is no file" in fault_of(read, name).problem

    def test_without_data_folders_no_file_is_read(self, secret: Path) -> None:
        with pytest.raises(InvalidInput, match="there is no file"):
            read_dataset(with_defaults(INFO, {"dataset": str(secret)}), ())


class TestNpz:
    X = np.arange(24.0).reshape(6, 2, 2)

    @pytest.mark.parametrize(
        ("y", "task", "classes"),
        [
            ([3, 10, 3, 10, 3, 10], "classification", ("3", "10")),
            (list("uvuvuv"), "classification", ("u", "v")),
            ([0.5, 1, 2, 3, 4, 5], "regression", ()),
        ],
    )
    def test_labels_say_the_task(self, read: Read, root: Path, y: list[Any], task: str, classes: tuple[str]) -> None:
        np.savez(root / "x.npz", X=self.X, y=np.array(y))
        data = read("x.npz")
        assert (data.task, data.classes) == (task, classes)

    def test_whole_numbers_may_be_quantities(self, read: Read, root: Path) -> None:
        np.savez(root / "x.npz", x=self.X, y=np.arange(6))
        assert read("x.npz", task="regression").train.targets.tolist() == [0, 1, 2, 3, 4, 5]

    def test_what_pads_is_no_data(self, read: Read, root: Path) -> None:
        x = self.X.copy()
        x[0, 1] = np.nan
        np.savez(root / "x.npz", x=x, y=np.arange(6) % 2, lengths=[1, 2, 2, 2, 2, 2])
        data = read("x.npz")
        assert data.train.lengths.tolist() == [1, 2, 2, 2, 2, 2]
        assert data.train.inputs[0, 1].tolist() == [0, 0]

    def test_splits_of_its_own(self, read: Read, root: Path) -> None:
        y = np.arange(6) % 2
        np.savez(root / "x.npz", x_train=self.X, y_train=y, x_test=self.X[:2], y_test=y[:2])
        data = read("x.npz")
        assert data.test is not None
        assert (len(data.train), data.validation, len(data.test)) == (6, None, 2)

    def test_a_series_is_forecast(self, read: Read, root: Path) -> None:
        np.savez(root / "x.npz", x=np.arange(50.0))
        assert read("x.npz", window=10).task == "forecast"

    @pytest.mark.parametrize(
        ("arrays", "problem"),
        [
            ({"z": X}, "no array x"),
            ({"x_train": X, "x_test": X}, "no array y_train"),
            ({"x_train": X, "y_train": np.arange(6) % 2, "x_test": X}, "no array y_test"),
            ({"x": X[:0], "y": np.arange(0)}, "at least"),
            ({"x": X, "y": np.array(3)}, "one target a sequence"),
            ({"x": X, "y": np.zeros((6, 2), dtype=int)}, "one target a sequence"),
            ({"x": X, "y": np.arange(5) % 2}, "6 sequences, y 5"),
            ({"x": X, "y": np.zeros(6, dtype=int)}, "1 class"),
            ({"x": X.astype(str), "y": np.arange(6) % 2}, "must hold numbers"),
            ({"x": np.zeros((6, 2, 2, 2)), "y": np.arange(6) % 2}, r"\[sequences, steps, features\]"),
            ({"x": X, "y": np.arange(6) % 2, "lengths": np.array([1, 2, 3, 1, 1, 1])}, "from 1 to 2"),
            ({"x": X, "y": np.arange(6) % 2, "lengths": np.ones(6)}, "whole numbers"),
            ({"x": np.arange(20.0)}, "at least 10 are needed"),
            ({"x": np.array([object()] * 6), "y": np.arange(6) % 2}, "allow_pickle=False"),
        ],
    )
    def test_a_wrong_one_is_refused(self, read: Read, root: Path, arrays: dict[str, Any], problem: str) -> None:
        np.savez(root / "x.npz", **arrays)
        with pytest.raises(InvalidInput, match=problem):
            read("x.npz")

    def test_other_files_of_that_name_are_refused(self, read: Read, root: Path) -> None:
        np.savez(root / "whole.npz", x=self.X, y=np.arange(6))
        whole = (root / "whole.npz").read_bytes()
        np.save(root / "array.npy", self.X)
        contents = [b"", b"hello", whole[:200], whole[:-40], (root / "array.npy").read_bytes()]
        damaged = bytearray(whole)
        damaged[150:160] = b"\xff" * 10  # inside the first array: the checksum tells
        for content in [*contents, bytes(damaged)]:
            (root / "x.npz").write_bytes(content)
            assert "is no .npz of plain arrays" in fault_of(read, "x.npz").problem


class TestTables:
    CSV = "who,when,label,a,b\n" + "".join(
        f"s{number},{2 - step},{'xy'[number % 2]},{number},{step}\n" for number in range(6) for step in range(3)
    )

    def test_groups_are_sequences(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text(self.CSV)
        data = read("x.csv", group="who", target="label", order="when")
        assert (data.task, data.classes, data.features) == ("classification", ("x", "y"), ("a", "b"))
        assert data.train.inputs[1].tolist() == [[1, 2], [1, 1], [1, 0]]  # sorted by `when`

    def test_features_may_be_chosen(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text(self.CSV)
        assert read("x.csv", group="who", target="label", features=" b , a").features == ("b", "a")

    @pytest.mark.parametrize(("target", "task"), [("a", "classification"), ("c", "regression")])
    def test_numbers_are_classes_where_they_are_whole(self, read: Read, root: Path, target: str, task: str) -> None:
        rows = "".join(f"{i // 2},{i // 2 % 3},{i // 2 / 4},{i}\n" for i in range(24))
        (root / "x.csv").write_text("g,a,c,b\n" + rows)
        assert read("x.csv", group="g", target=target).task == task

    def test_a_table_without_groups_is_a_series(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("﻿hour,v\n" + "".join(f"2020-01-{i:02d},{i * i}\n" for i in range(40, 0, -1)))
        data = read("x.csv", order="hour", window=3, horizon=2)
        assert data.train.inputs[0, :, 0].tolist() == [1, 4, 9]
        assert data.train.targets[0] == 25

    def test_parquet_is_as_csv(self, read: Read, root: Path) -> None:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        (root / "x.csv").write_text(self.CSV)
        rows = [line.split(",") for line in self.CSV.splitlines()[1:]]
        who, when, label, a, b = zip(*rows, strict=True)
        numbers = [list(map(int, column)) for column in (when, a, b)]
        columns = {"who": list(who), "when": numbers[0], "label": list(label), "a": numbers[1], "b": numbers[2]}
        (root / "g=1").mkdir()  # as Hive partitions are named: no column comes of it
        parquet.write_table(pa.table(columns), root / "g=1" / "x.parquet")
        settings = {"group": "who", "target": "label", "order": "when"}
        ours, other = read("g=1/x.parquet", **settings), read("x.csv", **settings)
        np.testing.assert_array_equal(ours.train.inputs, other.train.inputs)
        np.testing.assert_array_equal(ours.train.targets, other.train.targets)
        assert ours.features == other.features

    def test_parquet_columns_of_lists_are_no_numbers(self, read: Read, root: Path) -> None:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({"v": [[1.0], [2.0]] * 20, "w": list(range(40))}), root / "x.parquet")
        assert read("x.parquet").features == ("w",)
        assert fault_of(read, "x.parquet", features="v,w").path == "objective.settings.features"

    def test_parquet_needs_pyarrow(self, read: Read, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "x.parquet").write_bytes(b"PAR1")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert "pip install 'hpsearch[parquet]'" in fault_of(read, "x.parquet").problem

    def test_no_parquet_file(self, read: Read, root: Path) -> None:
        pytest.importorskip("pyarrow")
        (root / "x.parquet").write_bytes(b"hello")
        assert "is no Parquet file" in fault_of(read, "x.parquet").problem

    @pytest.mark.parametrize(
        ("settings", "path", "suggestion"),
        [
            ({"group": "woh", "target": "label"}, "group", "who"),
            ({"group": "who", "target": "lable"}, "target", "label"),
            ({"group": "who", "target": "label", "order": "wen"}, "order", "when"),
            ({"group": "who", "target": "label", "features": "a,c"}, "features", None),
            ({"group": "who", "target": "label", "features": "label"}, "features", None),
            ({"group": "who", "target": "label", "task": "regression"}, "target", None),
            ({"group": "who"}, "target", None),
            ({"group": "who", "target": "b"}, "target", None),
            ({"target": "label", "task": "classification"}, "group", None),
            ({"group": "who", "target": "a", "task": "forecast"}, "group", None),
            ({"target": "label"}, "target", None),
            ({}, "target", None),
        ],
    )
    def test_wrong_columns_are_refused(
        self, read: Read, root: Path, settings: dict[str, Any], path: str, suggestion: str | None
    ) -> None:
        (root / "x.csv").write_text(self.CSV)
        fault = fault_of(read, "x.csv", **settings)
        assert (fault.path, fault.suggestion) == (f"objective.settings.{path}", suggestion)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "no rows"),
            (b"a,b\n", "no rows"),
            (b"a,b\n1,2\n3\n", "another number of fields"),
            (b"a,a\n1,2\n", "a column twice"),
            (b"a\n\xff\xfe\n", "no CSV in UTF-8"),
            (b"a\n" + b"1\n" * 20, "at least 10 are needed"),
            (b"a\nx\ny\n", "no column of numbers"),
        ],
    )
    def test_a_wrong_csv_is_refused(self, read: Read, root: Path, content: bytes, problem: str) -> None:
        (root / "x.csv").write_bytes(content)
        assert problem in fault_of(read, "x.csv").problem

    def test_a_missing_number_is_refused(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("v,w\n" + "1,2\n" * 50 + ",2\n")
        data = read("x.csv", target="v")
        with pytest.raises(InvalidInput, match="missing or infinite"):
            split(data, 0.2, 0.2, 0)


class TestTs:
    def test_the_test_file_beside_is_the_test_split(self, read: Read, root: Path) -> None:
        (root / "x_TRAIN.ts").write_text(TS)
        (root / "x_TEST.ts").write_text(TS + "5,6,7:b\n")
        data = read("x_TRAIN.ts")
        assert data.test is not None
        assert (len(data.train), len(data.test)) == (2, 3)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (TS.replace("3,4:b", ""), "1 class"),
            (TS + "1,2:3,4:b\n", "different numbers of features"),
            ("@classLabel true a b\n@data\n", "0 class"),
        ],
    )
    def test_a_wrong_one_is_refused(self, read: Read, root: Path, content: str, problem: str) -> None:
        (root / "x.ts").write_text(content)
        assert problem in fault_of(read, "x.ts").problem

    def test_files_of_two_kinds_are_refused(self, read: Read, root: Path) -> None:
        (root / "x_TRAIN.ts").write_text(TS)
        (root / "x_TEST.ts").write_text("@targetLabel true\n@data\n1,2:3\n")
        assert "one has classes" in fault_of(read, "x_TRAIN.ts").problem
