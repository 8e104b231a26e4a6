"""The benchmark of training runs: at a toy size, which measures nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_every_benchmark_prints_its_table_and_completes_every_trial() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.training", "--toy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == ["One training", "Whole searches"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| digits")]
    assert [row[:3] for row in rows] == [
        ["digits", "gru", "8"],
        ["digits", "gru", "n_jobs=2"],
        ["digits", "gru", "2 processes"],
    ]
    assert {row[-1] for row in rows[1:]} == {"yes"}
