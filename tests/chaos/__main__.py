"""`python -m tests.chaos --database postgresql --trials 1000 --faults 200 --workers 16 --seed 0`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.storm import run


def main() -> None:
    parser = argparse.ArgumentParser(description="A study through a storm of faults; then its books are checked.")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpsearch-chaos-", ignore_cleanup_errors=True) as folder:
        outcome = run(
            options.database,
            Path(folder),
            trials=options.trials,
            faults=options.faults,
            workers=options.workers,
            seed=options.seed,
        )
    print(outcome)
    sys.exit(bool(outcome.complaints))


if __name__ == "__main__":
    main()
