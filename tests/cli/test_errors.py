"""What goes wrong is said in one message, on standard error, with exit code 1; never as a traceback."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TOKEN, Command
from tests.conftest import toy_study


def test_every_fault_of_a_file_at_once(connected: Command, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "name: wrong\n"
        "objective: {name: rnn, metric: validation_accuracy, direction: maximize, settings: {dataset: digits}}\n"
        "space:\n"
        "  learning_rate: {type: float, low: 0.1, high: 0.01}\n"
        "  hiden_units: {type: int, low: 8, high: 32}\n"
        "sampler: {name: tpo}\n"
        "budget: {trials: 0}\n"
    )
    answer = connected("study", "create", str(file))
    assert (answer.code, answer.output) == (1, "")
    head, *faults = answer.complaints.splitlines()
    assert head == f"error: {len(faults)} faults"
    paths = {fault.split(":")[0].strip() for fault in faults}
    assert paths == {"space.learning_rate.high", "space.hiden_units", "sampler.name", "budget.trials"}
    assert "did you mean 'hidden_units'?" in answer.complaints
    assert "did you mean 'tpe'?" in answer.complaints


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read"),
        ("name: [unclosed", "is not YAML"),
        ("name: one\nname: two\n", "name"),
        ("just text", "object"),
        ("", "object"),
        ("\xff\xfe", "is not YAML"),
    ],
    ids=["missing", "broken", "key twice", "text", "empty", "binary"],
)
def test_files_that_are_no_studies(connected: Command, tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "study.yaml"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    answer = connected("study", "create", str(file))
    assert answer.code == 1
    assert complaint in answer.complaints
    assert "Traceback" not in answer.complaints


def test_run_checks_the_file_before_it_starts_anything(
    hpsearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "study.json"
    wrong = toy_study(objective={"name": "rnn", "metric": "validation_accurcy", "direction": "maximize"})
    file.write_text(json.dumps(wrong))
    answer = hpsearch("run", str(file))
    assert answer.code == 1
    assert "objective.metric" in answer.complaints
    assert "did you mean 'validation_accuracy'?" in answer.complaints
    assert not (tmp_path / "home").exists()


def test_a_study_that_is_not_there(connected: Command) -> None:
    answer = connected("study", "show", "nowhere")
    assert (answer.code, answer.output) == (1, "")
    assert answer.complaints.count("\n") == 1
    assert "nowhere" in answer.complaints


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("name", ["?x=1", "ä", " "])
def test_names_that_no_study_has(connected: Command, name: str, form: list[str]) -> None:
    answer = connected("study", "show", name, *form)
    assert (answer.code, answer.complaints) == (1, f"error: there is no study {name!r}\n")


@pytest.mark.parametrize("command", ["study show", "study best", "study delete", "study show --json", "objective show"])
@pytest.mark.parametrize("name", ["", "..", "../objectives", "a/b"])
def test_no_name_at_all(connected: Command, command: str, name: str) -> None:
    answer = connected(*command.split(), name)
    assert answer.code == 1
    assert answer.complaints.endswith(f": must be a name, not {name!r}\n")


def test_no_server(hpsearch: Command) -> None:
    answer = hpsearch("study", "list", "--server", "http://127.0.0.1:9")
    assert (answer.code, answer.output) == (1, "")
    assert "cannot be reached" in answer.complaints


def test_an_address_that_is_none(hpsearch: Command) -> None:
    answer = hpsearch("study", "list", "--server", "nonsense")
    assert answer.code == 1
    assert "missing an 'http://'" in answer.complaints


def test_the_token(hpsearch: Command, server: str) -> None:
    without = hpsearch("study", "list", "--server", server)
    assert without.code == 1
    assert "HPSEARCH_TOKEN" in without.complaints
    assert hpsearch("study", "list", "--server", server, "--token", "wrong").code == 1
    assert hpsearch("study", "list", "--server", server, "--token", TOKEN).code == 0


def test_a_setting_that_is_wrong(hpsearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_PORT", "many")
    answer = hpsearch("study", "list")
    assert answer.code == 1
    assert "port" in answer.complaints
    assert "Traceback" not in answer.complaints
