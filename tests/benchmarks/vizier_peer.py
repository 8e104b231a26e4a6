"""The peer: Open Source Vizier's server and clients. Runs in an environment of its own, with nothing of ours but the
workload: `python -m tests.benchmarks.vizier_peer FOLDER CLIENTS SECONDS` prints JSON."""

import json
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from typing import Any

from tests.benchmarks.workload import REPORTS, SPACE, report_of, value_of

METRIC = "loss"


def serve(folder: str) -> None:
    """A server until its input ends; says where it is."""
    from vizier.service import servers

    server = servers.DefaultVizierServer(database_url=f"sqlite:///{folder}/vizier.db")
    print(server.endpoint, flush=True)
    sys.stdin.read()


def measure(folder: str, clients: int, seconds: float) -> dict[str, Any]:
    """Lives a second, and median and 99th percentile of each call."""
    command = [sys.executable, "-m", "tests.benchmarks.vizier_peer", "serve", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdin
        try:
            return _live_all(server.stdout.readline().strip(), clients, seconds)
        finally:
            server.stdin.close()


def _live_all(endpoint: str, clients: int, seconds: float) -> dict[str, Any]:
    from vizier.service import clients as vizier_clients

    vizier_clients.environment_variables.server_endpoint = endpoint
    study = vizier_clients.Study.from_study_config(_study(), owner="benchmark", study_id="bowl")
    calls: dict[str, list[float]] = {"claim": [], "report": [], "tell": []}
    in_time: list[bool] = []
    deadline = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=_live, args=(study.resource_name, f"client-{at}", deadline, calls, in_time))
        for at in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spreads = {kind: [_at(times, 50), _at(times, 99)] for kind, times in calls.items()}
    return {"rate": sum(in_time) / seconds, "calls": spreads, "version": version("google-vizier")}


def _study() -> Any:
    from vizier.service import pyvizier

    study = pyvizier.StudyConfig(algorithm="RANDOM_SEARCH")
    root = study.search_space.root
    for name, parameter in SPACE.items():
        scale = pyvizier.ScaleType.LOG if parameter.get("log") else pyvizier.ScaleType.LINEAR
        match parameter["type"]:
            case "float":
                root.add_float_param(name, parameter["low"], parameter["high"], scale_type=scale)
            case "int":
                root.add_int_param(name, parameter["low"], parameter["high"])
            case "categorical":
                root.add_categorical_param(name, parameter["choices"])
    study.metric_information.append(pyvizier.MetricInformation(METRIC, goal=pyvizier.ObjectiveMetricGoal.MINIMIZE))
    return study


def _live(study: str, client_id: str, deadline: float, calls: dict[str, list[float]], in_time: list[bool]) -> None:
    from vizier._src.service.vizier_client import VizierClient
    from vizier.service import pyvizier

    client = VizierClient(study, client_id)
    while (began := time.perf_counter()) < deadline:
        (trial,) = client.get_suggestions(1)
        at = _note(calls["claim"], began)
        value = value_of({name: parameter.value for name, parameter in trial.parameters.items()})
        for step in range(1, REPORTS + 1):
            client.report_intermediate_objective_value(step, 1.0, [{METRIC: report_of(value, step)}], trial.id)
            at = _note(calls["report"], at)
        client.complete_trial(trial.id, pyvizier.Measurement(metrics={METRIC: value}))
        in_time.append(_note(calls["tell"], at) < deadline)


def _note(times: list[float], since: float) -> float:
    now = time.perf_counter()
    times.append(now - since)
    return now


def _at(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
