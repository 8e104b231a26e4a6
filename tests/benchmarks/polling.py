"""The best trial polled beside busy workers."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median

from tests.benchmarks import load, optuna_peer, ours
from tests.benchmarks.databases import NewDatabase, fresh_databases
from tests.benchmarks.load import Lives, Polls
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.tables import milliseconds, print_progress, print_table, print_title, ratio, spread_of

NOTE = """`GET /studies/…/best` with the entity tag of the last answer, by {pollers} connections of another process, so
many times a second (timed from when each was due) or as fast as they can, beside {workers} busy workers (TPE) and
{history:,} finished trials, {seconds:g} s. The peer: `study.best_trial` of Optuna's RDBStorage by one caller, nobody
else about. The ratio is of medians."""
HEADS = (
    "database",
    "asked/s",
    "polls/s",
    "poll p50 / p99",
    "304",
    "lives/s",
    "lives/s unpolled",
    "claim",
    "report",
    "tell",
    "exact",
    "optuna: best_trial",
    "×",
)
PEER_CALLS = 5


def measure(sizes: Sizes) -> None:
    """Print the table."""
    workers = max(sizes.workers)
    figures = {"pollers": sizes.pollers, "history": sizes.long_history, "seconds": sizes.seconds}
    print_title("Polling the best", NOTE.format(workers=workers, **figures))
    rows = []
    for kind in sizes.databases:
        with fresh_databases(kind) as new:
            for cells in _cells(new, workers, sizes):
                rows.append([kind, *cells])
                print_progress(rows[-1])
    print_table(HEADS, rows)


def _cells(new: NewDatabase, workers: int, sizes: Sizes) -> Iterator[list[str]]:
    peer_url = new()
    optuna_peer.prepare(peer_url, finished=sizes.long_history)
    peer = median(optuna_peer.apart(optuna_peer.best, peer_url, PEER_CALLS).seconds["poll"])
    database = new()
    ours.prepare(database, "tpe", finished=sizes.long_history)
    with ours.serving(database) as url:
        load.run(load.live(url, 1, 0.2))  # the history is read
        alone = load.run(load.live(url, workers, sizes.seconds))
        for rate in sizes.poll_rates:
            polled, polls = _polled(url, workers, rate, sizes)
            times = polls.timings.seconds["poll"]
            share = polls.statuses[304] / polls.statuses.total()
            calls = [spread_of(polled.timings.seconds.get(kind, ())) for kind in ("claim", "report", "tell")]
            exact = "yes" if alone.exact and polled.exact else "NO"
            yield [f"{rate:,}" if rate else "all they can", f"{polls.rate:.0f}", spread_of(times), f"{share:.1%}",
                   f"{polled.rate:.0f}", f"{alone.rate:.0f}", *calls, exact, milliseconds(peer),
                   ratio(peer, median(times))]  # fmt: skip


def _polled(url: str, workers: int, rate: int | None, sizes: Sizes) -> tuple[Lives, Polls]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(load.poll, url, 1, 0.01).result()  # the process has started and imported
        polls = pool.submit(load.poll, url, sizes.pollers, sizes.seconds, rate)
        return load.run(load.live(url, workers, sizes.seconds)), polls.result()
