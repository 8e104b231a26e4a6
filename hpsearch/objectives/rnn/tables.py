"""Tables (.csv, .parquet) as sequences: rows grouped by a column, or one series to forecast."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import near
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.forecast import forecast_dataset
from hpsearch.objectives.rnn.sequences import AnyArray, Dataset, encode_classes, padded

Table = Mapping[str, AnyArray]
"""Columns by name, [rows] each: float64, or str where not all are numbers."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what; None where the study does not say."""

    target: str | None
    features: str | None
    group: str | None
    order: str | None


def read_table(path: Path) -> Table:
    """The columns of a file. Raises `InvalidInput`."""
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not table or not len(next(iter(table.values()))):
        raise setting_fault("dataset", f"{path.name} holds no rows")
    return table


def _read_csv(path: Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise setting_fault("dataset", f"{path.name} is no CSV in UTF-8: {error}") from error
    if len(set(header)) < len(header):
        raise setting_fault("dataset", f"{path.name} names a column twice")
    ragged = next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if ragged is not None:
        raise setting_fault("dataset", f"{path.name} has another number of fields than its header around line {ragged}")
    return {name: _column([row[position] for row in rows]) for position, name in enumerate(header)}


def _column(values: list[str]) -> AnyArray:
    """Numbers where all are; an empty field is a missing number then."""
    try:
        return np.array([value.strip() or "nan" for value in values], dtype=np.float64)
    except ValueError:
        return np.array(values, dtype=np.str_)


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise setting_fault("dataset", "a .parquet file needs pyarrow: pip install 'hpsearch[parquet]'") from error
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise setting_fault("dataset", f"{path.name} is no Parquet file: {error}") from error
    columns: dict[str, AnyArray] = {}
    for name in table.column_names:
        values = table.column(name).to_numpy(zero_copy_only=False)
        # str() first: numpy cannot make text of lists
        texts = values if values.dtype.kind == "M" else [str(value) for value in values]
        columns[name] = values.astype(np.float64) if values.dtype.kind in "iufb" else np.array(texts, dtype=np.str_)
    return columns


def table_dataset(table: Table, columns: Columns, task: str | None, window: int, horizon: int) -> Dataset:
    """A table as the study wants it read. Raises `InvalidInput`."""
    ordered = _sorted(table, columns)
    if task == "forecast" and columns.group is not None:
        raise setting_fault("group", "must be null for a forecast, which reads the table as one series")
    if task == "forecast" or (task is None and columns.group is None):
        return _series(ordered, columns, window, horizon)
    if columns.group is None:
        raise setting_fault("group", "is missing: the column that tells the sequences of the table apart")
    return _grouped(ordered, columns, task)


def _sorted(table: Table, columns: Columns) -> Table:
    if columns.order is None:
        return table
    order = np.argsort(_known(table, "order", columns.order), kind="stable")
    return {name: values[order] for name, values in table.items()}


def _series(table: Table, columns: Columns, window: int, horizon: int) -> Dataset:
    names = _features(table, columns, without={columns.order})
    target = columns.target or (names[0] if len(names) == 1 else None)
    if target is None:
        raise setting_fault("target", f"is missing: which of {', '.join(names)} is to be forecast")
    _numeric(table, "target", target)
    names = names if target in names else (target, *names)
    values = np.stack([table[name] for name in names], axis=1).astype(np.float32)
    return forecast_dataset(values, names.index(target), window, horizon, names)


def _grouped(table: Table, columns: Columns, task: str | None) -> Dataset:
    group, target = str(columns.group), columns.target
    if target is None:
        raise setting_fault("target", "is missing: the column to predict")
    groups, labels = _known(table, "group", group), _known(table, "target", target)
    names = _features(table, columns, without={group, target, columns.order})
    values = np.stack([table[name] for name in names], axis=1).astype(np.float32)
    rows = [np.flatnonzero(groups == name) for name in _in_order(groups)]
    changing = next((item for item in rows if len(np.unique(labels[item])) > 1), None)
    if changing is not None:
        raise setting_fault("target", f"{target!r} changes within the group {groups[changing[0]]}")
    of_groups = labels[[item[0] for item in rows]]
    series = [values[item] for item in rows]
    if task == "regression" or (task is None and labels.dtype.kind == "f" and not _is_whole(of_groups)):
        _numeric(table, "target", target)
        return Dataset("regression", padded(series, of_groups.astype(np.float32)), features=names)
    if labels.dtype.kind == "f":
        of_groups = of_groups.astype(np.int64)
    classes, (encoded,) = encode_classes(of_groups)
    return Dataset("classification", padded(series, encoded), classes=classes, features=names)


def _is_whole(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and (values == np.round(values)).all())


def _in_order(groups: AnyArray) -> AnyArray:
    """The groups' names in the order of their first rows."""
    names, first = np.unique(groups, return_index=True)
    ordered: AnyArray = names[np.argsort(first)]
    return ordered


def _features(table: Table, columns: Columns, without: set[str | None]) -> tuple[str, ...]:
    if columns.features is not None:
        names = tuple(name.strip() for name in columns.features.split(",") if name.strip())
        for name in names:
            _numeric(table, "features", name)
    else:
        names = tuple(name for name, values in table.items() if name not in without and values.dtype.kind == "f")
    if not names:
        raise setting_fault("features", f"no column of numbers is left to read; columns: {', '.join(table)}")
    return names


def _known(table: Table, setting: str, name: str) -> AnyArray:
    if name not in table:
        raise setting_fault(setting, f"there is no column {name!r}; columns: {', '.join(table)}", near(name, table))
    return table[name]


def _numeric(table: Table, setting: str, name: str) -> None:
    if _known(table, setting, name).dtype.kind != "f":
        raise setting_fault(setting, f"column {name!r} does not hold numbers alone")
