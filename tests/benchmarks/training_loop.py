"""One training, side by side."""

import random
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hpsearch.errors import InvalidInput
from tests.benchmarks import training_data
from tests.benchmarks.tables import milliseconds, print_progress, print_table, print_title, ratio
from tests.benchmarks.training_side import Side, side
from tests.benchmarks.training_sizes import Sizes
from tests.benchmarks.training_work import Trained, Work

NOTE = """Seconds an epoch, training and validation: the median over {repetitions} trainings of each side, taken by
turns, without a training's first epoch. Each side is a process with one thread and the same scaled data; one layer,
batches of {batch_size}, Adam, no clipping. Ours: `RnnObjective` called as a worker calls it, which besides measures
gradients' norms and more metrics, and keeps the best weights. tutorial: a loop as PyTorch's tutorials have it
(DataLoader, packed sequences where lengths differ, `.item()` a step). lightning: {lightning}. adding: {sequences}
sequences of {steps} steps. loss: on the validation split after the last epoch, median: ours / tutorial / lightning."""
HEADS = ("data", "cell", "units", "ours", "tutorial", "× tutorial", "lightning", "× lightning", "loss")
INSTALL = "python -m venv VENV && VENV/bin/pip install lightning 'torch<2.14', then --lightning-python VENV/bin/python"
BATCH_SIZE = 32
LEARNING_RATE = 3e-3


def measure(sizes: Sizes) -> None:
    """Print the table, without Lightning's figures where there is no Python that has it."""
    with (
        TemporaryDirectory(prefix="hpsearch-benchmark-") as folder,
        side("training_ours") as ours,
        side("tutorial_peer") as tutorial,
        side("lightning_peer", sizes.lightning_python or sys.executable) as lightning,
    ):
        sides = {"ours": ours, "tutorial": tutorial, "lightning": lightning}
        print_title("One training", _note(lightning, sizes))
        training_data.write_adding(Path(folder), sizes.adding_sequences, sizes.adding_steps)
        rows = []
        for dataset in sizes.datasets:
            rows += _rows(dataset, folder, sides, sizes)
        print_table(HEADS, rows)


def _note(lightning: Side, sizes: Sizes) -> str:
    told = f"PyTorch Lightning {lightning.version}, logger, checkpoints and progress bar off"
    return NOTE.format(
        repetitions=sizes.repetitions,
        batch_size=BATCH_SIZE,
        lightning=told if lightning.version else f"not run: {lightning.problem}; {INSTALL}",
        sequences=sizes.adding_sequences,
        steps=sizes.adding_steps,
    )


def _rows(dataset: str, folder: str, sides: Mapping[str, Side], sizes: Sizes) -> list[list[str]]:
    try:
        training_data.write_splits(dataset, Path(folder))
    except InvalidInput as error:
        return [[dataset, f"not run: {error}", *["-"] * (len(HEADS) - 2)]]
    present = {name: side for name, side in sides.items() if side.version}
    rows = []
    for cell in sizes.cells:
        for units in sizes.units:
            work = Work(
                dataset=dataset,
                folder=folder,
                cell=cell,
                units=units,
                batch_size=BATCH_SIZE,
                learning_rate=LEARNING_RATE,
                epochs=sizes.epochs[dataset] + 1,
            )
            rows.append([dataset.removesuffix(".npz"), cell, str(units), *_figures(_trained(work, present, sizes))])
            print_progress(rows[-1])
    return rows


def _trained(work: Work, sides: Mapping[str, Side], sizes: Sizes) -> dict[str, list[Trained]]:
    """By side, each turn in another order."""
    found: dict[str, list[Trained]] = {name: [] for name in sides}
    chance = random.Random(0)
    for _ in range(sizes.repetitions):
        for name in chance.sample(list(sides), len(sides)):
            found[name].append(sides[name].train(work))
    return found


def _figures(found: Mapping[str, list[Trained]]) -> list[str]:
    seconds = {name: statistics.median(_all_seconds(trained)) for name, trained in found.items()}
    cells = [milliseconds(seconds["ours"])]
    for peer in ("tutorial", "lightning"):
        cells += [milliseconds(seconds[peer]), ratio(seconds[peer], seconds["ours"])] if peer in seconds else ["-", "-"]
    losses = [f"{statistics.median(one.losses[-1] for one in trained):.2g}" for trained in found.values()]
    return [*cells, " / ".join(losses)]


def _all_seconds(trained: list[Trained]) -> list[float]:
    return [seconds for one in trained for seconds in one.seconds]
