"""The README tells what there is: every setting, every command, every error, and examples that are right."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hpsearch.cli.commands import app
from hpsearch.errors import error_tree, problem_type
from hpsearch.objectives.check import study_faults
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.settings import Settings
from hpsearch.spec import load_study_file, parse_study, study_schema

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


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
