"""What `best` promises beside five further seeds: `python -m tests.benchmarks.confirmed [--only NAME …] [--seeds N …]`.

Each study of `studies/` runs through `hpsearch run`, with its confirmation as it is by default, once for each of the
study seeds. Then the confirmed best is trained on five seeds that neither a search nor its confirmation has used.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

from hpsearch.confirmation import Spread
from tests.benchmarks.fresh_seeds import FIRST_SEED, opened, train
from tests.benchmarks.tables import print_table

STUDIES = Path(__file__).parents[2] / "studies"
NAMES = ("digits", "japanese_vowels")
SEEDS = 5
TEST = "test_accuracy"
HEAD = (
    "study",
    "seed",
    "metric",
    "trial",
    "search saw",
    "best promises",
    f"{SEEDS} further seeds",
    "difference / s.d.",
)


def main() -> None:
    """Run the studies, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.confirmed", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the studies")
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()
    rows = [row for name in given.only for seed in given.seeds for row in _rows(name, seed, given.slots)]
    print_table(HEAD, rows)


def _rows(name: str, seed: int, slots: int) -> list[list[str]]:
    """The searched metric, and the accuracy on test, which the search has not seen."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-confirmed-") as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text((STUDIES / file.name).read_text().replace("\nseed: 0\n", f"\nseed: {seed}\n"))
        command = [sys.executable, "-m", "hpsearch", "run", str(file), "--home", folder]
        subprocess.run([*command, "--slots", str(slots)], check=True)
        service = opened(Path(folder))
        try:
            spec, best = service.get_study(name).spec, service.best(name).confirmed
        finally:
            service.close()
        if best is None or best.mean is None:
            raise SystemExit(f"{name} has confirmed nothing")
        found = [train(spec, best.parameters, {}, [], Path(folder), FIRST_SEED + run) for run in range(SEEDS)]
    searched = Spread(n=best.n, mean=best.mean, deviation=best.deviation)
    values = [value for value, _ in found]
    accuracies = [metrics[TEST] or 0.0 for _, metrics in found]
    metric, trial = str(spec.objective.metric), str(best.trial)
    return [
        [name, str(seed), metric, trial, f"{best.searched_value:.4f}", *_beside(searched, values)],
        [name, str(seed), TEST, trial, "-", *_beside(best.metrics[TEST], accuracies)],
    ]


def _beside(promised: Spread, fresh: list[float]) -> tuple[str, str, str]:
    """On few sequences five accuracies may all be the same: there is no deviation to measure by then."""
    deviation = stdev(fresh)
    return (
        f"{promised.mean:.4f} ± {promised.deviation or 0.0:.4f} (n = {promised.n})",
        f"{mean(fresh):.4f} ± {deviation:.4f}",
        f"{(promised.mean - mean(fresh)) / deviation:+.2f}" if deviation else "-",
    )


if __name__ == "__main__":
    main()
