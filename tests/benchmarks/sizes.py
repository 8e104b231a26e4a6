"""How large the measurements are."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One set of sizes; as it stands, the full one."""

    databases: tuple[str, ...] = ("sqlite", "postgresql")
    histories: tuple[int, ...] = (0, 1_000, 10_000, 100_000)
    """Finished trials at an ask."""
    running: tuple[int, ...] = (0, 100)
    repetitions: dict[int, int] = field(default_factory=lambda: {0: 4, 1_000: 12, 10_000: 8, 100_000: 3})
    """Turns of asks, by history: few where the peer takes seconds."""
    samplers: tuple[str, ...] = ("random", "tpe")
    workers: tuple[int, ...] = (1, 8, 64)
    seconds: float = 10
    """How long workers live."""
    history: int = 1_000
    """Finished trials before workers begin."""
    long_history: int = 100_000
    """Finished trials where the best is polled, and where a server starts."""
    pollers: int = 16
    poll_rates: tuple[int | None, ...] = (1_000, None)
    """Polls a second; None: as many as the pollers can."""
    starts: int = 3
    vizier_clients: tuple[int, ...] = (8, 64)
    vizier_python: str | None = None


QUICK = {"histories": (0, 1_000, 10_000), "seconds": 3, "long_history": 10_000, "starts": 1}
TOY = {
    "histories": (20,),
    "running": (2,),
    "repetitions": {20: 1},
    "samplers": ("tpe",),
    "workers": (2,),
    "seconds": 0.3,
    "history": 20,
    "long_history": 50,
    "pollers": 2,
    "starts": 1,
    "vizier_clients": (2,),
}
