"""The command: `python -m tests.benchmarks.engine [--only NAME …] [--quick] [--databases sqlite,postgresql]`."""

import argparse
import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.benchmarks import asking, polling, starting, throughput, vizier
from tests.benchmarks.sizes import QUICK, TOY, Sizes
from tests.benchmarks.tables import print_head

BENCHMARKS: dict[str, Callable[[Sizes], None]] = {
    "asking": asking.measure,
    "throughput": throughput.measure,
    "polling": polling.measure,
    "starting": starting.measure,
    "vizier": vizier.measure,
}


def main() -> None:
    """Measure, and print a table each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.engine", description="The engine and its peers.")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="All without.")
    parser.add_argument("--quick", action="store_true", help="Smaller, in a few minutes.")
    parser.add_argument("--toy", action="store_true", help="Tiny: shows that it runs, measures nothing.")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--seconds", type=float, help="How long workers live.")
    parser.add_argument("--vizier-python", help="A Python that has google-vizier[jax].")
    given = parser.parse_args()
    sizes = Sizes(**_sizes(given))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and databases are stopped then too
    print_head()
    for name in given.only:
        BENCHMARKS[name](sizes)


def _sizes(given: argparse.Namespace) -> dict[str, Any]:
    sizes: dict[str, Any] = TOY if given.toy else QUICK if given.quick else {}
    sizes = sizes | {"databases": tuple(given.databases.split(",")), "vizier_python": given.vizier_python}
    return sizes | ({"seconds": given.seconds} if given.seconds else {})


if __name__ == "__main__":
    main()
