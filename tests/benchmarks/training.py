"""The command: `python -m tests.benchmarks.training [--only loop search] [--quick] [--lightning-python PYTHON]`."""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from tests.benchmarks import training_loop, training_search
from tests.benchmarks.training_sizes import QUICK, TOY, Sizes

BENCHMARKS: dict[str, Callable[[Sizes], None]] = {"loop": training_loop.measure, "search": training_search.measure}


def main() -> None:
    """Measure, and print a table each."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description="Training and its peers.")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="All without.")
    parser.add_argument("--quick", action="store_true", help="Smaller, in some minutes.")
    parser.add_argument("--toy", action="store_true", help="Tiny: shows that it runs, measures nothing.")
    parser.add_argument("--lightning-python", help="A Python that has lightning; this one without.")
    given = parser.parse_args()
    sizes: dict[str, Any] = TOY if given.toy else QUICK if given.quick else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # processes are stopped then too
    _print_head()
    for name in given.only:
        BENCHMARKS[name](Sizes(**sizes, lightning_python=given.lightning_python))


def _print_head() -> None:
    """Where and with what was measured."""
    print("# hpsearch's training against its peers\n")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPUs; ", end="")
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}")
    packages = ("torch", "optuna", "numpy")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    print("\nA ratio above 1 means that we are ahead: peer / ours of times, ours / peer of rates.", flush=True)


if __name__ == "__main__":
    main()
