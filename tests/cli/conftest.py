"""The command line as users meet it: in this process where it only talks, as real processes where it runs things."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpsearch.cli import main
from hpsearch.client import Client
from hpsearch.errors import Unavailable
from tests import zygote
from tests.waiting import wait_until

TOKEN = "a-token-of-the-tests"


class Shell:
    """Starts real `hpsearch` processes on one home, and ends them with the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
        self.environment["HPSEARCH_HOME"] = str(home)
        self._processes: list[subprocess.Popen[str]] = []
        self._clients: list[Client] = []

    def run(self, *arguments: str, seconds: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command, from its start to its end."""
        process = self.start(*arguments, **options)
        output, complaints = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(arguments, process.returncode, output, complaints)

    def start(self, *arguments: str, from_nothing: bool = False, **options: Any) -> subprocess.Popen[str]:
        """A command that goes on, in a process group of its own; with an interpreter of its own where that matters."""
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        options = {"text": True, "stdin": subprocess.DEVNULL, "start_new_session": True} | streams
        if from_nothing:
            process = subprocess.Popen([sys.executable, "-m", "hpsearch", *arguments], env=self.environment, **options)
        else:
            process = zygote.start(["hpsearch", *arguments], env=self.environment, **options)
        self._processes.append(process)
        return process

    def told_server(self) -> dict[str, Any] | None:
        """What the server of this home says of itself while it runs."""
        try:
            told: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        except FileNotFoundError:
            return None
        return told

    def server_url(self) -> str:
        """The URL of the server of this home, once it answers."""

        def answers() -> str | None:
            told = self.told_server()
            if told is None:
                return None
            try:
                with Client(told["url"], self.environment.get("HPSEARCH_TOKEN"), retries=0) as client:
                    client.objectives()
            except Unavailable:
                return None
            return str(told["url"])

        url: str = wait_until(answers, "a server of this home answers")
        return url

    def client(self) -> Client:
        """A client of the server of this home, once it answers."""
        self._clients.append(Client(self.server_url(), self.environment.get("HPSEARCH_TOKEN")))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "home")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real server that wants `TOKEN`, one for all tests of a file."""
    shell = Shell(tmp_path_factory.mktemp("server") / "home")
    shell.environment["HPSEARCH_TOKEN"] = TOKEN
    shell.start("serve", "--port", "0", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield shell.server_url()
    shell.close()


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    output: str
    complaints: str

    @property
    def rows(self) -> list[list[str]]:
        """A table as it comes out of a pipe, its head first."""
        return [line.split("\t") for line in self.output.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.output)


Command = Callable[..., Answer]


@pytest.fixture
def hpsearch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process, through the entry point, with nobody at the keyboard."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["hpsearch", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def connected(hpsearch: Command, server: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same, with the environment saying where the module's server is."""
    monkeypatch.setenv("HPSEARCH_SERVER", server)
    monkeypatch.setenv("HPSEARCH_TOKEN", TOKEN)
    return hpsearch


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server, TOKEN) as client:
        yield client
