"""What commands print."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any


def say(text: str) -> None:
    """A line for people."""
    print(text, flush=True)  # noqa: T201


def emit_json(value: Any) -> None:
    """The server's JSON, for programs."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def emit_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table: drawn on a terminal, tab-separated into a pipe."""
    texts = [[shown(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *texts):
            say("\t".join(line))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in texts:
        table.add_row(*map(escape, row))
    Console().print(table)


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def chief_tests(metric: str, names: Iterable[str]) -> list[str]:
    """Of what was measured on test splits what a terminal has room for: the searched metric's own and the loss; all of
    it where neither is there."""
    tests = sorted({name for name in names if name.startswith("test_")})
    return [name for name in tests if name in (f"test_{metric.removeprefix('validation_')}", "test_loss")] or tests


def shown_violations(violations: Mapping[str, float | None]) -> list[str]:
    """`violates model_parameters <= 4000 by 10`."""
    return [
        f"violates {text}" + ("" if amount is None else f" by {shown(amount)}") for text, amount in violations.items()
    ]


def no_one_best(study: str) -> str:
    """What is said in the place of the best trial where several metrics are searched."""
    return f"several metrics have no one best trial, but a front: hpsearch study pareto {study}"


def shown_parameters(parameters: Mapping[str, Any]) -> str:
    """`learning_rate=0.003 cell=lstm`."""
    return " ".join(f"{name}={shown(value)}" for name, value in parameters.items())
