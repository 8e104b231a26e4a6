"""The benchmarks run: at a toy size, which measures nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_every_benchmark_prints_its_table_and_loses_no_trial() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.engine", "--toy", "--databases", "sqlite"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stderr
    titles = [line.removeprefix("## ") for line in done.stdout.splitlines() if line.startswith("## ")]
    assert titles == ["Ask and tell", "Throughput", "Polling the best", "Start", "Vizier"]
    cells = [cell.strip() for line in done.stdout.splitlines() for cell in line.split("|")]
    assert "yes" in cells
    assert "NO" not in cells
