"""`hpsearch study enqueue`, `retry`, `extend`, `clone`, `pause` …: what changes the course of a study."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli.options import AsJson, ServerUrl, StudyName, Token
from hpsearch.cli.output import emit_json, say, shown_parameters
from hpsearch.cli.standing import say_study

app = typer.Typer()


@app.command()
def enqueue(
    name: StudyName,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameters", help='A configuration as JSON: {"learning_rate": 0.003}; repeat.'),
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="Another study, for its best configurations.")] = None,
    best: Annotated[int, typer.Option("--best", min=1, max=1000, help="How many of its best ones.")] = 5,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Have configurations tried before new suggestions: given ones, or another study's best."""
    from hpsearch.cli.connection import connect
    from hpsearch.errors import ConfigurationError

    if (not parameters) == (source is None):
        raise ConfigurationError("give one of --parameters JSON and --from STUDY")
    configurations = [_json_object(text) for text in parameters or ()]
    with connect(server, token) as client:
        study = client.study(name)
        waiting = study.enqueue_best(source, best) if source else study.enqueue(*configurations)
        for trial in waiting:
            say(f"trial {trial.number} waits: {shown_parameters(trial.parameters)}")


@app.command()
def retry(
    name: StudyName,
    number: Annotated[list[int] | None, typer.Option(help="A failed trial; repeat for more; all without.")] = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Let failed trials run again, under their numbers."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        again = client.study(name).retry_failed(*(number or ()))
    say(f"{len(again)} trials wait to run again")


@app.command()
def extend(
    name: StudyName,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials in all, those that there are among them.")],
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Raise a study's budget; one that its budget had ended goes on."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        say_study(client.study(name).extend(trials))


@app.command()
def clone(
    name: StudyName,
    new_name: Annotated[str, typer.Option("--as", help="The new study's name.")],
    file: Annotated[Path | None, typer.Argument(help="Its study file; as the first one without.")] = None,
    counted: Annotated[bool, typer.Option("--counted", help="Let the budget count the copied trials.")] = False,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Make a study of another one, with what its trials found as far as that is of the new space."""
    from pydantic_core import to_json

    from hpsearch.cli.connection import connect
    from hpsearch.spec import load_study_file

    description = None if file is None else load_study_file(file)
    with connect(server, token) as client:
        made = client.study(name).clone(new_name, description, counted=counted)
    if as_json:
        emit_json(json.loads(to_json(made)))
        return
    say(f"{made.copied} trials copied, {made.outside} outside of the new space, {made.unfinished} without a result")
    say_study(made.study)


@app.command()
def pause(name: StudyName, server: ServerUrl = None, token: Token = None) -> None:
    """Hand out no more trials; running ones are handed back."""
    _steer(name, server, token, "pause")


@app.command()
def resume(name: StudyName, server: ServerUrl = None, token: Token = None) -> None:
    """Open a paused study again."""
    _steer(name, server, token, "resume")


@app.command()
def stop(name: StudyName, server: ServerUrl = None, token: Token = None) -> None:
    """End a study for good; what runs or waits is cancelled."""
    _steer(name, server, token, "stop")


@app.command()
def delete(
    name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Remove a study with its trials and artifacts."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        study = client.study(name)
        if not yes:
            typer.confirm(f"Remove {name} with {study.info.counts.finished} finished trials?", abort=True)
        study.delete()


def _steer(name: str, server: str | None, token: str | None, verb: str) -> None:
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        say_study(getattr(client.study(name), verb)())


def _json_object(text: str) -> dict[str, Any]:
    from hpsearch.errors import Fault, InvalidInput

    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(faults=[Fault("--parameters", f"is not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidInput(faults=[Fault("--parameters", f"must be a JSON object, not {text}")])
    return value
