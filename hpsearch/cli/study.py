"""`hpsearch study …`: studies made, looked at, steered."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.confirmation import say_confirmation
from hpsearch.cli.options import AsJson, Kind, MetricName, Objectives, ServerUrl, StudyName, Token, kind_of, settings_of
from hpsearch.cli.output import emit_json, emit_table, no_one_best, say, shown, shown_parameters, shown_violations

if TYPE_CHECKING:
    from hpsearch.studies import Best, Study
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
            emit_json(client.get_json(f"studies/{study.name}"))
        else:
            _say_study(study.info)
            _say_chosen(study.info)


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
            emit_json(client.get_json(f"studies/{name}"))
        else:
            study = client.study(name)
            _say_study(study.info)
            _say_chosen(study.info)
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
            _say_study(study.info)


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
            emit_json(client.get_json(f"studies/{name}/best"))
        else:
            _say_best(study.best(), study.refresh())
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
            emit_json(client.get_json(f"studies/{name}/pareto", weight=told))
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
            emit_json(_all_pages(client, f"studies/{name}/trials", state=state or [], kind=kind_of(kind).value))
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
            emit_json(client.get_json(f"studies/{name}/importances", method=method, **named))
        else:
            say_importances(client.study(name).importances(method, metric))


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
        _say_study(client.study(name).extend(trials))


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
    _say_study(made.study)


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
        _say_study(getattr(client.study(name), verb)())


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


def _export_form(to: Path) -> str:
    """The form of a file, by its name. Raises `InvalidInput`."""
    from hpsearch.errors import Fault, InvalidInput

    form = to.suffix.removeprefix(".").lower()
    if form not in ("jsonl", "csv"):
        raise InvalidInput(faults=[Fault("--to", f"must end in .jsonl or .csv, not {to.name!r}")])
    return form


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


def _json_object(text: str) -> dict[str, Any]:
    from hpsearch.errors import Fault, InvalidInput

    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(faults=[Fault("--parameters", f"is not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidInput(faults=[Fault("--parameters", f"must be a JSON object, not {text}")])
    return value


def _say_study(study: "Study") -> None:
    counts = study.counts
    of = "" if study.spec.budget_trials is None else f" of {study.spec.budget_trials}"
    say(f"{study.name}: {study.state}" + (f" ({study.reason})" if study.reason else ""))
    say(
        f"  {counts.finished}{of} trials finished: {counts.complete} complete, {counts.pruned} pruned, "
        f"{counts.failed} failed; {counts.running} running, {counts.waiting} waiting"
        + (f", {counts.paused} paused at a rung" if counts.paused else "")
    )
    if study.compute_seconds:
        apart = f", and {study.confirm_seconds:.1f} s to confirm" if study.confirm_seconds else ""
        say(f"  workers held its trials for {study.compute_seconds:.1f} s{apart}")
    if study.ended_because is not None:
        say(f"  the search ended because of: {study.ended_because.value}")
    confirming = study.confirm_counts
    if confirming.created:
        say(
            f"  {confirming.finished} of {confirming.created} runs on fresh seeds finished: {confirming.complete} "
            f"complete, {confirming.failed} failed; {confirming.running} running, {confirming.waiting} waiting"
        )
    if study.best_value is not None:
        say(f"  best: trial {study.best_number}, {study.spec.objective.metric} {shown(study.best_value)}")
    elif study.spec.objective.has_several:
        say(f"  {no_one_best(study.name)}")


def _say_chosen(study: "Study") -> None:
    """What searches it, where that was left to us."""
    for reason in study.chosen.reasons:
        say(f"  chosen by auto: {reason}")


def _say_best(found: "Best", study: "Study") -> None:
    if study.spec.objective.has_several:
        say(f"{found.study}: {no_one_best(study.name)} ({found.state})")
        return
    if found.trial is None:
        none = f"{found.study} has no complete trial yet"
        if complete := study.counts.complete:
            none = f"none of the {complete} complete trials of {found.study} satisfies its constraints"
        say(f"{none} ({found.state})")
        return
    say(f"{found.study}: trial {found.trial.number}, value {shown(found.trial.value)} ({found.state})")
    for title, values in (("parameters", found.trial.parameters), ("metrics", found.trial.metrics)):
        say(f"  {title}:")
        for key, value in values.items():
            say(f"    {key}: {shown(value)}")
