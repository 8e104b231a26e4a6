"""`docker-compose.yml`: of the right form, true to the program, and without a secret that works by default."""

import json
import re
import shlex
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for
from typer.main import get_command

from hpsearch.cli.commands import app
from hpsearch.settings import DEFAULT_PORT, Settings
from hpsearch.worker import agent
from tests.deploy.conftest import REPOSITORY

INTERPOLATION = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def _interpolated(value: str) -> str:
    """A value with the defaults that the file gives."""
    return INTERPOLATION.sub(lambda match: match[3] if match[2] == ":-" else "given", value)


def test_it_agrees_with_the_compose_specification(compose: dict[str, Any]) -> None:
    # published by compose-spec/compose-spec; check-jsonschema carries it, refreshed with every release
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    validator = validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)] == []


def test_secrets_come_from_the_environment_alone(compose: dict[str, Any], compose_text: str) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET|KEY", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name  # refused where it is unset or empty
    for name, kind, default in INTERPOLATION.findall(compose_text):
        assert kind in (":-", ":?"), name
        assert default, name
    assert not re.search(r"://[^/\s]*:[^/\s]*@", compose_text), "a password in a URL"


def test_its_variables_are_settings(compose_text: str) -> None:
    named = set(re.findall(r"HPSEARCH_(\w+)", compose_text))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_its_commands_are_the_programs(compose: dict[str, Any]) -> None:
    program: Any = get_command(app)
    for service in ("server", "worker"):
        command, *arguments = [_interpolated(part) for part in compose["services"][service]["command"]]
        program.commands[command].make_context(command, arguments).close()  # raises where an option is not known


def test_the_server_is_given_its_database(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import make_url

    server, database = compose["services"]["server"], compose["services"]["database"]
    for name, value in server["environment"].items():
        monkeypatch.setenv(name, _interpolated(value))
    url = make_url(Settings().sqlalchemy_url)
    assert (url.host, url.username, url.database) == (
        "database",
        *[database["environment"][f"POSTGRES_{part}"] for part in ("USER", "DB")],
    )
    assert url.password is None  # libpq takes PGPASSWORD
    assert server["environment"]["PGPASSWORD"] == database["environment"]["POSTGRES_PASSWORD"]


def test_the_database_keeps_its_data(compose: dict[str, Any]) -> None:
    """From 18 on the image refuses a volume at /var/lib/postgresql/data."""
    database = compose["services"]["database"]
    assert database["image"] == "postgres:18"
    assert database["volumes"] == ["database:/var/lib/postgresql"]


def test_workers_scale(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert all(volume.endswith(":ro") for volume in worker["volumes"])
    assert worker["environment"]["HPSEARCH_SERVER"] == f"http://server:{DEFAULT_PORT}"


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service, needed in (("server", "database"), ("worker", "server")):
        assert services[service]["depends_on"] == {needed: {"condition": "service_healthy"}}
        assert services[needed]["healthcheck"]["test"][0] == "CMD"


def test_a_worker_has_time_to_hand_its_trials_back(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    grace = float(worker["environment"]["HPSEARCH_GRACE_SECONDS"])
    assert _seconds(worker["stop_grace_period"]) > grace + agent.HAND_BACK_SECONDS + agent.LAST_WORDS_SECONDS


def test_every_port_is_the_default_one(compose: dict[str, Any], compose_text: str) -> None:
    assert [_interpolated(port) for port in compose["services"]["server"]["ports"]] == [
        f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"  # others are let in by name only
    ]
    assert set(re.findall(r"\b8\d{3}\b", compose_text)) == {str(DEFAULT_PORT)}


def test_the_server_is_healthy_when_it_is_ready(compose: dict[str, Any], tmp_path: Path) -> None:
    """The health check itself, run against a real server, and against none."""
    _, _, *check = compose["services"]["server"]["healthcheck"]["test"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "serve", "--port", "0", "--home", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        port = process.stdout.readline().split("http://127.0.0.1:")[1].split(" ")[0]
        here = [sys.executable, *(part.replace(f":{DEFAULT_PORT}", f":{port}") for part in check)]
        assert subprocess.run(here, capture_output=True, check=False).returncode == 0, shlex.join(here)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert subprocess.run(here, capture_output=True, check=False).returncode != 0


def test_the_readme_names_what_must_be_set(compose_text: str) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for name, kind, _ in INTERPOLATION.findall(compose_text):
        if kind == ":?":
            assert name in readme
