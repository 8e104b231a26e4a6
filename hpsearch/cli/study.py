"""`hpsearch study …`: studies made and looked at; what steers them, and their files, are beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli import steering, study_files
from hpsearch.cli.confirmation import say_confirmation
from hpsearch.cli.options import (
    AsJson,
    Kind,
    MetricName,
    Objectives,
    ServerUrl,
    StudyName,
    Token,
    kind_of,
    path_of,
    settings_of,
)
from hpsearch.cli.output import emit_json, emit_table, say, shown_parameters, shown_violations
from hpsearch.cli.standing import say_best, say_chosen, say_study

if TYPE_CHECKING:
    from hpsearch.trials import Trial

app = typer.Typer(name="study", help="Studies.", no_args_is_help=True)


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="A study file (.yaml or .json).")],
    objective: Objectives = None,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Create a study from a file; the same file again finds the study that exists."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.lr_range import as_posted
    from hpsearch.cli.own import published_by
    from hpsearch.spec import load_study_file

    own = published_by(objective, load_study_file(file)) if objective else ()
    spec = as_posted(file, settings_of().data_roots, lambda text: typer.echo(text, err=as_json))
    with connect(server, token) as client:
        for info in own:
            client.publish_objective(info)
        study = client.create_study(spec)
        if as_json:
            emit_json(client.get_json(path_of("studies", study.name)))
        else:
            say_study(study.info)
            say_chosen(study.info)


@app.command("list")
def list_studies(server: ServerUrl = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the studies."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        if as_json:
            emit_json(client.get_json("studies", limit=1000))
            return
        emit_table(
            ["study", "state", "finished", "of", "running", "best", "trial"],
            [
                [
                    item.name,
                    item.state,
                    item.counts.finished,
                    item.spec.budget_trials,
                    item.counts.running,
                    item.best_value,
                    item.best_number,
                ]
                for item in client.studies()
            ],
        )


@app.command()
def show(name: StudyName, server: ServerUrl = None, token: Token = None, as_json: AsJson = False) -> None:
    """Show a study and its progress."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.understanding import say_earlier

    with connect(server, token) as client:
        if as_json:
            emit_json(client.get_json(path_of("studies", name)))
        else:
            study = client.study(name)
            say_study(study.info)
            say_chosen(study.info)
            if study.info.spec.earlier:
                say_earlier(study.summary(1).earlier)
            if study.info.confirm_counts.created:
                say_confirmation(study.confirmation(), study.info)


@app.command()
def watch(name: StudyName, server: ServerUrl = None, token: Token = None, as_json: AsJson = False) -> None:
    """Follow a study's progress until it ends; as JSON, a line for every change."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.progress import changes, follow

    with connect(server, token, retries=20) as client:
        study = client.study(name)
        if as_json:
            for info in changes(study):
                say(info.model_dump_json())
        else:
            follow(study)
            say_study(study.info)


@app.command()
def events(
    name: StudyName,
    after: Annotated[int, typer.Option(help="Only what happened after this event.", min=0)] = 0,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print every change of state, and then each as it happens, until the study ends; as JSON, a line for each."""
    from dataclasses import asdict

    from pydantic_core import to_json

    from hpsearch.cli.connection import connect

    with connect(server, token, retries=20) as client:
        for event in client.study(name).events(after):
            if as_json:
                say(to_json(asdict(event)).decode())
                continue
            what = f"study {name}" if event.number is None else f"trial {event.number}"
            attempt = f" (attempt {event.attempt}, {event.worker or 'unnamed'})" if event.attempt else ""
            value = f": {', '.join(f'{value:g}' for value in event.values)}" if event.values else ""
            why = f" - {event.reason}" if event.reason else ""
            say(f"{event.revision:>6}  {event.happened_at:%H:%M:%S}  {what} {event.state}{value}{attempt}{why}")


@app.command()
def best(
    name: StudyName,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the study has ended.")] = False,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show the best trial so far; once the study has ended, also what is best on fresh seeds."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        study = client.study(name)
        if wait:
            study.wait()
        if as_json:
            emit_json(client.get_json(path_of("studies", name, "best")))
        else:
            say_best(study.best(), study.refresh())
            if study.info.state.has_ended and study.info.confirm_counts.complete:
                say_confirmation(study.confirmation(), study.info)


@app.command()
def pareto(
    name: StudyName,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=2: how much a metric counts for the trial to take; repeat for more; 1 without."),
    ] = None,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show the trials that no other one beats in every metric, and which of them to take by weights."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.understanding import say_front
    from hpsearch.insights import weights_of

    weights = weights_of(weight or (), "=")
    with connect(server, token) as client:
        if as_json:
            told = [f"{metric}:{number!r}" for metric, number in weights.items()]
            emit_json(client.get_json(path_of("studies", name, "pareto"), weight=told))
        else:
            say_front(client.study(name).pareto(weights))


@app.command()
def trials(
    name: StudyName,
    state: Annotated[list[str] | None, typer.Option(help="Only trials in this state; repeat for more.")] = None,
    kind: Kind = "search",
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """List a study's trials."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        if as_json:
            emit_json(
                _all_pages(client, path_of("studies", name, "trials"), state=state or [], kind=kind_of(kind).value)
            )
            return
        objective = client.study(name).info.spec.objective
        metrics = list(objective.searched) if objective.has_several else ["value"]
        rows = [
            [
                item.number,
                item.state,
                *(item.values or [None] * len(metrics)),
                item.last_step,
                None if item.pruning is None or item.pruning.rank is None else f"{item.pruning.rank}/{item.pruning.of}",
                shown_parameters(item.parameters),
                _why(item),
            ]
            for item in client.study(name).trials(*_states(state), kind=kind_of(kind))
        ]
        emit_table(["trial", "state", *metrics, "step", "rank", "parameters", "reason"], rows)


@app.command()
def importances(
    name: StudyName,
    method: Annotated[
        str, typer.Option(help="ped_anova; fanova (with interactions) or shapley need scikit-learn on the server.")
    ] = "ped_anova",
    metric: MetricName = None,
    server: ServerUrl = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show which parameters mattered."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.understanding import say_importances

    with connect(server, token) as client:
        if as_json:
            named = {} if metric is None else {"metric": metric}
            emit_json(client.get_json(path_of("studies", name, "importances"), method=method, **named))
        else:
            say_importances(client.study(name).importances(method, metric))


def _states(names: list[str] | None) -> list[Any]:
    from hpsearch.errors import Fault, InvalidInput, near
    from hpsearch.trials import TrialState

    known = [state.value for state in TrialState]
    faults = [
        Fault("--state", f"{name!r} is no state; known: {', '.join(known)}", near(name, known))
        for name in names or ()
        if name not in known
    ]
    if faults:
        raise InvalidInput(faults=faults)
    return [TrialState(name) for name in names or ()]


def _why(trial: "Trial") -> str | None:
    """What there is to say of a trial besides."""
    confirms = None if trial.confirms is None else f"confirms trial {trial.confirms}"
    return "; ".join(filter(None, (confirms, *shown_violations(trial.violations), trial.reason))) or None


def _all_pages(client: Any, path: str, **query: Any) -> dict[str, Any]:
    """Every item of a list that the server pages."""
    items: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = client.get_json(path, limit=1000, **query, **cursor)
        items += page["items"]
        if page["next"] is None:
            return {"items": items, "next": None}
        cursor = {"cursor": page["next"]}


# the help lists commands in this order
app.add_typer(study_files.app)
app.add_typer(steering.app)
