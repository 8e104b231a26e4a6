"""Tables (.csv, .parquet) as sequences: rows grouped by a column, or one series to forecast."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import near
from hpsearch.objectives.rnn.data.forecast import forecast_dataset
from hpsearch.objectives.rnn.data.sequences import (
    AnyArray,
    Dataset,
    FloatArray,
    category_name,
    encode_classes,
    padded,
)
from hpsearch.objectives.rnn.faults import setting_fault

Table = Mapping[str, AnyArray]
"""Columns by name, [rows] each: float64, or str where not all are numbers; the column of texts: object."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is what, several joined by commas; None where the study does not say."""

    target: str | None
    features: str | None
    group: str | None
    order: str | None
    statics: str | None
    categories: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class SequenceValues:
    """What a table holds of whole sequences."""

    task: str
    targets: AnyArray
    """As those of `Sequences`."""
    classes: tuple[str, ...]
    """Names of the classes or labels."""
    statics: FloatArray | None
    categories: NDArray[np.int64] | None
    category_sizes: tuple[int, ...]
    category_names: tuple[tuple[str, ...], ...]


def columns_of(options: Mapping[str, Any]) -> Columns:
    """The columns that a study's settings name."""
    return Columns(*(options[field.name] for field in fields(Columns)))


def read_table(path: Path, columns: Columns) -> Table:
    """The columns of a file; that of texts as it stands, whatever it holds. Raises `InvalidInput`."""
    table = _read_parquet(path, columns.text) if path.suffix == ".parquet" else _read_csv(path, columns)
    if not table or not len(next(iter(table.values()))):
        raise setting_fault("dataset", f"{path.name} holds no rows")
    return table


def _read_csv(path: Path, columns: Columns) -> Table:
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
    named = enumerate(header)
    table = {name: _column([row[position] for row in rows], name == columns.text) for position, name in named}
    if columns.text is None:
        _refuse_words(path, table, columns)
    return table


def _refuse_words(path: Path, table: Table, columns: Columns) -> None:
    """A word among the numbers of a feature would make it text, which is none: without a word, if nobody looked."""
    names = _named(table, "features", columns.features, _known)
    if columns.features is None:
        besides = {columns.group, columns.order}
        if columns.group is not None:  # the target of a series is a feature
            besides |= _of_sequences(table, columns)
        names = tuple(name for name in table if name not in besides)
    for name in names:
        if table[name].dtype.kind != "U":
            continue
        texts = [str(value).strip() for value in table[name]]
        words = [row for row, text in enumerate(texts, start=1) if text and not _is_number(text)]
        if len(words) < len([text for text in texts if text]):
            problem = f"holds {texts[words[0] - 1]!r} in row {words[0]} below the header, and numbers elsewhere"
            right = "give a number there or none, or let the features leave the column out"
            raise setting_fault("dataset", f"{path.name}: column {name!r} {problem}: {right}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _column(values: list[str], is_text: bool) -> AnyArray:
    """Numbers where all are; an empty field is a missing number then."""
    if is_text:
        return np.array(values, dtype=object)
    try:
        return np.array([value.strip() or "nan" for value in values], dtype=np.float64)
    except ValueError:
        return np.array(values, dtype=np.str_)


def _read_parquet(path: Path, text: str | None) -> Table:
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
        if name == text:
            values = ["" if value is None else str(value) for value in table.column(name).to_pylist()]
            columns[name] = np.array(values, dtype=object)
            continue
        values = table.column(name).to_numpy(zero_copy_only=False)
        # str() first: numpy cannot make text of lists
        texts = values if values.dtype.kind == "M" else [str(value) for value in values]
        columns[name] = values.astype(np.float64) if values.dtype.kind in "iufb" else np.array(texts, dtype=np.str_)
    return columns


def table_dataset(table: Table, options: Mapping[str, Any]) -> Dataset:
    """A table as the study wants it read. Raises `InvalidInput`."""
    columns, task = columns_of(options), options["task"]
    ordered = _sorted(table, columns)
    if task == "forecast" and columns.group is not None:
        raise setting_fault("group", "must be null for a forecast, which reads the table as one series")
    if task == "forecast" or (task is None and columns.group is None):
        return _series(ordered, columns, options)
    if columns.group is None:
        raise setting_fault("group", "is missing: the column that tells the sequences of the table apart")
    return _grouped(ordered, columns, task)


def _sorted(table: Table, columns: Columns) -> Table:
    if columns.order is None:
        return table
    order = np.argsort(_known(table, "order", columns.order), kind="stable")
    return {name: values[order] for name, values in table.items()}


def _series(table: Table, columns: Columns, options: Mapping[str, Any]) -> Dataset:
    for setting in ("statics", "categories"):
        if options[setting] is not None:
            raise setting_fault(setting, "must be null for a forecast, which reads the table as one series")
    names = _features(table, columns, without={columns.order})
    target = columns.target or (names[0] if len(names) == 1 else None)
    if target is None:
        raise setting_fault("target", f"is missing: which of {', '.join(names)} is to be forecast")
    _numeric(table, "target", target)
    names = names if target in names else (target, *names)
    values = np.stack([table[name] for name in names], axis=1).astype(np.float32)
    settings = (options[name] for name in ("season", "forecast_strategy"))
    return forecast_dataset(values, names.index(target), options["window"], options["horizon"], names, *settings)


def _grouped(table: Table, columns: Columns, task: str | None) -> Dataset:
    rows = _rows_of_groups(_known(table, "group", str(columns.group)))
    values = sequence_values(table, columns, task, rows)
    names = _features(table, columns, without={columns.group, columns.order, *_of_sequences(table, columns)})
    steps = np.stack([table[name] for name in names], axis=1).astype(np.float32)
    part = padded([steps[item] for item in rows], values.targets)
    return Dataset(
        values.task,
        replace(part, statics=values.statics, categories=values.categories),
        classes=values.classes,
        features=names,
        category_sizes=values.category_sizes,
        category_names=values.category_names,
    )


def _rows_of_groups(groups: AnyArray) -> list[NDArray[np.int64]]:
    """Each group's rows, the groups in the order of their first rows."""
    _, first, inverse, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    return [rows[position] for position in np.argsort(first)]


def sequence_values(
    table: Table, columns: Columns, task: str | None, rows: Sequence[NDArray[np.int64]]
) -> SequenceValues:
    """Targets, static features and categories of the sequences that stand in `rows` each. Raises `InvalidInput`."""
    task, targets, classes = _targets(table, columns, task, rows)
    statics = [_constant(table, "statics", name, rows) for name in _named(table, "statics", columns.statics, _numeric)]
    categories = [
        _categories(_constant(table, "categories", name, rows))
        for name in _named(table, "categories", columns.categories, _known)
    ]
    return SequenceValues(
        task,
        targets,
        classes,
        np.stack(statics, axis=1).astype(np.float32) if statics else None,
        np.stack([indices for indices, _ in categories], axis=1) if categories else None,
        tuple(1 + len(names) for _, names in categories),
        tuple(names for _, names in categories),
    )


def _targets(
    table: Table, columns: Columns, task: str | None, rows: Sequence[NDArray[np.int64]]
) -> tuple[str, AnyArray, tuple[str, ...]]:
    """The task, the targets and the names of classes or labels."""
    names = _named(table, "target", columns.target, _known)
    if not names:
        raise setting_fault("target", "is missing: the column to predict")
    if len(names) > 1 and task not in (None, "multilabel"):
        raise setting_fault("target", f"names {len(names)} columns, but a {task} has one")
    values = [_constant(table, "target", name, rows) for name in names]
    if len(names) > 1 or task == "multilabel":
        labels = [zeros_and_ones(item, "target", f"column {name!r}") for name, item in zip(names, values, strict=True)]
        return "multilabel", np.stack(labels, axis=1), names
    is_number = values[0].dtype.kind == "f"
    if task == "regression" or (task is None and is_number and not _is_whole(values[0])):
        _numeric(table, "target", names[0])
        return "regression", values[0].astype(np.float32), ()
    if is_number and not _is_whole(values[0]):
        raise setting_fault("target", f"column {names[0]!r} holds other than whole numbers, which are no classes")
    classes, (encoded,) = encode_classes(values[0].astype(np.int64) if is_number else values[0])
    return "classification", encoded, classes


def zeros_and_ones(values: AnyArray, setting: str, where: str) -> FloatArray:
    """Labels as float32. Raises `InvalidInput` where other values are among them."""
    wrong = values[(values != 0) & (values != 1)] if values.dtype.kind in "iufb" else values
    if wrong.size:
        raise setting_fault(setting, f"{where} must hold labels of 0 and 1 alone, not {wrong.flat[0]}")
    return values.astype(np.float32)


def _constant(table: Table, setting: str, name: str, rows: Sequence[NDArray[np.int64]]) -> AnyArray:
    """A column's value of each sequence: [sequences]."""
    values = table[name]
    for item in rows:
        if len(item) > 1 and len(found := np.unique(values[item])) > 1:
            raise setting_fault(setting, f"column {name!r} changes within a group: it holds {found[0]} and {found[1]}")
    of_sequences: AnyArray = values[[item[0] for item in rows]]
    return of_sequences


def _categories(values: AnyArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Indices, and the names of those from 1 on, sorted; 0 for every category of a single sequence."""
    found, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    common = counts > 1
    return np.where(common, np.cumsum(common), 0)[inverse], tuple(map(category_name, found[common]))


def text_column(table: Table, columns: Columns) -> list[str]:
    """The texts of the table's rows, as `read_table` kept them. Raises `InvalidInput`."""
    for setting in ("group", "features"):
        if getattr(columns, setting) is not None:
            raise setting_fault(setting, "must be null beside `text`, where each row is a sequence of its own")
    texts = _known(table, "text", str(columns.text))
    return [str(text) for text in texts]


def _is_whole(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and (values == np.round(values)).all())


def _of_sequences(table: Table, columns: Columns) -> set[str]:
    """The columns that hold for a whole sequence."""
    settings = ("target", "statics", "categories")
    return {name for setting in settings for name in _named(table, setting, getattr(columns, setting), _known)}


def _named(
    table: Table, setting: str, joined: str | None, check: Callable[[Table, str, str], object]
) -> tuple[str, ...]:
    """The columns that a setting names, each checked: one, or several joined by commas."""
    whole = joined or ""
    names = (whole,) if whole in table else tuple(name.strip() for name in whole.split(",") if name.strip())
    for name in names:
        check(table, setting, name)
    return names


def _features(table: Table, columns: Columns, without: set[str | None]) -> tuple[str, ...]:
    names = _named(table, "features", columns.features, _numeric)
    if columns.features is None:
        names = tuple(name for name, values in table.items() if name not in without and values.dtype.kind == "f")
    if not names:
        raise setting_fault("features", f"no column of numbers is left to read; columns: {', '.join(table)}")
    return names


def _known(table: Table, setting: str, name: str) -> AnyArray:
    if name not in table:
        raise setting_fault(setting, f"there is no column {name!r}; columns: {', '.join(table)}", near(name, table))
    return table[name]


def _numeric(table: Table, setting: str, name: str) -> None:
    values = _known(table, setting, name)
    if values.dtype.kind != "f":
        word = next((f", but {str(value)!r}" for value in values if not _is_number(str(value))), "")
        raise setting_fault(setting, f"column {name!r} does not hold numbers alone{word}")
