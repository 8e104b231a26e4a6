"""The README tells what there is: every setting, every command, every error, and examples that are right."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hpsearch.cli.commands import app
from hpsearch.errors import error_tree, problem_type
from hpsearch.objectives.check import study_faults, with_declared_space
from hpsearch.objectives.own.signature import signature_of
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.settings import Settings
from hpsearch.spec import load_study_file, parse_study, study_schema

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
OWN_STUDIES = sorted((ROOT / "studies" / "own").glob("*.yaml"))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_told_with_its_default(name: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `HPSEARCH_{name.upper()}` |"))
    default = Settings.model_fields[name].default
    if isinstance(default, int | float | str):
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert f"`{shown}`" in row


def _commands(group: Any, path: str) -> list[str]:
    return [f"{path} {command.name or command.callback.__name__}" for command in group.registered_commands]


COMMANDS = _commands(app, "hpsearch")
GROUPS = {group.typer_instance.info.name: group.typer_instance for group in app.registered_groups}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_told(command: str) -> None:
    assert f"`{command}" in README


@pytest.mark.parametrize("group", sorted(map(str, GROUPS)))
def test_every_subcommand_is_told(group: str) -> None:
    rows = " ".join(line for line in README.splitlines() if line.startswith(f"| `hpsearch {group} "))
    for command in _commands(GROUPS[group], ""):
        assert re.search(rf"[` ]{command.strip()}[` ]", rows), command


@pytest.mark.parametrize("error", [error for error in error_tree() if error.__module__ == "hpsearch.errors"])
def test_every_error_is_told(error: Any) -> None:
    assert f"`{problem_type(error)}`" in README


def test_the_example_study_is_right() -> None:
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "objective:" in block)
    raw = YAML(typ="safe", pure=True).load(example)
    parse_study(raw, study_faults(raw, {INFO.name: INFO}))


def test_the_example_of_a_space_is_right() -> None:
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "when:" in block)
    raw = YAML(typ="safe", pure=True).load(example)
    settings = {"dataset": "digits"}
    raw["objective"] = {"name": "rnn", "metric": "validation_loss", "direction": "minimize", "settings": settings}
    spec = parse_study({**raw, "name": "example", "budget": {"trials": 9}}, study_faults(raw, {INFO.name: INFO}))
    assert len(spec.limits.of_parameters) == len(spec.limits.of_metrics) == 1


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_study_file_is_right_and_names_its_schema(path: Path) -> None:
    raw = load_study_file(path)
    spec = parse_study(raw, study_faults(raw, {INFO.name: INFO}))
    assert spec.name == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=study.schema.json\n")


def test_the_editors_schema_is_the_codes() -> None:
    assert load_study_file(ROOT / "studies" / "study.schema.json") == study_schema()


def test_the_example_of_an_own_objective_runs(tmp_path: Path) -> None:
    function = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "def forest" in block)
    study = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "tuning.forest" in block)
    command = next(block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "tuning:forest" in block)
    (tmp_path / "tuning.py").write_text(function)
    (tmp_path / "forest.yaml").write_text(study.replace("trials: 20", "trials: 3"))
    environment = os.environ | {"HPSEARCH_HOME": str(tmp_path / "home"), "HPSEARCH_PORT": "0"}
    process = subprocess.run(
        [sys.executable, "-m", *command.split(), "--slots", "1"],
        check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    assert "all 3 trials are finished" in process.stdout


@pytest.mark.parametrize("path", OWN_STUDIES, ids=lambda path: path.name)
def test_every_study_file_of_an_own_objective_is_right(path: Path) -> None:
    raw = load_study_file(path)
    module, function = raw["objective"]["name"].split(".")
    info = own_info(path.parent / f"{module}.py", function)
    known = {raw["objective"]["name"]: info}
    raw = with_declared_space(raw, known)
    assert parse_study(raw, study_faults(raw, known)).name == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=../study.schema.json\n")


def own_info(path: Path, function: str) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, function)
    return signature_of("own", found() if isinstance(found, type) else found, "").info


def test_the_ask_and_tell_example_runs(tmp_path: Path) -> None:
    from hpsearch.service import Service
    from tests.servers import serving

    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "study.ask()" in block)
    settings = Settings(home=tmp_path)
    service = Service(settings)
    service.open(reaper=False)
    with serving(service, settings) as url:
        names: dict[str, Any] = {}
        exec(example.replace("http://127.0.0.1:8421", url), names)
        names["client"].close()
    assert service.get_study("mine").counts.finished == 30
    service.close()
