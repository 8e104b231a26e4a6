"""`hpsearch run`: a study on this machine, from its file to its best trials."""

import shlex
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpsearch.cli.confirmation import say_confirmation
from hpsearch.cli.lr_range import with_narrowed_range
from hpsearch.cli.output import chief_tests, emit_table, say, shown
from hpsearch.cli.own import known_with, published_by
from hpsearch.cli.processes import Child, ChildDied, running_server, wait_for_server
from hpsearch.cli.progress import follow
from hpsearch.cli.understanding import say_front
from hpsearch.client import Client, StudyHandle
from hpsearch.errors import Conflict, Fault, InvalidSpec, StudyExists, Unavailable
from hpsearch.objectives.check import study_faults, with_declared_space
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.settings import DEFAULT_PORT, Settings
from hpsearch.spec import StudySpec, load_study_file, parse_study
from hpsearch.studies import Study
from hpsearch.trials import Trial, TrialState

SHOWN_TRIALS = 5
SHOWN_REASONS = 3
HAND_BACK_SECONDS = 15.0
"""On top of the grace: a worker's time to hand its trials back."""


def run_study(
    file: Path, settings: Settings, *, slots: int | None, keep_serving: bool, objectives: Sequence[str] = ()
) -> bool:
    """Run a study to its end, or go on with it where an earlier run stopped. Ctrl-C hands the trials back. Returns
    whether any trial is complete."""
    raw = load_study_file(file)
    infos = published_by(objectives, raw)
    spec = with_narrowed_range(_checked(raw, infos), (file.absolute().parent, *settings.data_roots), say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both mean: stop cleanly
    token = settings.token.get_secret_value() if settings.token else None
    # a server of our own does not come back; that of another terminal may
    with _server(settings, token) as (url, own), Client(url, token, retries=2 if own else 20) as client:
        for info in infos:
            client.publish_objective(info)
        study = _create(client, spec)
        poll = f"{url}/api/v1/studies/{study.name}/best"
        say(f"{study.name} on {url}; poll its best trial with\n  {_curl(poll, token)}")
        try:
            if not study.info.state.has_ended:
                _work(study, settings, file, url, slots, objectives)
        except KeyboardInterrupt:
            say(f"\nstopped at {study.refresh().counts.finished} trials; the same command goes on from here")
            raise
        except Unavailable:
            if own is not None:
                own.check()  # a better reason, where there is one
            raise
        _conclude(study, settings, token)
        if keep_serving:
            say(f"serving on {url} until Ctrl-C")
            while True:  # not signal.pause: a Ctrl-C just before it would wait for the next one
                time.sleep(0.5)
        return study.info.counts.complete > 0


def _checked(raw: Any, own: Sequence[ObjectiveInfo]) -> StudySpec:
    """The study, checked before anything is started. Raises `InvalidSpec`."""
    known = known_with(own)
    raw = with_declared_space(raw, known)
    spec = parse_study(raw, study_faults(raw, known))
    if spec.objective.name is None:
        problem = "is missing: without it only an outside loop can run the study (hpsearch study create)"
        raise InvalidSpec(faults=[Fault("objective.name", problem)])
    return spec


def _create(client: Client, spec: StudySpec) -> StudyHandle:
    try:
        study = client.create_study(spec)
    except StudyExists as error:
        raise StudyExists(
            f"{error}; give the file another name, or remove the old study: hpsearch study delete {spec.name}"
        ) from error
    if study.info.state == "paused":
        say(f"{study.name} was paused: {study.info.reason}; resumed")
        study.resume()
    return study


@contextmanager
def _server(settings: Settings, token: str | None) -> Iterator[tuple[str, Child | None]]:
    """The URL of a server on this home: the one that runs already, or one for as long as this command, its child."""
    file = settings.home_folder / "server.json"
    url = running_server(file, token)
    if url is not None:
        yield url, None
        return
    server = _serving(settings, settings.port if _is_free(settings.port) else 0)
    try:
        try:
            url = wait_for_server(server, file, token)
        except ChildDied:
            if _is_free(settings.port):
                raise
            server = _serving(settings, 0)  # another run took the port between our look and our server's
            url = wait_for_server(server, file, token)
        yield url, server
    finally:
        server.stop(HAND_BACK_SECONDS)


def _serving(settings: Settings, port: int) -> Child:
    """A server that starts; at port 0 on any free one."""
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port)]
    return Child(arguments, settings.home_folder / "logs" / "serve.log", _environment(settings))


def _environment(settings: Settings) -> dict[str, str]:
    return {"HPSEARCH_HOME": str(settings.home_folder)}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _work(
    study: StudyHandle, settings: Settings, file: Path, url: str, slots: int | None, objectives: Sequence[str]
) -> None:
    """A worker until the study ends."""
    arguments = ["worker", "--server", url, "--data", str(file.absolute().parent)]
    for objective in objectives or [str(study.info.spec.objective.name)]:
        arguments += ["--objective", objective]
    for root in settings.data_roots:
        arguments += ["--data", str(root)]
    if slots is not None:
        arguments += ["--slots", str(slots)]
    worker = Child(arguments, settings.home_folder / "logs" / "worker.log", _environment(settings))
    try:
        follow(study, worker.check)
    finally:
        worker.stop(settings.grace_seconds + HAND_BACK_SECONDS)


def _conclude(study: StudyHandle, settings: Settings, token: str | None) -> None:
    """The best trials, and how to ask for them again. Raises `Conflict` where the study paused itself."""
    info = study.refresh()
    if not info.state.has_ended:
        raise Conflict(f"{study.name} is {info.state}: {info.reason}; put that right and run it again")
    say(f"{study.name} is {info.state}: {info.reason}")
    if info.spec.objective.has_several:
        say_front(study.pareto())
    else:
        _show_best(info, list(study.trials(TrialState.COMPLETE)))
    _say_failures(list(study.trials(TrialState.FAILED)))
    if info.confirm_counts.complete:
        say_confirmation(study.confirmation(), info)
    asked, what = ("pareto", "its Pareto front") if info.spec.objective.has_several else ("best", "its best trial")
    port = settings.port or DEFAULT_PORT  # 0 was for any that is free
    later = f"http://127.0.0.1:{port}/api/v1/studies/{study.name}/{asked}"
    serve = f"hpsearch serve --home {shlex.quote(str(settings.home_folder))} --port {port} &"
    say(f"{what}, at any time:\n  {serve}\n  {_curl(later, token)}")


def _show_best(info: Study, trials: list[Trial]) -> None:
    sign = -1 if info.spec.objective.direction == "maximize" else 1
    best = sorted(
        (item for item in trials if item.value is not None and not item.violations),
        key=lambda trial: sign * (trial.value or 0),
    )
    if not best:
        many = (
            f"none of the {len(trials)} complete trials satisfies the constraints" if trials else "no trial is complete"
        )
        say(f"there is no best trial: {many}")
        return
    tests = chief_tests(str(info.spec.objective.metric), (name for trial in best for name in trial.metrics))
    names = list(info.spec.space)
    rows: list[list[Any]] = [
        [
            trial.number,
            trial.value,
            *(trial.metrics.get(name) for name in tests),
            *(shown(trial.parameters.get(name)) for name in names),
        ]
        for trial in best[:SHOWN_TRIALS]
    ]
    emit_table(["trial", info.spec.objective.metric, *tests, *names], rows)


def _say_failures(failed: list[Trial]) -> None:
    """Why trials failed, what came most often first."""
    reasons = Counter(trial.reason or "no reason was told" for trial in failed)
    for reason, count in reasons.most_common(SHOWN_REASONS):
        say(f"{count} failed: {reason}")
    if len(reasons) > SHOWN_REASONS:
        more = f"hpsearch study trials {failed[0].study} --state failed"
        say(f"… and for {len(reasons) - SHOWN_REASONS} other reasons: {more}")


def _curl(url: str, token: str | None) -> str:
    return f"curl -H \"Authorization: Bearer $HPSEARCH_TOKEN\" '{url}'" if token else f"curl '{url}'"
