"""`hpsearch run`: from a study file to its best trials."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np

from tests.cli.conftest import Shell
from tests.cli.runs import QUICK, running, started_study, write_study
from tests.waiting import wait_until


def test_from_the_file_to_the_best_trials(shell: Shell, tmp_path: Path) -> None:
    file = write_study(tmp_path, 6)
    process = shell.run("run", str(file), "--slots", "2", "--port", "0", seconds=120, from_nothing=True)
    assert process.returncode == 0, process.stdout + process.stderr
    lines = process.stdout.splitlines()
    assert re.fullmatch(r"tiny on http://127\.0\.0\.1:\d+; poll its best trial with", lines[0])
    assert re.fullmatch(r"  curl 'http://127\.0\.0\.1:\d+/api/v1/studies/tiny/best'", lines[1])
    assert any(re.match(r"\d/6 trials, \d running, 0 pruned, 0 failed; ", line) for line in lines)
    head = next(number for number, line in enumerate(lines) if line.startswith("trial\t"))
    columns = lines[head].split("\t")
    assert columns[:4] == ["trial", "validation_accuracy", "test_accuracy", "test_loss"]  # not all that was measured
    assert {"learning_rate", "hidden_units"} <= set(columns[4:])
    assert not any(name.startswith("test_") for name in columns[4:])
    best = [float(line.split("\t")[1]) for line in lines[head + 1 : head + 6]]
    assert best == sorted(best, reverse=True)
    assert "curl 'http://127.0.0.1:" in lines[-1]
    assert shell.told_server() is None

    # once more: the same table at once, without a worker
    (shell.home / "logs" / "worker.log").unlink()
    again = shell.run(*running(file))
    assert again.returncode == 0
    assert again.stdout.splitlines()[-8:-1] == lines[-8:-1]
    assert not (shell.home / "logs" / "worker.log").exists()


def test_a_study_of_several_metrics_ends_with_its_front(shell: Shell, tmp_path: Path) -> None:
    metrics = {"validation_accuracy": "maximize", "model_parameters": "minimize"}
    objective = {"name": "rnn", "metrics": metrics, "settings": QUICK}
    process = shell.run(*running(write_study(tmp_path, 4, objective=objective, sampler={"name": "tpe"})), seconds=120)
    assert process.returncode == 0, process.stdout + process.stderr
    lines = process.stdout.splitlines()
    head = lines.index("\ttrial\tvalidation_accuracy\tmodel_parameters\tparameters")
    rows = [line.split("\t") for line in lines[head + 1 :] if line.count("\t") == 4]
    assert 1 <= len(rows) <= 4
    assert [row[0] for row in rows].count("*") == 1
    assert f"{len(rows)} of 4 trials that no other beats in every metric" in lines
    assert "curl 'http://127.0.0.1:" in lines[-1]
    assert lines[-1].endswith("/api/v1/studies/tiny/pareto'")

    shell.start("serve", "--port", "0")
    url = shell.server_url()
    told = shell.run("study", "pareto", "tiny", "--server", url, "--weight", "model_parameters=0", "--json")
    front = json.loads(told.stdout)
    assert [str(trial["number"]) for trial in front["trials"]] == [row[1] for row in rows]
    assert front["chosen"] == front["trials"][0]["number"]  # the most accurate one
    wrong = shell.run("study", "pareto", "tiny", "--server", url, "--weight", "model_parameter=2")
    assert (wrong.returncode, "did you mean 'model_parameters'" in wrong.stderr) == (1, True)
    best = shell.run("study", "best", "tiny", "--server", url)
    assert "hpsearch study pareto tiny" in best.stdout
    took = shell.run("study", "model", "tiny", "--server", url, "--to", str(tmp_path / "model"))
    assert took.returncode == 0, took.stderr
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_a_study_whose_trials_failed_says_why(shell: Shell, tmp_path: Path) -> None:
    process = shell.run(*running(write_study(tmp_path, 2, QUICK | {"dataset": "nothing.npz"})), seconds=120)
    assert process.returncode == 1, process.stdout + process.stderr
    assert "there is no best trial: no trial is complete\n" in process.stdout
    assert "2 failed: " in process.stdout
    assert "there is no file 'nothing.npz'" in process.stdout
    assert "trial\tvalidation_accuracy" not in process.stdout


def test_on_a_terminal_it_draws(shell: Shell, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    shell.environment |= {"COLUMNS": "160", "LINES": "50", "TERM": "xterm"}
    process = shell.start(*running(write_study(tmp_path, 2)), stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    drawn = ""
    while True:
        try:
            drawn += os.read(ours, 65536).decode(errors="replace")
        except OSError:  # the other side has closed
            break
    os.close(ours)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    for part in ("2/2", "best validation_accuracy", "trials/min", "━"):
        assert part in drawn


def test_a_server_of_the_same_home_is_used_and_data_beside_the_file_are_found(shell: Shell, tmp_path: Path) -> None:
    server = shell.start("serve", "--port", "0")
    client = shell.client()
    folder = tmp_path / "mine"
    folder.mkdir()
    labels = np.arange(90) % 3
    series = np.random.default_rng(0).normal(size=(90, 12, 2)) + labels[:, None, None]
    np.savez(folder / "mine.npz", x=series, y=labels)
    process = shell.run(*running(write_study(folder, 1, QUICK | {"dataset": "mine.npz"})), seconds=120)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.startswith(f"tiny on {shell.server_url()};")
    assert server.poll() is None
    assert client.study("tiny").info.counts.complete == 1


def test_a_server_of_another_home_is_not_used_and_ours_goes_on_where_asked(shell: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path / "other")
    try:
        other.start("serve", "--port", "0")
        port = other.server_url().rsplit(":", 1)[1]
        process = shell.start("run", str(write_study(tmp_path, 1)), "--slots", "1", "--port", port, "--keep-serving")
        study = started_study(shell)
        assert not shell.server_url().endswith(f":{port}")
        study.wait(timeout=60)
        stream = process.stdout
        assert stream
        wait_until(lambda: "until Ctrl-C" in stream.readline(), "it says so")
        assert study.refresh().state == "complete"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert shell.told_server() is None
        assert list(other.client().studies()) == []
    finally:
        other.close()


def test_another_study_of_the_same_name(shell: Shell, tmp_path: Path) -> None:
    shell.start("serve", "--port", "0")
    shell.client().create_study(write_study(tmp_path, 1))
    process = shell.run(*running(write_study(tmp_path, 1, seed=7)))
    assert process.returncode == 1
    assert "hpsearch study delete tiny" in process.stderr
    assert "Traceback" not in process.stderr


def test_runs_that_start_together_want_one_port_and_both_get_a_server(shell: Shell, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file, processes = write_study(tmp_path, 1), []
    for home in ("one", "two"):
        command = ["run", str(file), "--slots", "1", "--port", str(port), "--home", str(tmp_path / home)]
        processes.append(shell.start(*command))
    for process in processes:
        output, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, output + complaints
