"""`hpsearch serve` and `hpsearch worker`, as processes."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from hpsearch.client import Client
from hpsearch.errors import Unauthorized
from tests.cli.conftest import Command, Shell
from tests.waiting import wait_until


def _lines(stream: IO[str] | None, count: int) -> list[str]:
    assert stream
    return [stream.readline() for _ in range(count)]


def test_serve_says_where_and_ends_cleanly(shell: Shell) -> None:
    process = shell.start("serve", "--port", "0", "--home", str(shell.home), from_nothing=True)
    (line,) = _lines(process.stdout, 1)
    url = shell.server_url()
    assert line == f"hpsearch serves on {url} (documentation: {url}/docs)\n"
    assert shell.told_server() == {"url": url, "pid": process.pid}
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert shell.told_server() is None


def test_ctrl_c_ends_a_server_that_somebody_waits_on(shell: Shell, running_server: str) -> None:
    with socket.create_connection(("127.0.0.1", int(running_server.rsplit(":", 1)[1]))) as waiting:
        waiting.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")  # never sent to its end
        process = shell.told_server()
        assert process
        os.kill(process["pid"], signal.SIGINT)
        wait_until(lambda: shell.told_server() is None, "the server has gone", 15)


@pytest.fixture
def running_server(shell: Shell) -> str:
    shell.start("serve", "--port", "0")
    return shell.server_url()


def test_serve_refuses_to_be_open_by_accident(shell: Shell) -> None:
    process = shell.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert process.returncode == 1
    assert "HPSEARCH_TOKEN" in process.stderr
    assert "Traceback" not in process.stderr


def test_serve_with_a_token_wants_it(shell: Shell) -> None:
    shell.environment["HPSEARCH_TOKEN"] = "secret"
    shell.start("serve", "--port", "0", "--host", "0.0.0.0")
    url = shell.server_url().replace("0.0.0.0", "127.0.0.1")
    with Client(url, "secret") as client:
        assert list(client.studies()) == []
    with Client(url) as client, pytest.raises(Unauthorized):
        list(client.studies())


def test_serve_on_a_port_that_is_taken(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = shell.run("serve", "--port", str(port))
    assert process.returncode == 1
    assert f"port {port}" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_second_server_on_one_sqlite_file_says_so(shell: Shell) -> None:
    first = shell.start("serve", "--port", "0", stderr=subprocess.DEVNULL)
    url = shell.server_url()
    second = shell.start("serve", "--port", "0")
    wait_until(lambda: (shell.told_server() or {}).get("pid") == second.pid, "the second one serves")
    for process in (first, second):
        process.kill()
    _, complaints = second.communicate()
    assert f"a server on {url} (process {first.pid}) uses {shell.home / 'hpsearch.db'} already" in complaints
    first.wait()
    third = shell.start("serve", "--port", "0")
    wait_until(lambda: (shell.told_server() or {}).get("pid") == third.pid, "the third one serves")
    third.send_signal(signal.SIGTERM)
    _, complaints = third.communicate(timeout=20)
    assert "already" not in complaints


def test_serve_without_its_database(shell: Shell) -> None:
    process = shell.run("serve", "--port", "0", "--database-url", "postgresql://nobody@127.0.0.1:9/none")
    assert process.returncode == 1
    assert process.stderr.startswith("error: ") or "\nerror: " in process.stderr
    assert "Traceback" not in process.stderr


def test_a_worker_registers_and_ends_cleanly(shell: Shell, running_server: str) -> None:
    worker = shell.start("worker", "--server", running_server, "--slots", "2", "--name", "box-1", from_nothing=True)
    with Client(running_server) as client:
        (known,) = wait_until(lambda: list(client.workers()), "the worker registers")
    assert (known.name, known.slots, known.objectives, known.pid) == ("box-1", 2, ("rnn",), worker.pid)
    worker.send_signal(signal.SIGTERM)
    _, complaints = worker.communicate(timeout=30)
    assert worker.returncode == 0, complaints
    assert "Traceback" not in complaints


def test_two_workers_without_names_are_two(shell: Shell, running_server: str) -> None:
    for _ in range(2):
        shell.start("worker", "--server", running_server, "--slots", "1")
    with Client(running_server) as client:
        wait_until(lambda: len(list(client.workers())) == 2, "both register")


def test_a_worker_waits_for_its_server(shell: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = shell.start("worker", "--server", f"http://127.0.0.1:{port}", "--slots", "1", stderr=subprocess.PIPE)
    wait_until(lambda: _lines(worker.stderr, 1) != [""], "the worker says that nobody is there")
    assert worker.poll() is None
    shell.start("serve", "--port", str(port))
    with Client(shell.server_url()) as client:
        wait_until(lambda: list(client.workers()), "the worker registers")


def test_a_worker_with_a_wrong_token_ends(shell: Shell) -> None:
    shell.environment["HPSEARCH_TOKEN"] = "right"
    shell.start("serve", "--port", "0")
    process = shell.run("worker", "--server", shell.server_url(), "--token", "wrong", "--slots", "1")
    assert process.returncode == 1
    assert "token" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_worker_without_pytorch_says_what_to_install(
    hpsearch: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find: Callable[..., object] = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    monkeypatch.delitem(__import__("sys").modules, "hpsearch.cli.worker", raising=False)
    answer = hpsearch("worker", "--server", "http://127.0.0.1:9")
    assert answer.code == 1
    assert "pip install 'hpsearch[rnn]'" in answer.complaints
