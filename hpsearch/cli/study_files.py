"""`hpsearch study plot`, `report`, `model`, `export`, `import`: what becomes a file of a study, and comes from one."""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import Kind, MetricName, ServerUrl, StudyName, Token, kind_of
from hpsearch.cli.output import say, shown

app = typer.Typer()


@app.command()
def plot(
    name: StudyName,
    to: Annotated[Path, typer.Option("--to", help="The file: .html (needs no internet), .json, .png, .svg or .pdf.")],
    kind: Annotated[
        str, typer.Option(help="history, importances, slices, contour, ranks …; an unknown one lists all.")
    ] = "history",
    parameter: Annotated[
        list[str] | None, typer.Option(help="A parameter to show; repeat. The most important ones without.")
    ] = None,
    metric: MetricName = None,
    method: Annotated[
        str | None,
        typer.Option(help="By what parameters are important: ped_anova, fanova (with interactions), shapley."),
    ] = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Draw a figure of a study into a file."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.plot import form_of, write_figure

    form_of(to)
    with connect(server, token) as client:
        figure = client.study(name).figure(kind, *(parameter or ()), metric=metric, method=method)
    write_figure(figure, to)
    say(f"{name}: {kind} is in {to}")


@app.command()
def report(
    name: StudyName,
    to: Annotated[Path, typer.Option("--to", help="The HTML file to write.")],
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write a report of a study: one HTML file that needs no internet."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.plot import write_whole
    from hpsearch.cli.report import report as report_of

    with connect(server, token) as client:
        content = report_of(client, name)
    write_whole(to, content.encode())
    say(f"{name}: the report is in {to}")


@app.command()
def model(
    name: StudyName,
    to: Annotated[Path, typer.Option("--to", help="The folder to write; made, and not filled before all is there.")],
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, help="Another trial's than that of the confirmed (or searched) best."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that is in the folder.")] = False,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write the best trial's model into a folder: its files, and card.md, which says how it was made. Where the best
    configurations were confirmed, it is the best run of the confirmed best."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.model import take_model

    with connect(server, token) as client:
        found, files = take_model(client, name, trial, to, force=force)
    value = "" if found.value is None else f" (value {shown(found.value)})"
    say(f"{name}: the model of trial {found.number}{value} is in {to}: {', '.join(files)}")


@app.command()
def export(
    name: StudyName,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write: .jsonl or .csv.")] = None,
    optuna: Annotated[
        str | None, typer.Option("--optuna", help="A database of Optuna's to copy the study to: sqlite:///x.db.")
    ] = None,
    kind: Kind = "search",
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write every trial to a file, or the whole study to a database of Optuna's."""
    from hpsearch.cli.connection import address, connect
    from hpsearch.errors import ConfigurationError

    if (to is None) == (optuna is None):
        raise ConfigurationError("give one of --to FILE and --optuna URL")
    if to is not None:
        form = _export_form(to)
        with connect(server, token) as client:
            client.study(name).export(to, form, kind_of(kind))
        say(f"{name}: its trials are in {to}")
    elif optuna is not None:
        from hpsearch.optuna import export_study

        count = export_study(name, optuna, *address(server, token))
        say(f"{name}: {count} trials are in {optuna}")


@app.command("import")
def import_(
    optuna: Annotated[str, typer.Option("--optuna", help="A database of Optuna's: sqlite:///x.db.")],
    name: Annotated[str | None, typer.Argument(help="The study there; may be left out where there is one.")] = None,
    new_name: Annotated[str | None, typer.Option("--as", help="Its name here.")] = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Copy a whole study from a database of Optuna's."""
    from hpsearch.cli.connection import address
    from hpsearch.optuna import import_study

    made, count = import_study(optuna, *address(server, token), name, new_name)
    say(f"{made}: {count} trials are here")


def _export_form(to: Path) -> str:
    """The form of a file, by its name. Raises `InvalidInput`."""
    from hpsearch.errors import Fault, InvalidInput

    form = to.suffix.removeprefix(".").lower()
    if form not in ("jsonl", "csv"):
        raise InvalidInput(faults=[Fault("--to", f"must end in .jsonl or .csv, not {to.name!r}")])
    return form
