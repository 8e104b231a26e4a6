"""Data sets by name: the built-in ones, and files below a worker's data folders."""

import csv
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import near
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.forecast import forecast_dataset
from hpsearch.objectives.rnn.sequences import AnyArray, Dataset, Sequences, encode_classes, padded
from hpsearch.objectives.rnn.tables import Columns, read_table, table_dataset
from hpsearch.objectives.rnn.ts_format import read_ts

BUILT_IN = ("digits", "japanese_vowels", "seattle_temps")
SUFFIXES = (".npz", ".csv", ".parquet", ".ts")


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


def resolve(name: str, roots: Sequence[Path]) -> Path:
    """The file of this name below one of the folders, wherever its links lead; `InvalidInput` for any other."""
    for root in roots if ".." not in Path(name).parts else ():
        if found := _below((root,), root / name):
            return found
    folders = ", ".join(map(str, roots)) or "none"
    raise setting_fault("dataset", f"there is no file {name!r} below the data folders of this worker ({folders})")


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
    if name == "digits":
        return _digits()
    if name == "japanese_vowels":
        folder = Path("datasets", "data", "JapaneseVowels")
        train = _in_package(("sktime", "aeon"), folder / "JapaneseVowels_TRAIN.ts")
        return _ts_pair(train, (train.parent,))
    path = _in_package(("vega_datasets",), Path("_data", "seattle-temps.csv"))
    with path.open(newline="") as file:
        values = np.array([[row["temp"]] for row in csv.DictReader(file)], dtype=np.float32)
    return forecast_dataset(values, 0, options["window"], options["horizon"], ("temperature",))


def _digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 grey values, read row by row: 8 steps of 8 features (scikit-learn's copy of
    Alpaydin and Kaynak 1998)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise setting_fault("dataset", "digits needs scikit-learn: pip install 'hpsearch[rnn]'") from error
    data = load_digits()
    inputs = data.images.astype(np.float32)
    lengths = np.full(len(inputs), inputs.shape[1], dtype=np.int64)
    classes = tuple(map(str, data.target_names))
    return Dataset("classification", Sequences(inputs, lengths, data.target.astype(np.int64)), classes=classes)


def _in_package(packages: Sequence[str], path: Path) -> Path:
    """A data file inside an installed package, found without importing the package."""
    for package in packages:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / path).is_file():
                return Path(folder) / path
    raise setting_fault("dataset", f"needs the package {' or '.join(packages)}: pip install 'hpsearch[datasets]'")


def _file(path: Path, options: Mapping[str, Any], roots: Sequence[Path]) -> Dataset:
    try:
        if path.suffix == ".npz":
            return _npz(path, options)
        if path.suffix == ".ts":
            return _ts_pair(path, roots)
        columns = Columns(*(options[name] for name in ("target", "features", "group", "order")))
        return table_dataset(read_table(path), columns, options["task"], options["window"], options["horizon"])
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
    """Arrays `x` and `y` (and `lengths`), or the same with `_train`, `_validation` and `_test` behind each name.

    x: [sequences, steps, features] or [sequences, steps]; y: [sequences], whole numbers or text for classes; lengths:
    [sequences]. Without y, x is one series to forecast: [steps, features] or [steps].
    """
    try:
        # opened here: numpy leaves a file open whose archive turns out damaged
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name.lower(): file[name] for name in file.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise setting_fault("dataset", f"{path.name} is no .npz of plain arrays: {error}") from error
    suffix = "_train" if "x_train" in arrays else ""
    if f"x{suffix}" not in arrays:
        raise setting_fault("dataset", f"{path.name} has no array x or x_train; arrays: {', '.join(arrays)}")
    if f"y{suffix}" not in arrays and not suffix:
        values = _numbers(arrays["x"], "x")
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2:
            raise setting_fault("dataset", "x must be [steps] or [steps, features] where there is no y")
        return forecast_dataset(values, 0, options["window"], options["horizon"], ())
    return _labelled(arrays, suffix, options["task"])


def _labelled(arrays: Mapping[str, AnyArray], suffix: str, task: str | None) -> Dataset:
    names = [suffix, *(end for end in ("_validation", "_test") if suffix and f"x{end}" in arrays)]
    missing = next((f"y{name}" for name in names if f"y{name}" not in arrays), None)
    if missing:
        raise setting_fault("dataset", f"has no array {missing}")
    flat = [arrays[f"y{name}"] for name in names]
    flat = [label[:, 0] if label.ndim == 2 and label.shape[1] == 1 else label for label in flat]
    if any(label.ndim != 1 or not len(label) for label in flat):
        raise setting_fault("dataset", "y must hold one target a sequence, of one sequence at least")
    classes: tuple[str, ...] = ()
    if task == "regression" or (task is None and flat[0].dtype.kind == "f"):
        task, targets = "regression", [_numbers(label, "y") for label in flat]
    else:
        classes, encoded = encode_classes(*flat)
        task, targets = "classification", list(encoded)
    parts = {name: _part(arrays, name, target) for name, target in zip(names, targets, strict=True)}
    return Dataset(task, parts[suffix], parts.get("_validation"), parts.get("_test"), classes)


def _part(arrays: Mapping[str, AnyArray], name: str, targets: AnyArray) -> Sequences:
    inputs = _numbers(arrays[f"x{name}"], f"x{name}")
    inputs = inputs[:, :, None] if inputs.ndim == 2 else inputs
    if inputs.ndim != 3 or 0 in inputs.shape:
        raise setting_fault("dataset", f"x{name} must be [sequences, steps, features], not {list(inputs.shape)}")
    if len(targets) != len(inputs):
        raise setting_fault("dataset", f"x{name} has {len(inputs)} sequences, y{name} {len(targets)}")
    lengths = arrays.get(f"lengths{name}")
    if lengths is None:
        return Sequences(inputs, np.full(len(inputs), inputs.shape[1], dtype=np.int64), targets)
    if lengths.shape != (len(inputs),) or lengths.dtype.kind not in "iu":
        raise setting_fault("dataset", f"lengths{name} must be [sequences] of whole numbers")
    if lengths.min() < 1 or lengths.max() > inputs.shape[1]:
        raise setting_fault("dataset", f"lengths{name} must be from 1 to {inputs.shape[1]}")
    return padded([item[:length] for item, length in zip(inputs, lengths, strict=True)], targets)


def _numbers(array: AnyArray, name: str) -> Any:
    if array.dtype.kind not in "iufb":
        raise setting_fault("dataset", f"{name} must hold numbers, not {array.dtype}")
    return array.astype(np.float32)
