"""Many workers at once."""

from tests.benchmarks import load, optuna_peer, ours
from tests.benchmarks.databases import NewDatabase, fresh_databases
from tests.benchmarks.load import Lives
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.tables import print_progress, print_table, print_title, ratio, spread_of

NOTE = """A life: claim, five reports, tell. Ours: simulated workers, a connection each, over HTTP to one server
process; the peer: so many processes with Optuna's RDBStorage, 8 at most. History at the start: {history:,} trials; it
grows with every life, so that the quicker side soon has the longer one. {seconds:g} s each; calls: median / 99th
percentile. Exact: the finished trials are those told, and no number was given twice."""
HEADS = (
    "database",
    "sampler",
    "workers",
    "lives/s",
    "optuna",
    "×",
    "claim",
    "report",
    "tell",
    "exact",
    "optuna: processes",
    "ask",
    "report",
    "tell",
    "exact",
    "errors",
)
MOST_PROCESSES = 8


def measure(sizes: Sizes) -> None:
    """Print the table."""
    print_title("Throughput", NOTE.format(history=sizes.history, seconds=sizes.seconds))
    rows = []
    for kind in sizes.databases:
        with fresh_databases(kind) as new:
            for sampler in sizes.samplers:
                rows += _rows(kind, sampler, new, sizes)
    print_table(HEADS, rows)


def _rows(kind: str, sampler: str, new: NewDatabase, sizes: Sizes) -> list[list[str]]:
    rows, peers = [], dict[int, Lives]()
    for workers in sizes.workers:
        processes = min(workers, MOST_PROCESSES)
        if processes not in peers:
            peers[processes] = _peer(sampler, processes, new(), sizes)
        mine, peer = _mine(sampler, workers, new(), sizes), peers[processes]
        figures = [f"{mine.rate:.0f}", f"{peer.rate:.1f}", ratio(mine.rate, peer.rate)]
        rows.append([kind, sampler, str(workers), *figures, *_calls(mine), str(processes), *_calls(peer)])
        rows[-1].append(str(peer.errors))
        print_progress(rows[-1])
    return rows


def _mine(sampler: str, workers: int, database: str, sizes: Sizes) -> Lives:
    ours.prepare(database, sampler, finished=sizes.history)
    with ours.serving(database) as url:
        load.run(load.live(url, 1, 0.2))  # the server has read the history before the clock runs, as the peer has
        return load.run(load.live(url, workers, sizes.seconds))


def _peer(sampler: str, processes: int, database: str, sizes: Sizes) -> Lives:
    optuna_peer.prepare(database, finished=sizes.history)
    return optuna_peer.live(database, sampler, processes, sizes.seconds)


def _calls(lives: Lives) -> list[str]:
    cells = [spread_of(lives.timings.seconds.get(kind, ())) for kind in ("claim", "report", "tell")]
    return [*cells, "yes" if lives.exact else "NO"]
