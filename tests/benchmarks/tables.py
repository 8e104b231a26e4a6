"""Markdown tables of measurements."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version


def print_head() -> None:
    """Where and with what was measured."""
    packages = ("optuna", "sqlalchemy", "psycopg", "uvicorn", "fastapi", "numpy")
    print("# hpsearch's engine against its peers\n")
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPUs shared by load, server and database; ",
        end="",
    )
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    print("\nA ratio above 1 means that we are ahead: peer / ours of times, ours / peer of rates.", flush=True)


def print_title(title: str, note: str) -> None:
    """A benchmark's heading, and how it was measured."""
    print(f"\n## {title}\n\n{note}\n", flush=True)


def print_progress(row: Sequence[str]) -> None:
    """A row as soon as it is there, beside the tables: a benchmark takes minutes."""
    print(" ".join(row), file=sys.stderr, flush=True)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table; all but the first column stand to the right."""
    widths = [max(len(row[position]) for row in (heads, *rows)) for position in range(len(heads))]
    print(_line([head.ljust(width) for head, width in zip(heads, widths, strict=True)]))
    print(_line(["-" * width if not at else "-" * (width - 1) + ":" for at, width in enumerate(widths)]))
    for row in rows:
        print(_line([cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in _numbered(row, widths)]))
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f}", flush=True)


def _numbered(row: Sequence[str], widths: Sequence[int]) -> list[tuple[int, tuple[str, int]]]:
    return list(enumerate(zip(row, widths, strict=True)))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def milliseconds(seconds: float) -> str:
    """Three digits, as far as they mean something."""
    number = seconds * 1000
    return f"{number:.0f} ms" if number >= 100 else f"{number:.1f} ms" if number >= 10 else f"{number:.2f} ms"


def median_of(values: Sequence[float]) -> str:
    """The median of seconds."""
    return milliseconds(statistics.median(values)) if values else "-"


def spread_of(values: Sequence[float]) -> str:
    """Median and 99th percentile of seconds."""
    if not values:
        return "-"
    return f"{milliseconds(statistics.median(values))} / {milliseconds(percentile(values, 99))}"


def ratio(above: float, below: float) -> str:
    """How many times the one is the other."""
    if not below:
        return "-"
    number = above / below
    return f"{number:.0f}×" if number >= 100 else f"{number:.1f}×" if number >= 10 else f"{number:.2f}×"
