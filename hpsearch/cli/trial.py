"""`hpsearch trial …`: one trial, looked at and trained again."""

from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import (
    AsJson,
    Data,
    Objectives,
    ServerUrl,
    StudyName,
    Threads,
    Token,
    TrialNumber,
    path_of,
    settings_of,
)
from hpsearch.cli.output import emit_json, say, shown, shown_violations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.trials import Artifact, Pruning, Trial

app = typer.Typer(name="trial", help="Single trials.", no_args_is_help=True)


@app.command()
def show(
    name: StudyName, number: TrialNumber, server: ServerUrl = None, token: Token = None, as_json: AsJson = False
) -> None:
    """Show a trial: its parameters, its seed, what it measured, its files."""
    from hpsearch.cli.connection import connect

    with connect(server, token) as client:
        study = client.study(name)
        if as_json:
            emit_json(client.get_json(path_of("studies", name, "trials", str(number))))
        else:
            _say_trial(study.trial(number), study.artifacts(number))


@app.command()
def replay(
    name: StudyName,
    number: TrialNumber,
    data: Data = None,
    threads: Threads = 1,
    objective: Objectives = None,
    server: ServerUrl = None,
    token: Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Train a trial again on this machine, with its seed and parameters, and compare: ends with 0 where every number
    is the same to the bit, with 1 where one is not."""
    from hpsearch.cli.connection import connect
    from hpsearch.cli.replay import replay_trial

    settings = settings_of(server=server, token=token, data=data)
    with connect(server, token, retries=8) as client:
        is_identical = replay_trial(
            client, name, number, settings.data_roots, threads, as_json=as_json, objectives=objective or ()
        )
    raise typer.Exit(0 if is_identical else 1)


def _say_trial(trial: "Trial", artifacts: "Sequence[Artifact]") -> None:
    value = "" if trial.value is None else f", value {shown(trial.value)}"
    why = f" ({trial.reason})" if trial.reason else ""
    say(f"{trial.study}: trial {trial.number} {trial.state}{value}{why}")
    if trial.pruning is not None:
        say(f"  {_pruned(trial.pruning)}")
    say(f"  seed: {trial.seed}")
    if trial.confirms is not None:
        say(f"  confirms: trial {trial.confirms}")
    say(f"  attempts: {trial.attempt}" + (f", worker {trial.worker}" if trial.worker else ""))
    if trial.last_step is not None:
        say(f"  last report: step {trial.last_step}, value {shown(trial.last_value)}")
    for violation in shown_violations(trial.violations):
        say(f"  {violation}")
    files = {artifact.name: f"{artifact.size} bytes" for artifact in artifacts}
    for title, values in (("parameters", trial.parameters), ("metrics", trial.metrics), ("files", files)):
        say(f"  {title}:")
        for key, item in values.items():
            say(f"    {key}: {shown(item)}")


def _pruned(pruning: "Pruning") -> str:
    """`pruner: asha at step 9, 0.25 held against 0.4, number 4 of 6`."""
    parts = [f"pruner: {pruning.pruner} at step {pruning.step}"]
    parts.append(f"{shown(pruning.value)} held against {shown(pruning.held_against)}")
    if pruning.rank is not None:
        parts.append(f"number {pruning.rank} of {pruning.of}")
    if pruning.bracket is not None:
        parts.append(f"bracket {pruning.bracket}")
    if pruning.p_value is not None:
        parts.append(f"p = {shown(pruning.p_value)}")
    return ", ".join(parts)
