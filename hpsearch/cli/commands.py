"""All commands, put together."""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch import __version__
from hpsearch.cli import objective as objective_group
from hpsearch.cli import rnn, study, trial
from hpsearch.cli.options import AsJson, Data, Home, Objectives, ServerUrl, Slots, Threads, Token, settings_of
from hpsearch.cli.output import emit_json, emit_table, say

app = typer.Typer(
    name="hpsearch",
    help="Hyperparameter search as a service: post a study, start workers, poll the best trial.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(study.app)
app.add_typer(trial.app)
app.add_typer(objective_group.app)
app.add_typer(rnn.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _about(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A study file (.yaml or .json).")],
    slots: Slots = None,
    home: Home = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on; a free one where it is taken.")] = None,
    data: Data = None,
    objective: Objectives = None,
    keep_serving: Annotated[bool, typer.Option(help="Go on serving when the study has ended, until Ctrl-C.")] = False,
) -> None:
    """Run a study on this machine: server, workers, progress, and the best trials at the end. Exit code 1 where no
    trial is complete then."""
    from hpsearch.cli.run import run_study

    settings = settings_of(home=home, port=port, data=data)
    if not run_study(file, settings, slots=slots, keep_serving=keep_serving, objectives=objective or ()):
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address; anything but loopback needs a token.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    home: Home = None,
    database_url: Annotated[str | None, typer.Option(help="postgresql://…; SQLite in the home folder without.")] = None,
    token: Token = None,
) -> None:
    """Serve studies over HTTP."""
    from hpsearch.cli.serve import serve_studies

    serve_studies(settings_of(host=host, port=port, home=home, database_url=database_url, token=token))


@app.command()
def worker(
    server: ServerUrl = None,
    token: Token = None,
    slots: Slots = None,
    name: Annotated[
        str | None, typer.Option(help="Stable name: a worker that comes back under it gets its own trials first.")
    ] = None,
    data: Data = None,
    threads: Threads = 1,
    objective: Objectives = None,
) -> None:
    """Run trials of the server's studies on this machine. Stop with Ctrl-C or SIGTERM; twice stops at once."""
    from hpsearch.cli.worker import run_worker

    settings = settings_of(server=server, token=token, data=data)
    run_worker(settings, slots=slots, name=name, threads=threads, objectives=objective or ())


@app.command()
def workers(server: ServerUrl = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the workers that the server knows."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        if as_json:
            emit_json(client.get_json("workers", limit=1000))
            return
        emit_table(
            ["worker", "host", "slots", "running", "finished", "studies", "last seen"],
            [
                [item.name, item.host, item.slots, item.running, item.finished, ", ".join(item.studies), item.seen_at]
                for item in client.workers()
            ],
        )


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files."""
    from hpsearch.spec import study_schema

    emit_json(study_schema())
