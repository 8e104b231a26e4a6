"""Piano rolls: each next step of sequences of labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from tests.objectives.reading import fault_of, read

CHORALES = Path(__file__).parents[3] / "shared" / "data" / "JSB_Chorales.mat"


def rolls(*steps: int, keys: int = 5) -> np.ndarray[Any, Any]:
    """Cells of [steps, keys] each, as MATLAB has them: [1, sequences]."""
    generator = np.random.default_rng(sum(steps))
    cells = np.empty((1, len(steps)), dtype=object)
    for position, count in enumerate(steps):
        cells[0, position] = generator.integers(0, 2, (count, keys)).astype(np.uint8)
    return cells


class TestMat:
    def save(self, folder: Path, **variables: Any) -> None:
        right = {"traindata": rolls(4, 7, 2), "validdata": rolls(3), "testdata": rolls(5, 6)}
        savemat(folder / "x.mat", {name: value for name, value in (right | variables).items() if value is not None})

    def test_each_step_is_told_from_those_before(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        data = read(tmp_path, "x.mat")
        assert (data.task, data.train.inputs.shape, data.train.targets.shape) == ("next_step", (3, 6, 5), (3, 6, 5))
        assert data.train.lengths.tolist() == [3, 6, 1]
        assert data.train.inputs.dtype == data.train.targets.dtype == np.float32
        for position, roll in enumerate(rolls(4, 7, 2)[0]):
            length = len(roll) - 1
            np.testing.assert_array_equal(data.train.inputs[position, :length], roll[:-1])
            np.testing.assert_array_equal(data.train.targets[position, :length], roll[1:])
            assert not data.train.inputs[position, length:].any()
            assert not data.train.targets[position, length:].any()

    def test_the_splits_are_the_given_ones(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        data = read(tmp_path, "x.mat", task="next_step")
        assert data.validation is not None
        assert data.test is not None
        assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 1, 2]

    def test_chorales(self) -> None:
        if not CHORALES.is_file():
            pytest.skip(f"{CHORALES} is not there")
        data = read(CHORALES.parent, CHORALES.name)
        assert data.validation is not None
        assert data.test is not None
        parts = data.train, data.validation, data.test
        assert [len(part) for part in parts] == [229, 76, 77]
        lengths = np.concatenate([part.lengths for part in parts])
        assert (lengths.min() + 1, lengths.max() + 1, data.train.inputs.shape[2]) == (25, 160, 88)
        assert set(np.unique(data.train.inputs)) == {0, 1}

    @pytest.mark.parametrize(
        ("variables", "problem", "suggestion"),
        [
            ({"validdata": None, "validation": rolls(3)}, "no variable validdata", "validation"),
            ({"traindata": np.zeros((3, 4))}, "traindata must be cells", None),
            ({"testdata": rolls(5, 1)}, "testdata, sequence 1, has 1 steps", None),
            ({"testdata": rolls(5, keys=4)}, "different numbers of keys: [4, 5]", None),
            ({"traindata": rolls(5) * 2}, "traindata, sequence 0, must hold labels of 0 and 1 alone, not 2.0", None),
            ({"traindata": np.empty((1, 0), dtype=object)}, "holds no sequences", None),
            ({"traindata": np.array([["text", "more text"]], dtype=object)}, "must be [steps, keys] of numbers", None),
        ],
    )
    def test_a_wrong_one_is_refused(
        self, tmp_path: Path, variables: dict[str, Any], problem: str, suggestion: str | None
    ) -> None:
        self.save(tmp_path, **variables)
        fault = fault_of(tmp_path, "x.mat")
        assert problem in fault.problem
        assert (fault.path, fault.suggestion) == ("objective.settings.dataset", suggestion)

    def test_other_files_of_that_name_are_refused(self, tmp_path: Path) -> None:
        savemat(tmp_path / "x.mat", {"traindata": rolls(4, 7)}, do_compression=True)
        whole = (tmp_path / "x.mat").read_bytes()
        damaged = bytearray(whole)
        damaged[160:170] = b"\xff" * 10  # the checksum tells
        modern = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
        for content in (b"", b"hello", whole[:120], whole[:200], whole[:-40], bytes(damaged), modern):
            (tmp_path / "x.mat").write_bytes(content)
            assert "x.mat is no .mat file up to MATLAB 7.2" in fault_of(tmp_path, "x.mat").problem

    def test_another_task_is_refused(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        assert fault_of(tmp_path, "x.mat", task="multilabel").path == "objective.settings.task"


class TestNpz:
    X = np.random.default_rng(0).integers(0, 2, (6, 5, 3))

    def test_sequences_of_labels(self, tmp_path: Path) -> None:
        lengths = np.array([5, 2, 3, 4, 5, 2])
        np.savez(tmp_path / "x.npz", x=self.X, lengths=lengths)
        data = read(tmp_path, "x.npz", task="next_step")
        assert data.train.lengths.tolist() == (lengths - 1).tolist()
        np.testing.assert_array_equal(data.train.inputs[2, :2], self.X[2, :2])
        np.testing.assert_array_equal(data.train.targets[2, :2], self.X[2, 1:3])
        assert not data.train.targets[1, 1:].any()

    def test_splits_of_its_own(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", x_train=self.X, x_test=self.X[:2])
        data = read(tmp_path, "x.npz", task="next_step")
        assert data.test is not None
        assert (len(data.train), data.validation, len(data.test)) == (6, None, 2)

    def test_other_values_than_labels_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x.npz", x=self.X * 0.5)
        assert "labels of 0 and 1" in fault_of(tmp_path, "x.npz", task="next_step").problem
