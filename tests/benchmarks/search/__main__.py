"""The command: `python -m tests.benchmarks.search [--quick] [--tasks …] [--methods …] [--seeds N] [--workers 1 8 64]`.

Records are appended to `--results` as they come, and what is there already is not run again: a run may be cut off and
gone on with. Peers that need an environment of their own are looked for in `--peers`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.search import running, tasks
from tests.benchmarks.search.methods import METHODS
from tests.benchmarks.search.report import print_report
from tests.benchmarks.search.results import Results, load

ROOT = Path(__file__).parents[3]
SLOW = ("syne_bore",)
STANDARD = tuple(name for name in METHODS if name not in SLOW and not name.startswith("ours_"))
QUICK_TASKS = (*tasks.TASKSET[1::2], tasks.GRIDS[2], tasks.GRIDS[5])
"""Small enough for a look, and none of them a task that `auto` was designed on."""


def main() -> None:
    """Replay what is missing, and print the tables."""
    given = _arguments()
    names, methods, workers, seeds = _plan(given)
    absent = {} if given.tables else tasks.missing(names)
    for name, why in absent.items():
        print(f"{name}: left out: {why}")
    names = [name for name in names if name not in absent]
    records = load(given.results)
    wanted = {(m, t, w, s) for m in methods for t in names for w in workers for s in seeds}
    if not given.tables:
        plan = {"tasks": names, "workers": workers, "seeds": list(seeds), "curves": given.curves}
        done = [running.cell_of(record) for record in records if "problem" not in record]
        records += _replay(plan | {"done": [cell for cell in done if cell in wanted]}, methods, given)
    kept = [record for record in records if "problem" in record or running.cell_of(record) in wanted]
    print_report(Results(kept), methods, names, workers, given.curves)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.search", description="Searches beside peers.")
    parser.add_argument("--quick", action="store_true", help="5 seeds, 6 tasks, 1 and 8 workers.")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help=f"Of {', '.join(tasks.NAMES)}, toy0, toy1 …")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=f"Of {', '.join(METHODS)}.")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--workers", nargs="+", type=int)
    parser.add_argument("--curves", type=float, default=40.0, help="Compute of a replay, in full curves.")
    parser.add_argument("--peers", nargs="*", default=[], metavar="PYTHON", help="Pythons that have peers.")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "hpsearch-search.jsonl")
    parser.add_argument("--tables", action="store_true", help="Replay nothing: print what is there.")
    return parser.parse_args()


def _plan(given: argparse.Namespace) -> tuple[list[str], list[str], list[int], range]:
    names = given.tasks or (QUICK_TASKS if given.quick else tasks.NAMES)
    workers = given.workers or ([1, 8] if given.quick else [1, 8, 64])
    return list(names), list(given.methods or STANDARD), workers, range(given.seeds or (5 if given.quick else 30))


def _replay(plan: Mapping[str, Any], methods: Sequence[str], given: argparse.Namespace) -> list[dict[str, Any]]:
    """Records of the plan: of ours and Optuna in one process, of each peer that needs another in its own."""
    found: list[dict[str, Any]] = []
    with given.results.open("a") as file:
        for python, chosen in _processes(methods, given.peers):
            for record in _run_process(python, dict(plan) | {"methods": chosen}):
                found.append(record)
                if "problem" not in record:
                    file.write(json.dumps(record) + "\n")
                    file.flush()
    return found


def _processes(methods: Sequence[str], peers: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    own = [method for method in methods if not METHODS[method].needs]
    for python, chosen in [(sys.executable, own), *((None, [m]) for m in methods if METHODS[m].needs)]:
        if chosen:
            yield python or _python_for(chosen[0], peers), chosen


def _python_for(method: str, peers: Sequence[str]) -> str:
    """The first of these Pythons that can import a peer; ours where none can, so that the problem is told."""
    module = f"tests.benchmarks.search.{METHODS[method].maker.partition(':')[0]}"
    for python in peers:
        tried = subprocess.run([python, "-c", f"import {module}"], cwd=ROOT, capture_output=True, check=False)
        if tried.returncode == 0:
            return python
    return sys.executable


def _run_process(python: str, plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    command = [python, "-m", "tests.benchmarks.search.running"]
    options: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **options) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(plan))
        process.stdin.close()
        for line in process.stdout:
            if line.startswith('{"method"'):
                record = json.loads(line)
                print(*list(record.values())[:5], file=sys.stderr, flush=True)
                yield record


if __name__ == "__main__":
    main()
