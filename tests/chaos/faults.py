"""What is done to processes and databases, and when: a schedule that a seed fixes."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpsearch.errors import HpsearchError, StoreUnavailable
from hpsearch.gateway import Registration
from tests.chaos.cluster import Cluster, Server
from tests.chaos.databases import PostgreSQL, SQLite
from tests.waiting import wait_until


class Kind(StrEnum):
    """A fault, as the table at the end names it."""

    KILL_WORKERS = "worker process killed, its workers come back"
    REPLACE_WORKERS = "worker process killed, others come"
    STALL_WORKERS = "worker process stopped for longer than a lease"
    KILL_SERVER = "server killed"
    KILL_SERVER_MID_TELL = "server killed while it takes a tell"
    KILL_SERVER_MID_CLAIM = "server killed while it takes a claim"
    TERMINATE_SESSIONS = "database sessions terminated"
    CRASH_DATABASE = "PostgreSQL crashed"
    FILL_DISK = "disk full"


COMMON = {
    Kind.KILL_WORKERS: 6,
    Kind.REPLACE_WORKERS: 6,
    Kind.STALL_WORKERS: 4,
    Kind.KILL_SERVER: 3,
    Kind.KILL_SERVER_MID_TELL: 3,
    Kind.KILL_SERVER_MID_CLAIM: 2,
}
"""How often each kind comes, in proportion."""
ON_POSTGRESQL = COMMON | {Kind.TERMINATE_SESSIONS: 6, Kind.CRASH_DATABASE: 3}
ON_SQLITE = COMMON | {Kind.FILL_DISK: 3}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that will go wrong."""

    after: int
    """It strikes once so many trials are finished."""
    kind: Kind
    choice: int
    """Which process it hits."""


def schedule(kinds: Mapping[Kind, int], count: int, trials: int, seed: int) -> list[Fault]:
    """`count` faults over the first nine tenths of a study, each kind as often as its weight says and at least once."""
    draw = random.Random(seed)
    pack = [kind for kind, weight in kinds.items() for _ in range(weight)]
    chosen = [*kinds, *draw.choices(pack, k=max(0, count - len(kinds)))][:count]
    draw.shuffle(chosen)
    return [
        Fault(position * trials * 9 // 10 // count, kind, draw.randrange(1 << 16))
        for position, kind in enumerate(chosen)
    ]


def inject(fault: Fault, cluster: Cluster) -> None:
    """Let it happen. What it breaks is mended too: at once, or by whoever tends the cluster."""
    _INJECTIONS[fault.kind](cluster, fault.choice)


def _kill_workers(cluster: Cluster, choice: int) -> None:
    cluster.groups[choice % len(cluster.groups)].kill(under_new_names=False)


def _replace_workers(cluster: Cluster, choice: int) -> None:
    cluster.groups[choice % len(cluster.groups)].kill(under_new_names=True)


def _stall_workers(cluster: Cluster, choice: int) -> None:
    cluster.groups[choice % len(cluster.groups)].stall()


def _kill_server(cluster: Cluster, choice: int) -> None:
    cluster.servers[choice % len(cluster.servers)].kill()


def _kill_server_mid(part: str) -> Callable[[Cluster, int], None]:
    def kill(cluster: Cluster, _choice: int) -> None:
        by_port = {server.port: server for server in cluster.servers}
        cluster.proxy.ambush(part, lambda port: by_port[port].strike())

    return kill


def _terminate_sessions(cluster: Cluster, _choice: int) -> None:
    assert isinstance(cluster.database, PostgreSQL)
    cluster.database.terminate_sessions()


def _crash_database(cluster: Cluster, _choice: int) -> None:
    assert isinstance(cluster.database, PostgreSQL)
    cluster.database.crash()


def _fill_disk(cluster: Cluster, choice: int) -> None:
    """The disk is full until the server has said so, then it has room again and the server takes what it is told."""
    assert isinstance(cluster.database, SQLite)
    (server,) = cluster.servers
    # no other fault meanwhile: a server that is killed now could not start on a full disk, and would never say so
    cluster.wait_for_ambush()
    cluster.wait_for_servers()
    probe = _Probe(server, choice)
    cluster.database.fill_disk()
    try:
        wait_until(lambda: probe.write() == "full", "the server says that the disk is full")
    finally:
        cluster.database.free_disk()
    wait_until(lambda: probe.write() == "written", "the server has room again")


class _Probe:
    """Writes workers down until there is no room for another."""

    def __init__(self, server: Server, choice: int) -> None:
        self._server = server
        self._name = f"probe-{choice}"
        self._written = 0

    def write(self) -> str:
        """`written`, `full` (HTTP status 503 in our client's words), or what else went wrong."""
        self._written += 1
        name = f"{self._name}-{self._written}"
        probe = Registration(
            name=name, session="probe", host="x" * 8000, pid=1, slots=1, objectives=("none",), version=""
        )
        try:
            self._server.client.register(probe)
        except StoreUnavailable:
            return "full"
        except HpsearchError as error:
            return type(error).__name__
        return "written"


_INJECTIONS: Mapping[Kind, Callable[[Cluster, int], None]] = {
    Kind.KILL_WORKERS: _kill_workers,
    Kind.REPLACE_WORKERS: _replace_workers,
    Kind.STALL_WORKERS: _stall_workers,
    Kind.KILL_SERVER: _kill_server,
    Kind.KILL_SERVER_MID_TELL: _kill_server_mid("/results"),
    Kind.KILL_SERVER_MID_CLAIM: _kill_server_mid("/claim"),
    Kind.TERMINATE_SESSIONS: _terminate_sessions,
    Kind.CRASH_DATABASE: _crash_database,
    Kind.FILL_DISK: _fill_disk,
}
