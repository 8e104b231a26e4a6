"""`Dockerfile`: its stages, what it installs, and that it is not root who runs it."""

import re
import tomllib
from fnmatch import fnmatch
from typing import Any

import pytest

from hpsearch.settings import DEFAULT_PORT, Settings
from tests.deploy.conftest import REPOSITORY


@pytest.fixture(scope="module")
def stages() -> dict[str, list[tuple[str, str]]]:
    """Each stage's instructions, `FROM` first: (word, rest)."""
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            current = found.setdefault(rest.split(" AS ")[1], [])
        current.append((word, rest))
    return found


def _with_parents(stages: dict[str, list[tuple[str, str]]], name: str) -> list[tuple[str, str]]:
    """A stage's instructions after those of the stages that it stands on."""
    parent = stages[name][0][1].split(" AS ")[0]
    return (_with_parents(stages, parent) if parent in stages else []) + stages[name][1:]


def _copied_from(stages: dict[str, list[tuple[str, str]]], name: str) -> list[tuple[str, str]]:
    """The instructions of the stage whose environment an image takes."""
    (source,) = [re.findall(r"--from=(\S+)", rest)[0] for word, rest in stages[name] if word == "COPY"]
    return _with_parents(stages, source)


def test_compose_builds_its_targets(stages: dict[str, list[tuple[str, str]]], compose: dict[str, Any]) -> None:
    for name in ("server", "worker"):
        build = compose["services"][name]["build"]
        assert build["target"] in stages
        declared = {rest.split("=")[0] for word, rest in _copied_from(stages, name) if word == "ARG"}
        assert set(build.get("args", {})) <= declared
    assert list(stages)[-1] == "server"  # what a build without --target makes


@pytest.mark.parametrize("image", ["server", "worker"])
def test_images_run_as_somebody_and_start_hpsearch(stages: dict[str, list[tuple[str, str]]], image: str) -> None:
    steps = _with_parents(stages, image)
    assert [rest for word, rest in steps if word == "USER"] == ["hpsearch"]
    assert ("ENTRYPOINT", '["hpsearch"]') in steps
    names = {name for word, rest in steps if word == "ENV" for name in re.findall(r"HPSEARCH_(\w+)=", rest)}
    assert names <= {name.upper() for name in Settings.model_fields}


def test_the_server_carries_no_pytorch(stages: dict[str, list[tuple[str, str]]]) -> None:
    installs = [rest for word, rest in _copied_from(stages, "server") if word == "RUN" and "pip install" in rest]
    assert installs
    assert not any("[" in rest or "torch" in rest for rest in installs)


def test_the_worker_installs_extras_that_exist(stages: dict[str, list[tuple[str, str]]]) -> None:
    runs = " ".join(rest for word, rest in _copied_from(stages, "worker") if word == "RUN")
    (extras,) = re.findall(r"\.\[([\w,]+)\]", runs)
    known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "rnn" in extras.split(",")
    assert set(extras.split(",")) <= set(known)


def test_the_port(stages: dict[str, list[tuple[str, str]]]) -> None:
    assert ("EXPOSE", str(DEFAULT_PORT)) in stages["server"]


def test_python_is_one_that_the_project_takes() -> None:
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    (given,) = re.findall(r"ARG PYTHON_VERSION=3\.(\d+)", (REPOSITORY / "Dockerfile").read_text())
    assert int(given) >= int(wanted.removeprefix(">=3."))


def test_the_build_sees_what_it_installs_and_nothing_else() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert kept == needed | set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert all((REPOSITORY / name).exists() for name in kept)
    assert not any(fnmatch(name, pattern) for name in (".git", ".env") for pattern in kept)
