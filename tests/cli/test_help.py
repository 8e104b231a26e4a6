"""What every command must be: quick to start, explained, and clear about wrong usage."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hpsearch import __version__
from tests.cli.conftest import Command

REPOSITORY = Path(__file__).parent.parent.parent
HEAVY = ["torch", "numpy", "sklearn", "fastapi", "uvicorn", "sqlalchemy", "alembic", "optuna"]
COMMANDS = [
    *(["run"], ["serve"], ["worker"], ["workers"], ["schema"], ["objective", "list"], ["objective", "show"]),
    *(["study", "create"], ["study", "list"], ["study", "show"], ["study", "watch"], ["study", "best"]),
    *(["study", "trials"], ["study", "export"], ["study", "enqueue"], ["study", "retry"], ["study", "extend"]),
    *(["study", "clone"], ["study", "importances"], ["study", "plot"], ["study", "report"]),
    *(["study", "model"], ["trial", "show"], ["trial", "replay"]),
    *(["rnn", "lr-range"], ["rnn", "attention"], ["rnn", "export"]),
    *(["study", "pause"], ["study", "resume"], ["study", "stop"], ["study", "delete"]),
]
IMPORTED = """
import sys
from hpsearch.cli import main
sys.argv = ["hpsearch", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def _imported_by(*arguments: str) -> set[str]:
    process = subprocess.run([sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, check=True)
    return set(process.stderr.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    found = _imported_by("--help")
    assert "hpsearch.cli.study" in found
    assert not found & {*HEAVY, "httpx", "pydantic", "pydantic_settings"}


def test_talking_to_a_server_imports_nothing_that_serves_or_trains() -> None:
    found = _imported_by("study", "list", "--server", "http://127.0.0.1:9")
    assert "httpx" in found
    assert not found & set(HEAVY)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(hpsearch: Command, command: list[str]) -> None:
    answer = hpsearch(*command, "--help")
    assert answer.code == 0
    assert f"hpsearch {' '.join(command)}" in answer.output


def test_the_version(hpsearch: Command) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert hpsearch("--version").output == f"{__version__}\n" == f"{project['version']}\n"


@pytest.mark.parametrize(
    "arguments",
    [["studie"], ["study", "shw", "x"], ["study", "show"], ["serve", "--port", "many"], ["worker", "--slots", "0"]],
    ids=" ".join,
)
def test_wrong_usage_is_told_and_ends_with_2(hpsearch: Command, arguments: list[str]) -> None:
    answer = hpsearch(*arguments)
    assert answer.code == 2
    assert answer.output == ""
    assert answer.complaints.startswith("Usage: ")


def test_the_schema_is_the_file_beside_the_studies(hpsearch: Command) -> None:
    """`hpsearch schema > studies/study.schema.json` makes it again."""
    answer = hpsearch("schema")
    assert answer.json["$schema"].endswith("2020-12/schema")
    assert (REPOSITORY / "studies" / "study.schema.json").read_text() == answer.output


@pytest.mark.parametrize("file", sorted((REPOSITORY / "studies").glob("*.yaml")), ids=lambda file: file.stem)
def test_study_files_name_the_schema_and_agree_with_it(file: Path) -> None:
    from jsonschema import Draft202012Validator

    from hpsearch.spec import load_study_file

    assert file.read_text().startswith("# yaml-language-server: $schema=study.schema.json\n")
    schema = json.loads((file.parent / "study.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(load_study_file(file))] == []
