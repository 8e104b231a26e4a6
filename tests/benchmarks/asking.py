"""Ask, report and tell, one after the other."""

from statistics import median

from tests.benchmarks import load, optuna_peer, ours
from tests.benchmarks.databases import NewDatabase, fresh_databases
from tests.benchmarks.load import Timings
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.tables import median_of, print_progress, print_table, print_title, ratio

NOTE = """One client, TPE, six parameters; medians. Ours over HTTP to a server process, the peer in process (Optuna's
RDBStorage, its defaults on both databases: on SQLite a rollback journal, 5 s of busy timeout). A running trial has 20
reports. Both have read the history before; they are measured by turns."""
HEADS = ("database", "finished", "running", "ask", "report", "tell", "ask+tell", "optuna: ask", "report", "tell")
RATIOS = ("ask+tell", "n", "ask ×", "report ×", "tell ×", "ask+tell ×")
KINDS = ("ask", "report", "tell", "ask+tell")
WARM_UP = 2
OUR_TURN, PEER_TURN = 6, 2
"""Repetitions of one turn."""


def measure(sizes: Sizes) -> None:
    """Print the table."""
    print_title("Ask and tell", NOTE)
    rows = []
    for kind in sizes.databases:
        with fresh_databases(kind) as new:
            for finished in sizes.histories:
                rows += _rows(kind, new, finished, sizes)
    print_table((*HEADS, *RATIOS), rows)


def _rows(kind: str, new: NewDatabase, finished: int, sizes: Sizes) -> list[list[str]]:
    our_url, peer_url = new(), new()
    ours.prepare(our_url, "tpe", finished=finished)
    optuna_peer.prepare(peer_url, finished=finished)
    rows = []
    for running in sizes.running:
        if running:
            ours.fill(our_url, running=running)
            optuna_peer.fill(peer_url, running=running)
        mine, peer = _by_turns(our_url, peer_url, sizes.repetitions[finished], OUR_TURN if finished else PEER_TURN)
        rows.append([kind, f"{finished:,}", str(running), *_cells(mine, peer)])
        print_progress(rows[-1])
    return rows


def _by_turns(our_url: str, peer_url: str, rounds: int, our_turn: int) -> tuple[Timings, Timings]:
    """Ours and the peer's, in small turns: what else the machine does meets both."""
    mine, peer = Timings(), Timings()
    with ours.serving(our_url) as url, optuna_peer.kept(peer_url) as ask_peer:
        load.run(load.ask_and_tell(url, WARM_UP))
        ask_peer(WARM_UP)
        for _ in range(rounds):
            mine.join(load.run(load.ask_and_tell(url, our_turn)))
            peer.join(ask_peer(PEER_TURN))
    return mine, peer


def _cells(mine: Timings, peer: Timings) -> list[str]:
    counts = f"{len(mine.seconds['ask'])} / {len(peer.seconds['ask'])}"
    ratios = [ratio(median(peer.seconds[kind]), median(mine.seconds[kind])) for kind in KINDS]
    figures = [median_of(side.seconds[kind]) for side in (mine, peer) for kind in KINDS]
    return [*figures, counts, *ratios]
