"""Options that several commands share, and the settings under them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.errors import ConfigurationError

if TYPE_CHECKING:
    from hpsearch.settings import Settings
    from hpsearch.trials import TrialKind

ServerUrl = Annotated[str | None, typer.Option("--server", help="URL of the server. [HPSEARCH_SERVER]")]
Token = Annotated[str | None, typer.Option(help="Bearer token; better in HPSEARCH_TOKEN, which no process list shows.")]
Home = Annotated[Path | None, typer.Option(help="Folder for the database and the artifacts. [HPSEARCH_HOME]")]
Data = Annotated[
    list[Path] | None, typer.Option("--data", help="Folder below which trials may read files; repeat for more.")
]
Slots = Annotated[int | None, typer.Option(min=1, help="Trials at a time; one a core without.")]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="[NAME=]MODULE:FUNCTION",
        help="An objective of your own, or the name of an installed one; repeat for more. Every installed one without.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the server's JSON.")]
Threads = Annotated[int, typer.Option(min=1, help="Computing threads a slot.")]
Kind = Annotated[str, typer.Option(help="Trials of the search, the runs that confirm, or all.")]
TrialNumber = Annotated[int, typer.Argument(min=0, help="The trial's number.")]
StudyName = Annotated[str, typer.Argument(help="The study's name.")]
MetricName = Annotated[
    str | None, typer.Option("--metric", help="Which of the metrics that the study searches. The first without.")
]


def path_of(*names: str) -> str:
    """Where the server has something, below `/api/v1/`: `studies`, a study's name … Raises `InvalidInput`."""
    from hpsearch.client.transport import part_of_path

    return "/".join(part_of_path(name, "name") for name in names)


def kind_of(name: str) -> "TrialKind":
    """Raises `InvalidInput`."""
    from hpsearch.errors import Fault, InvalidInput, near
    from hpsearch.trials import TrialKind

    known = [kind.value for kind in TrialKind]
    if name not in known:
        problem = f"{name!r} is no kind; known: {', '.join(known)}"
        raise InvalidInput(faults=[Fault("--kind", problem, near(name, known))])
    return TrialKind(name)


def settings_of(**flags: Any) -> "Settings":
    """The settings, a flag that was given before the environment.

    Raises `ConfigurationError` that names what is wrong.
    """
    from pydantic import ValidationError

    from hpsearch.settings import Settings

    given = {name: value for name, value in flags.items() if value not in (None, [])}
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError("; ".join(wrong)) from error
