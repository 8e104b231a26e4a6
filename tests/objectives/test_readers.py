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
from hpsearch.objectives.rnn.data import readers
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.sequences import Dataset, FloatArray
from hpsearch.objectives.rnn.data.splits import split
from hpsearch.objectives.rnn.parameters import INFO

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
        assert data.train.targets.shape == (8759 - 48 - 6 + 1, 6)

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
    Y = np.arange(6) % 2

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

    def test_several_labels_a_sequence(self, read: Read, root: Path) -> None:
        y = np.array([[0, 1, 1], [1, 0, 0]] * 3)
        np.savez(root / "x.npz", x=self.X, y=y)
        data = read("x.npz")
        assert (data.task, data.classes, data.train.targets.dtype) == ("multilabel", ("0", "1", "2"), np.float32)
        np.testing.assert_array_equal(data.train.targets, y)

    @pytest.mark.parametrize(("task", "shape"), [("multilabel", (6, 1)), (None, (6,))])
    def test_a_column_of_targets_may_be_one_label(
        self, read: Read, root: Path, task: str | None, shape: tuple[int, ...]
    ) -> None:
        np.savez(root / "x.npz", x=self.X, y=self.Y[:, None])
        assert read("x.npz", task=task).train.targets.shape == shape

    def test_several_labels_are_no_classes(self, read: Read, root: Path) -> None:
        np.savez(root / "x.npz", x=self.X, y=np.zeros((6, 2), dtype=int))
        assert "one target a sequence" in fault_of(read, "x.npz", task="classification").problem

    def test_what_goes_with_the_sequences(self, read: Read, root: Path) -> None:
        context = np.arange(18.0).reshape(6, 3)
        others = {"statics": np.arange(12).reshape(6, 2), "categories": [0, 1, 2, 3, 2, 1], "context": context}
        np.savez(root / "x.npz", x=self.X, y=self.Y, context_lengths=[1, 2, 3, 3, 2, 1], **others)
        data = read("x.npz")
        train = data.train
        assert train.statics is not None
        assert train.categories is not None
        assert train.context is not None
        assert train.context_lengths is not None
        assert data.category_sizes == (4,)
        assert (train.statics.dtype, train.statics.shape) == (np.float32, (6, 2))
        assert (train.categories.dtype, train.categories.shape) == (np.int64, (6, 1))
        assert train.context[:3, :, 0].tolist() == [[0, 0, 0], [3, 4, 0], [6, 7, 8]]
        assert train.context_lengths.tolist() == [1, 2, 3, 3, 2, 1]

    def test_what_goes_with_each_split(self, read: Read, root: Path) -> None:
        arrays = {"x": self.X, "y": self.Y, "statics": np.arange(6), "context": self.X}
        both = {f"{name}_{part}": array for part in ("train", "test") for name, array in arrays.items()}
        np.savez(root / "x.npz", **both, categories_train=[[1, 0]] * 6, categories_test=[[0, 4]] * 6)
        data = read("x.npz")
        assert data.test is not None
        assert data.category_sizes == (2, 5)
        for part in (data.train, data.test):
            assert part.statics is not None
            assert part.context is not None
            assert (part.statics.shape, part.context.shape) == ((6, 1), (6, 2, 2))

    @pytest.mark.parametrize(
        ("arrays", "problem"),
        [
            ({"statics": np.zeros((5, 2))}, r"statics must be \[6 sequences, values\], not \[5, 2\]"),
            ({"statics": np.array(list("abcdef"))}, "statics must hold numbers"),
            ({"categories": np.arange(6) - 1}, "categories must hold whole numbers from 0 on"),
            ({"categories": np.arange(6.0)}, "categories must hold whole numbers from 0 on"),
            ({"context": X[:5]}, "context has 5 sequences, x 6"),
            ({"context": np.zeros(6)}, r"context must be \[sequences, steps, features\]"),
            ({"context": X, "context_lengths": np.arange(6)}, "context_lengths must be from 1 to 2"),
            ({"lenghts": np.ones(6, dtype=int)}, "did you mean 'lengths'"),
            ({"static": np.zeros(6)}, "did you mean 'statics'"),
        ],
    )
    def test_what_goes_with_them_must_fit(self, read: Read, root: Path, arrays: dict[str, Any], problem: str) -> None:
        np.savez(root / "x.npz", x=self.X, y=self.Y, **arrays)
        with pytest.raises(InvalidInput, match=problem):
            read("x.npz")

    def test_what_one_split_has_the_others_have(self, read: Read, root: Path) -> None:
        arrays = {"x_train": self.X, "y_train": self.Y, "x_test": self.X, "y_test": self.Y}
        np.savez(root / "x.npz", **arrays, statics_train=np.zeros(6))
        assert fault_of(read, "x.npz").problem == "has an array statics_train, but none statics_test"

    def test_lengths_without_their_split_are_no_slip_of_the_pen(self, read: Read, root: Path) -> None:
        np.savez(root / "x.npz", x_train=self.X, y_train=self.Y, lengths=np.ones(6, dtype=int))
        assert fault_of(read, "x.npz").suggestion == "lengths_train"

    def test_other_arrays_are_left_alone(self, read: Read, root: Path) -> None:
        np.savez(root / "x.npz", x=self.X, y=self.Y, made_by=np.array(["me"]))
        assert len(read("x.npz").train) == 6

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
            ({"x": X, "y": np.full((6, 2), 2)}, "labels of 0 and 1 alone, not 2"),
            ({"x": X, "y": np.full((6, 2), np.nan)}, "labels of 0 and 1 alone, not nan"),
            ({"x": X, "y": np.zeros((6, 2, 1))}, "one target a sequence"),
            ({"x_train": X, "y_train": np.eye(6)[:, :2], "x_test": X, "y_test": np.eye(6)[:, :3]}, "as many labels"),
            ({"x_train": X, "y_train": Y, "x_test": X[:, :, :1], "y_test": Y}, "different numbers of features"),
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

    @pytest.mark.parametrize("value", ["0.5", ""])
    def test_classes_are_whole_numbers(self, read: Read, root: Path, value: str) -> None:
        (root / "x.csv").write_text("g,c,v\n" + "".join(f"{i},{i % 2},{i}\n" for i in range(12)) + f"12,{value},1\n")
        fault = fault_of(read, "x.csv", group="g", target="c", task="classification")
        assert fault.path == "objective.settings.target"
        assert "other than whole numbers" in fault.problem

    def test_a_table_without_groups_is_a_series(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("﻿hour,v\n" + "".join(f"2020-01-{i:02d},{i * i}\n" for i in range(40, 0, -1)))
        data = read("x.csv", order="hour", window=3, horizon=2)
        assert data.train.inputs[0, :, 0].tolist() == [1, 4, 9]
        assert data.train.targets[0].tolist() == [16, 25]

    def test_several_targets_are_labels(self, read: Read, root: Path) -> None:
        rows = "".join(f"{i // 2},{i // 2 % 2},{i // 4 % 2},{i}\n" for i in range(24))
        (root / "x.csv").write_text("g,warm,wet,v\n" + rows)
        data = read("x.csv", group="g", target="warm, wet")
        assert (data.task, data.classes, data.features) == ("multilabel", ("warm", "wet"), ("v",))
        assert data.train.targets[:4].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
        assert read("x.csv", group="g", target="wet", task="multilabel").train.targets.shape == (12, 1)

    def test_a_comma_may_be_part_of_a_name(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text('g,"a,b",v\n' + "".join(f"{i},{i % 2},{i}\n" for i in range(12)))
        assert read("x.csv", group="g", target="a,b").task == "classification"

    def test_columns_may_hold_for_whole_sequences(self, read: Read, root: Path) -> None:
        rows = "".join(
            f"{i // 2},{'xy'[i // 2 % 2]},{i // 2 / 4},{'aabbbc'[i // 2]},{i // 2 // 3},{i}\n" for i in range(12)
        )
        (root / "x.csv").write_text("g,label,height,kind,block,v\n" + rows)
        data = read("x.csv", group="g", target="label", statics="height", categories="kind,block")
        assert data.features == ("v",)
        assert data.train.statics is not None
        assert data.train.categories is not None
        assert data.train.statics.tolist() == [[0], [0.25], [0.5], [0.75], [1], [1.25]]
        # c is there but once: as good as unknown
        assert data.train.categories.tolist() == [[1, 1], [1, 1], [2, 1], [2, 2], [2, 2], [0, 2]]
        assert data.category_sizes == (3, 3)
        assert data.category_names == (("a", "b"), ("0", "1"))

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
            ({"group": "who", "target": "label,lable"}, "target", "label"),
            ({"group": "who", "target": "label,a"}, "target", None),
            ({"group": "who", "target": "label,a", "task": "classification"}, "target", None),
            ({"group": "who", "target": "label", "task": "multilabel"}, "target", None),
            ({"group": "who", "target": "label", "statics": "aa"}, "statics", "a"),
            ({"group": "who", "target": "label", "statics": "b"}, "statics", None),
            ({"group": "who", "target": "label", "statics": "who"}, "statics", None),
            ({"group": "who", "target": "label", "categories": "wo"}, "categories", "who"),
            ({"group": "who", "target": "label", "categories": "b"}, "categories", None),
            ({"target": "a", "statics": "b"}, "statics", None),
            ({"target": "a", "categories": "b"}, "categories", None),
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

    @pytest.mark.parametrize("features", [None, "v", "w,v"])
    @pytest.mark.parametrize("settings", [{"target": "w"}, {"group": "g", "target": "c"}], ids=["series", "groups"])
    def test_a_word_among_numbers_is_told(
        self, read: Read, root: Path, settings: dict[str, Any], features: str | None
    ) -> None:
        rows = [f"{60 - i},{i // 2},{i // 2 % 2},{i},{'broken' if i == 4 else i},a{i}" for i in range(60)]
        (root / "x.csv").write_text("o,g,c,w,v,name\n" + "\n".join(rows))
        fault = fault_of(read, "x.csv", **settings, order="o", features=features)
        assert "x.csv: column 'v' holds 'broken' in row 5 below the header" in fault.problem
        assert read("x.csv", **settings, features="w").features == ("w",)

    def test_a_word_among_the_targets_is_told(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("v\n" + "1\n" * 30 + "\nbroken\n")
        assert "column 'v' holds 'broken' in row 31 below the header" in fault_of(read, "x.csv", target="v").problem
        (root / "x.csv").write_text("v,w\n" + "1,1\n" * 30 + "broken,1\n")
        fault = fault_of(read, "x.csv", target="v", features="w")
        assert fault.problem == "column 'v' does not hold numbers alone, but 'broken'"

    def test_columns_of_words_alone_are_left_out(self, read: Read, root: Path) -> None:
        rows = [f"{i},{('', 'wet', 'dry')[i % 3]},2020-01-{i:02d},{'' if i % 2 else 'nan'},{i}" for i in range(10, 32)]
        (root / "x.csv").write_text("v,kind,day,holes,w\n" + "\n".join(rows))
        assert read("x.csv", target="v", window=3).features == ("v", "holes", "w")

    def test_a_missing_number_is_refused(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("v,w\n" + "1,2\n" * 50 + ",2\n")
        data = read("x.csv", target="v")
        with pytest.raises(InvalidInput, match="missing or infinite"):
            split(data, 0.2, 0.2, 0)


class TestForecasts:
    @pytest.fixture
    def series(self, root: Path) -> FloatArray:
        values = np.random.default_rng(0).normal(size=60).astype(np.float32)
        np.savez(root / "x.npz", x=values)
        return values

    def test_the_next_values_are_told(self, read: Read, series: FloatArray) -> None:
        train = read("x.npz", window=5, horizon=3).train
        assert (train.inputs.shape, train.targets.shape, train.targets.dtype) == ((53, 5, 1), (53, 3), np.float32)
        for example in (0, 20, 52):
            np.testing.assert_array_equal(train.inputs[example, :, 0], series[example : example + 5])
            np.testing.assert_array_equal(train.targets[example], series[example + 5 : example + 8])

    def test_of_several_features_one_is_told(self, read: Read, root: Path) -> None:
        (root / "x.csv").write_text("a,b\n" + "".join(f"{step},{step * step}\n" for step in range(30)))
        data = read("x.csv", target="b", window=4, horizon=2)
        assert (data.features, data.target_feature, data.steps) == (("a", "b"), 1, 30)
        assert data.train.targets[0].tolist() == [16, 25]
        assert data.train.baselines["naive"][0].tolist() == [9, 9]

    def test_the_naive_guess_is_the_newest_value(self, read: Read, series: FloatArray) -> None:
        train = read("x.npz", window=5, horizon=3).train
        assert set(train.baselines) == {"naive"}
        assert train.baselines["naive"].shape == train.targets.shape
        np.testing.assert_array_equal(train.baselines["naive"][20], [series[24]] * 3)

    @pytest.mark.parametrize("window", [4, 20])
    def test_the_seasonal_naive_guess_is_the_last_seasons_value(
        self, read: Read, series: FloatArray, window: int
    ) -> None:
        train = read("x.npz", window=window, horizon=7, season=6).train
        guess, newest = train.baselines["seasonal_naive"], 30 + window - 1
        # six steps ahead are told by the season that ends now, the seventh by that season's first step again
        np.testing.assert_array_equal(guess[30], [*series[newest - 5 : newest + 1], series[newest - 5]])
        assert guess.shape == train.targets.shape

    def test_in_the_first_season_the_guess_is_naive(self, read: Read, series: FloatArray) -> None:
        train = read("x.npz", window=2, horizon=3, season=4).train
        np.testing.assert_array_equal(train.baselines["seasonal_naive"][0], [series[1], series[1], series[0]])

    def test_a_perfect_season_is_guessed_perfectly(self, read: Read, root: Path) -> None:
        np.savez(root / "y.npz", x=np.tile(np.arange(5.0), 12))
        train = read("y.npz", window=8, horizon=12, season=5).train
        np.testing.assert_array_equal(train.baselines["seasonal_naive"], train.targets)

    def test_a_season_is_shorter_than_the_series(self, read: Read, series: FloatArray) -> None:
        assert fault_of(read, "x.npz", season=60, window=5).path == "objective.settings.season"

    def test_a_recursive_forecast_reads_its_target_alone(self, read: Read, root: Path, series: FloatArray) -> None:
        direct, recursive = (
            read("x.npz", window=5, horizon=3, forecast_strategy=strategy) for strategy in ("direct", "recursive")
        )
        np.testing.assert_array_equal(direct.train.targets, recursive.train.targets)
        (root / "x.csv").write_text("a,b\n" + "".join(f"{step},{step}\n" for step in range(30)))
        settings = {"target": "b", "window": 4, "forecast_strategy": "recursive"}
        assert fault_of(read, "x.csv", **settings).path == "objective.settings.forecast_strategy"
        assert read("x.csv", **settings, features="b").features == ("b",)


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
