"""The same lives against Open Source Vizier's service."""

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import load, ours
from tests.benchmarks.databases import fresh_databases
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.tables import milliseconds, print_table, print_title, ratio, spread_of

NOTE = """Open Source Vizier {version}: its gRPC server (`DefaultVizierServer`, SQLite, its defaults) in a process, its
own clients in the threads of another; a life: `get_suggestions(1)`, five measurements, `complete_trial`. Ours as above,
on SQLite, over HTTP. Random search, no history at the start, {seconds:g} s each; calls: median / 99th percentile."""
HEADS = ("clients", "lives/s", "vizier", "×", "claim", "report", "tell", "vizier: suggest", "measurement", "complete")
INSTALL = (
    'python -m venv VENV && VENV/bin/pip install "google-vizier[jax]" "jax<0.5", then --vizier-python VENV/bin/python'
)


def measure(sizes: Sizes) -> None:
    """Print the table, without the peer's figures where there is no Python that has it."""
    peers = {clients: _peer(clients, sizes) for clients in sizes.vizier_clients}
    version = next(iter(peers.values())).get("version", "")
    print_title("Vizier", NOTE.format(version=version, seconds=sizes.seconds))
    rows = []
    with fresh_databases("sqlite") as new:
        for clients, peer in peers.items():
            database = new()
            ours.prepare(database, "random")
            with ours.serving(database) as url:
                mine = load.run(load.live(url, clients, sizes.seconds))
            calls = [spread_of(mine.timings.seconds.get(kind, ())) for kind in ("claim", "report", "tell")]
            rows.append([str(clients), f"{mine.rate:.0f}", *_compared(mine.rate, peer), *calls, *_calls(peer)])
    print_table(HEADS, rows)


def _compared(rate: float, peer: dict[str, Any]) -> tuple[str, str]:
    return (f"{peer['rate']:.1f}", ratio(rate, peer["rate"])) if "rate" in peer else (peer["problem"], "-")


def _calls(peer: dict[str, Any]) -> list[str]:
    spreads = [peer.get("calls", {}).get(kind) for kind in ("claim", "report", "tell")]
    return ["-" if spread is None else " / ".join(map(milliseconds, spread)) for spread in spreads]


def _peer(clients: int, sizes: Sizes) -> dict[str, Any]:
    if sizes.vizier_python is None:
        return {"problem": f"not run: {INSTALL}"}
    with TemporaryDirectory(prefix="hpsearch-benchmark-") as folder:
        command = [sizes.vizier_python, "-m", "tests.benchmarks.vizier_peer", folder, str(clients), str(sizes.seconds)]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"problem": f"not run: {done.stderr.strip().splitlines()[-1]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
