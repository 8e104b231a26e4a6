"""Our searches beside published figures: `python -m tests.benchmarks.published [--only NAME …] --data FOLDER`.

Each study of `studies/` runs through `hpsearch run`; what is shown is its best trial's test result, which the search
has not seen. The files of the data sets are not ours to ship: `--data` says where they lie.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean

import numpy as np
from sklearn.datasets import load_digits

from hpsearch.studies import Study
from hpsearch.trials import Scalar, Trial, TrialState
from tests.benchmarks.fresh_seeds import FIRST_SEED, opened, train
from tests.benchmarks.tables import print_table

STUDIES = Path(__file__).parent / "studies"
TRAINED_AGAIN: Mapping[str, Mapping[str, Scalar]] = {
    "japanese_vowels": {"refit": True},  # the folds say for how long; the network has all that is to train on
    "digits_halves": {"refit": True},
}
"""Few sequences: what the search found is trained again on fresh seeds, with these settings changed."""
SEEDS = 5


def _loss(trial: Trial) -> str:
    return f"{trial.metrics['test_loss']:.3f}"


def _losses_of_text(trial: Trial) -> str:
    """With the trained weights, and apart from that with weights that follow the text."""
    return f"{_loss(trial)} (dynamic evaluation: {trial.metrics['test_dynamic_loss']:.3f})"


def _accuracy(trial: Trial) -> str:
    return f"{trial.metrics['test_accuracy']:.4f}"


def _squared_error(trial: Trial) -> str:
    return f"{(trial.metrics['test_rmse'] or 0.0) ** 2:.5f}"


SHOWN: Mapping[str, tuple[Callable[[Trial], str], str]] = {
    "jsb_chorales": (_loss, "nats a step; published: GRU 8.43, LSTM 8.45"),
    "tinyshakespeare": (
        _losses_of_text,
        "nats a character; published, without dynamic evaluation: 1.47 (a GPT on a GPU), 1.88 (a small one on a CPU)",
    ),
    "adding_100": (_squared_error, "mean squared error; a guess of 1: 0.167"),
    "adding_200": (_squared_error, "mean squared error; a guess of 1: 0.167"),
    "japanese_vowels": (_accuracy, "accuracy; published: 0.965 (a reservoir), 0.99 to 1.00 (LSTM-FCN)"),
    "digits_halves": (_accuracy, "accuracy; 12 trials of plain networks: 0.956"),
}


def main() -> None:
    """Run the studies, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.published", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SHOWN, default=list(SHOWN))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Where the data sets' files lie.")
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()
    rows = [row for name in given.only for row in _rows(name, given.data, given.slots)]
    print_table(("study", "cell", "trials", "wall", "validation", "test", f"test, mean of {SEEDS} seeds", "what"), rows)


def _rows(name: str, data: Path, slots: int) -> list[list[str]]:
    """The best trial; where cells are compared, that of each."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-published-") as folder:
        home = Path(folder)
        _save_digits(home / "digits_halves.npz")
        roots = [data.resolve(), home]
        command = [sys.executable, "-m", "hpsearch", "run", str(STUDIES / f"{name}.yaml"), "--home", folder]
        began = time.monotonic()
        subprocess.run([*command, *(f"--data={root}" for root in roots), "--slots", str(slots)], check=True)
        wall = time.monotonic() - began
        study, trials = _ended(home, name)
        sign = -1 if study.spec.objective.direction == "maximize" else 1
        ranked = sorted(trials, key=lambda trial: sign * (trial.value or 0.0))
        best = {str(trial.parameters.get("cell", "")): trial for trial in reversed(ranked)}
        chosen = best if name.startswith("adding") else {"": ranked[0]}
        shown, what = SHOWN[name]
        return [
            [
                name,
                str(trial.parameters.get("cell", study.spec.objective.settings.get("cell", ""))),
                str(study.counts.finished),
                f"{wall:.0f} s",
                f"{trial.value:.4f}",
                shown(trial),
                _on_fresh_seeds(study, trial, TRAINED_AGAIN[name], roots, home) if name in TRAINED_AGAIN else "",
                what,
            ]
            for trial in chosen.values()
        ]


def _ended(home: Path, name: str) -> tuple[Study, list[Trial]]:
    """A study, and its complete trials."""
    service = opened(home)
    try:
        return service.get_study(name), [trial for trial in service.export(name) if trial.state is TrialState.COMPLETE]
    finally:
        service.close()


def _on_fresh_seeds(study: Study, trial: Trial, changed: Mapping[str, Scalar], roots: list[Path], folder: Path) -> str:
    """The mean test accuracy of the trial's configuration on seeds that the search has not used."""
    results = [
        train(study.spec, trial.parameters, changed, roots, folder, seed)[1]
        for seed in range(FIRST_SEED, FIRST_SEED + SEEDS)
    ]
    return f"{mean(metrics['test_accuracy'] or 0.0 for metrics in results):.4f}"


def _save_digits(path: Path) -> None:
    """The first half to train on, the second to test on."""
    digits = load_digits()
    half = len(digits.images) // 2
    x, y = digits.images.astype(np.float32), digits.target
    np.savez(path, x_train=x[:half], y_train=y[:half], x_test=x[half:], y_test=y[half:])


if __name__ == "__main__":
    main()
