"""What `best` promises beside five further seeds: `python -m tests.benchmarks.confirmed [--only NAME …]`.

Each study of `studies/` runs through `hpsearch run`, with its confirmation as it is by default. Then the confirmed best
is trained on five seeds that neither the search nor its confirmation has used.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

from tests.benchmarks.fresh_seeds import FIRST_SEED, opened, train
from tests.benchmarks.tables import print_table

STUDIES = Path(__file__).parents[2] / "studies"
NAMES = ("digits", "japanese_vowels")
SEEDS = 5


def main() -> None:
    """Run the studies, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.confirmed", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()
    rows = [_row(name, given.slots) for name in given.only]
    print_table(
        ("study", "metric", "trial", "the search saw", "best promises", f"{SEEDS} further seeds", "difference / s.d."),
        rows,
    )


def _row(name: str, slots: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="hpsearch-confirmed-") as folder:
        command = [sys.executable, "-m", "hpsearch", "run", str(STUDIES / f"{name}.yaml"), "--home", folder]
        subprocess.run([*command, "--slots", str(slots)], check=True)
        service = opened(Path(folder))
        try:
            spec, best = service.get_study(name).spec, service.best(name).confirmed
        finally:
            service.close()
        if best is None or best.mean is None:
            raise SystemExit(f"{name} has confirmed nothing")
        runs = [
            train(spec, best.parameters, {}, [], Path(folder), FIRST_SEED + run)[0] for run in range(SEEDS)
        ]  # fmt: skip
        fresh, deviation = mean(runs), stdev(runs)
        return [
            name,
            str(spec.objective.metric),
            str(best.trial),
            f"{best.searched_value:.4f}",
            f"{best.mean:.4f} ± {best.deviation or 0.0:.4f} (n = {best.n})",
            f"{fresh:.4f} ± {deviation:.4f}",
            f"{(best.mean - fresh) / deviation:+.2f}",
        ]


if __name__ == "__main__":
    main()
