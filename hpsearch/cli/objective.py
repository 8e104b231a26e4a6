"""`hpsearch objective …`: what studies can make workers train."""

from typing import Annotated

import typer

from hpsearch.cli.options import AsJson, ServerUrl, Token, path_of
from hpsearch.cli.output import emit_json, emit_table

app = typer.Typer(name="objective", help="Objectives and their parameters.", no_args_is_help=True)


@app.command("list")
def list_objectives(server: ServerUrl = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the objectives that the server knows."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        if as_json:
            emit_json(client.get_json("objectives"))
            return
        emit_table(["objective", "description"], [[item.name, item.description] for item in client.objectives()])


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The objective's name.")],
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show an objective's parameters and metrics."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        if as_json:
            emit_json(client.get_json(path_of("objectives", name)))
            return
        info = client.objective(name)
    emit_table(
        ["parameter", "searchable", "default", "must be", "meaning"],
        [[item.name, item.searchable, item.default, item.expected, item.meaning] for item in info.parameters],
    )
    emit_table(["metric", "direction", "meaning"], [[item.name, item.direction, item.meaning] for item in info.metrics])
