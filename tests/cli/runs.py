"""What the tests of `hpsearch run` share: small studies on real data."""

import json
from pathlib import Path
from typing import Any

from hpsearch.client import StudyHandle
from tests.cli.conftest import Shell
from tests.waiting import wait_until

QUICK = {"dataset": "digits", "max_epochs": 2, "hidden_layers": 1, "batch_size": 64}
ENDLESS = QUICK | {"max_epochs": 300, "patience": 300, "batch_size": 16}


def write_study(folder: Path, trials: int, settings: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A study file."""
    study = {
        "name": "tiny",
        "objective": {
            "name": "rnn",
            "metric": "validation_accuracy",
            "direction": "maximize",
            "settings": settings or QUICK,
        },
        "space": {
            "learning_rate": {"type": "float", "low": 1e-3, "high": 3e-2, "log": True},
            "hidden_units": {"type": "int", "low": 8, "high": 16},
        },
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "budget": {"trials": trials},
    }
    file = folder / "tiny.json"
    file.write_text(json.dumps(study | changes))
    return file


def running(file: Path, *more: str) -> list[str]:
    """The command that runs it, with one slot."""
    return ["run", str(file), "--slots", "1", "--port", "0", *more]


def started_study(shell: Shell) -> StudyHandle:
    """The study of the run that is going on, once a trial of it runs."""
    client = shell.client()
    wait_until(lambda: [item for item in client.studies() if item.counts.running], "a trial runs")
    return client.study("tiny")
