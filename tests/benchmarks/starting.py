"""From nothing to the first answer."""

import time
from statistics import median

from tests.benchmarks import load, optuna_peer, ours
from tests.benchmarks.databases import NewDatabase, fresh_databases
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.tables import milliseconds, print_progress, print_table, print_title, ratio

NOTE = """{history:,} finished trials, TPE. Ours: from the start of the server process to the first 200 of /readyz, and
to the first answered ask. The peer: `optuna.load_study` and the first `ask` in a process that has imported Optuna, and
the same from the start of the process, once. Ours: medians of {starts}. The ratio is of the first asks from the
start."""
HEADS = ("database", "ready", "first ask", "optuna: load_study + ask", "from the process's start", "×")


def measure(sizes: Sizes) -> None:
    """Print the table."""
    print_title("Start", NOTE.format(history=sizes.long_history, starts=sizes.starts))
    rows = []
    for kind in sizes.databases:
        with fresh_databases(kind) as new:
            rows.append([kind, *_cells(new, sizes)])
            print_progress(rows[-1])
    print_table(HEADS, rows)


def _cells(new: NewDatabase, sizes: Sizes) -> list[str]:
    our_url, peer_url = new(), new()
    ours.prepare(our_url, "tpe", finished=sizes.long_history)
    optuna_peer.prepare(peer_url, finished=sizes.long_history)
    mine = [_start(our_url) for _ in range(sizes.starts)]
    loaded, from_start = _start_peer(peer_url)
    ready, asked = (median(times) for times in zip(*mine, strict=True))
    return [*map(milliseconds, (ready, asked, loaded, from_start)), ratio(from_start, asked)]


def _start(database: str) -> tuple[float, float]:
    began = time.perf_counter()
    with ours.started(database) as url:
        ours.wait_until_ready(url)
        ready = time.perf_counter() - began
        load.run(load.ask(url))
        return ready, time.perf_counter() - began


def _start_peer(database: str) -> tuple[float, float]:
    began = time.perf_counter()
    loaded = optuna_peer.apart(optuna_peer.start, database)
    return loaded, time.perf_counter() - began
