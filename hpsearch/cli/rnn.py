"""`hpsearch rnn …`: what is of recurrent networks alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import Data, settings_of
from hpsearch.cli.output import emit_json, emit_table, say

if TYPE_CHECKING:
    from hpsearch.objectives.rnn.training.lr_range import RangeTest

app = typer.Typer(name="rnn", help="Recurrent networks: learning rates, attention, export.", no_args_is_help=True)

ModelFolder = Annotated[Path, typer.Argument(help="A folder that `hpsearch study model` has written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="An HTML file to draw it in, which needs no internet.")]


@app.command("lr-range")
def lr_range(
    file: Annotated[Path, typer.Argument(help="A study file (.yaml or .json).")],
    data: Data = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the test; the study's without.")] = None,
    steps: Annotated[int | None, typer.Option(min=50, max=100_000, help="Training steps; 150 without.")] = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show where a network learns: a short training, in the middle of the study's space, whose learning rate grows."""
    from hpsearch.cli.lr_range import as_json as json_of
    from hpsearch.cli.lr_range import load_study, run_test

    spec = load_study(file)
    found = run_test(spec, (file.absolute().parent, *settings_of(data=data).data_roots), seed, steps)
    own = spec.space.get("learning_rate")
    if plot is not None:
        from hpsearch.objectives.rnn.models.plots import range_figure, write_figure

        write_figure(range_figure(found.rates, found.losses, found.low, found.high, spec.name), plot)
    if as_json:
        emit_json(json_of(found, own))
    else:
        _say_range(found, own)


def _say_range(found: "RangeTest", own: Any) -> None:
    from hpsearch.cli.lr_range import drawn, narrowed
    from hpsearch.parameters import FloatParameter

    for line in drawn(found):
        say(line)
    say(f"the network learns from {found.low:.2g} to {found.high:.2g}; the loss falls fastest at {found.steepest:.2g}")
    if isinstance(own, FloatParameter):
        low, high = narrowed(own, found)
        say(f"of the study's range, {own.low:g} … {own.high:g}, that leaves {low:g} … {high:g}")


@app.command()
def export(
    model: ModelFolder, to: Annotated[Path, typer.Option("--to", help="The file: .pt (TorchScript) or .onnx (ONNX).")]
) -> None:
    """Write a model's network as one file that runs without hpsearch: of scaled inputs, to raw outputs."""
    from hpsearch.objectives.rnn.models.loader import load_model

    names = load_model(model).export(to)
    say(f"{to}: takes {', '.join(names)}")


@app.command()
def attention(
    model: ModelFolder,
    file: Annotated[Path, typer.Argument(help="Raw sequences: a .npz as data sets have it.")],
    sequence: Annotated[int, typer.Option(min=0, help="Which of them.")] = 0,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show what a model attends to in a sequence."""
    from hpsearch.objectives.rnn.models.loader import load_model
    from hpsearch.objectives.rnn.models.raw import read_sequence, step_names

    loaded = load_model(model)
    raw = read_sequence(file, sequence)
    weights = {kind: values[0] for kind, values in loaded.attention(**raw).items()}
    steps = step_names(raw["sequences"][0], loaded.card["vocabulary"])
    if plot is not None:
        from hpsearch.objectives.rnn.models.plots import attention_figure, write_figure

        write_figure(attention_figure(weights, steps, f"{file.name}, sequence {sequence}"), plot)
    if as_json:
        emit_json({"steps": steps} | {kind: values.tolist() for kind, values in weights.items()})
    else:
        _say_attention(weights, steps)


def _say_attention(weights: Any, steps: list[str]) -> None:
    """A table for each kind and head: a row a step."""
    from hpsearch.objectives.rnn.models.plots import panels

    for title, values in panels(weights):
        if title == "pooling":
            emit_table(["step", title], list(zip(steps, values[0].tolist(), strict=True)))
            continue
        columns = steps if title.startswith("self") else [str(step + 1) for step in range(values.shape[1])]
        emit_table([title, *columns], [[step, *row.tolist()] for step, row in zip(steps, values, strict=True)])
