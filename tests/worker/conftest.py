"""A real service on SQLite with short leases, and agents that run in this process or in their own."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.gateway import Gateway
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.studies import StudyState
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.agent import Agent, AgentOptions
from tests import zygote
from tests.conftest import new_sqlite_database
from tests.waiting import wait_until
from tests.worker.objectives import PATHS, SCRIPTED

LEASE_SECONDS = 1.0


class Lab:
    """A service, and short ways to put studies to it."""

    def __init__(self, folder: Path, database_url: str | None = None, lease_seconds: float = LEASE_SECONDS) -> None:
        self.settings = Settings(
            home=new_sqlite_database(folder / "home"),
            database_url=database_url,
            lease_seconds=lease_seconds,
            max_artifact_mb=1,
        )
        self.service = Service(self.settings, [SCRIPTED])
        self.service.open()
        self.traces_folder = folder / "traces"
        self.traces_folder.mkdir()
        self.workspace = folder / "workspace"

    def create(self, act: str = "descend", trials: int = 1, **changes: Any) -> None:
        """A study named `s`, all of whose trials do this act. Settings and the spec's own fields may be given."""
        settings = {name: changes.pop(name) for name in list(changes) if SCRIPTED.parameter(name)}
        settings |= {"act": act, "folder": str(self.traces_folder)}
        self.service.create_study(
            {
                "name": "s",
                "objective": {"name": "scripted", "metric": "loss", "direction": "minimize", "settings": settings},
                "space": {"x": {"type": "float", "low": -10, "high": 10}},
                "sampler": {"name": "random"},
                "pruner": {"name": "none"},
                "budget": {"trials": trials},
            }
            | changes
        )

    def trials(self, study: str = "s") -> list[Trial]:
        return list(self.service.list_trials(study).items)

    def trial(self) -> Trial:
        """The study's only one."""
        (trial,) = self.trials()
        return trial

    def wait_until_running(self, step: int = 0) -> Trial:
        """The first trial, once it runs and has reported this step."""

        def running() -> Trial | None:
            found = [trial for trial in self.trials() if trial.state is TrialState.RUNNING]
            return found[0] if found and (found[0].last_step or 0) >= step else None

        found: Trial = wait_until(running, f"a trial runs and has reported step {step}")
        return found

    def wait_until_ended(self, study: str = "s", seconds: float = 20.0) -> list[Trial]:
        """The trials of a study that ended by its budget."""
        has_ended = lambda: self.service.get_study(study).state is StudyState.COMPLETE  # noqa: E731
        wait_until(has_ended, f"study {study} ended", seconds)
        return self.trials(study)

    def traces(self, **having: Any) -> list[dict[str, Any]]:
        """What trials have traced with these keys and values (`...`: any), in order of time."""
        paths = sorted(self.traces_folder.glob("*.json"), key=lambda path: int(path.stem.split("-")[2]))
        traces = [json.loads(path.read_text()) for path in paths]
        return [
            trace
            for trace in traces
            if all(key in trace and value in (..., trace[key]) for key, value in having.items())
        ]

    def trace(self, **having: Any) -> dict[str, Any]:
        """The first such trace, waited for."""
        found: list[dict[str, Any]] = wait_until(lambda: self.traces(**having), f"a trace of {having}")
        return found[0]

    def options(self, **changes: Any) -> AgentOptions:
        defaults: dict[str, Any] = {
            "name": "w1",
            "objectives": PATHS,
            "grace_seconds": 5.0,
            "poll_seconds": 0.05,
            "workspace": self.workspace,
        }
        return AgentOptions(**defaults | changes)

    @contextmanager
    def agent(self, gateway: Gateway | None = None, **options: Any) -> Iterator["AgentThread"]:
        """An agent at work in a thread; stopped at the end, which raises its error, if `join` has not yet."""
        agent = AgentThread(Agent(gateway or self.service, self.options(**options)))
        try:
            yield agent
            agent.agent.stop()
            agent.join()
        finally:
            agent.agent.stop()
            agent.agent.stop()
            agent.thread.join(20)

    def start_process(self, **options: Any) -> "subprocess.Popen[bytes]":
        """An agent in a process group of its own, as `hpsearch worker` is one."""
        arguments = json.dumps({"name": "p1", "grace_seconds": 5.0, "poll_seconds": 0.05} | options)
        return zygote.start(
            ["tests.worker.agent_process", str(self.settings.home), str(self.workspace), arguments],
            cwd=Path(__file__).parent.parent.parent,
            env=os.environ | ({"HPSEARCH_DATABASE_URL": url} if (url := self.settings.database_url) else {}),
            start_new_session=True,
        )


class AgentThread:
    """An agent that runs in a thread."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.error: HpsearchError | None = None
        self.thread = threading.Thread(target=self._run, name="agent")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.agent.run()
        except HpsearchError as error:
            self.error = error

    def join(self, seconds: float = 20.0) -> None:
        """Wait for its end; raises what it raised, once."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the agent did not end"
        error, self.error = self.error, None
        if error is not None:
            raise error


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Where a test gives a parameter, it is the seconds of a lease."""
    lab = Lab(tmp_path, lease_seconds=getattr(request, "param", LEASE_SECONDS))
    yield lab
    lab.service.close()
    assert not lab.workspace.exists() or not list(lab.workspace.iterdir()), "something was left in the workspace"
