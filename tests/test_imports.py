"""The arrows of the house: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hpsearch"

SPECS = {"names", "objective_spec", "sampler_spec", "budget_spec", "pydantic_faults"}
SPACES = {"parameters", "conditions", "expressions", "constraints", "grids", "priors"}
OTHERS = {"pruner_spec", "automatic", "earlier", "insights", "optuna_port", "confirmation"}
VALUES = {"errors", "plain", "trials", "spec", "studies", "gateway"} | SPECS | SPACES | OTHERS
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "settings": set(),
    "plain": {"errors"},
    "pruner_spec": set(),  # the spec's pruners
    "parameters": {"errors"},
    "conditions": {"errors", "parameters"},
    "expressions": {"errors"},
    "constraints": {"errors", "parameters", "expressions"},
    "priors": {"errors", "parameters", "conditions"},
    "grids": {"errors", "parameters", "conditions", "constraints"},
    "names": set(),
    "objective_spec": {"names", "parameters"},
    "sampler_spec": {"parameters"},
    "budget_spec": {"parameters"},
    "pydantic_faults": {"errors", "names", "parameters"},
    "spec": {"errors", "plain", "pruner_spec"} | SPECS | SPACES,
    "trials": {"errors"},
    "automatic": {"spec", "sampler_spec", "pruner_spec"},
    "confirmation": {"trials"},
    "studies": {"errors", "spec", "automatic", "trials", "confirmation"},
    "gateway": {"errors", "objective_spec", "trials", "objectives"},
    "optuna_port": {"trials"},
    "earlier": {"trials"},
    "insights": {"errors", "trials", "earlier"},
    "objectives": {"errors", "trials", "expressions"},
    "search": {"errors", "spec", "trials"} | SPECS | SPACES | OTHERS,
    "optuna": VALUES | {"search", "client"},
    "store": VALUES,
    "figures": VALUES | {"search"},
    # the objective contract alone: what objectives publish of themselves, to check studies against
    "service": VALUES | {"settings", "search", "store", "objectives", "figures"},
    "api": VALUES | {"settings", "service", "objectives"},
    "client": VALUES | {"objectives"},
    "worker": {"errors", "trials", "spec", "gateway", "objectives"},
    "web": set(),
}
ONLY_CONTRACT = {"gateway", "service", "api", "client", "worker"}
CONTRACT = {"hpsearch.objectives.objective", "hpsearch.objectives.check"}
MAKES_OBJECTIVES = {"worker": {"hpsearch.objectives.own.loading"}}  # of users' functions
OWNERS = {  # a library, and the rooms that may know of it
    "optuna": {"search", "optuna"},
    "sqlalchemy": {"store", "service"},  # the service: one exception, a name that is taken
    "alembic": {"store"},
    "fastapi": {"api"},
    "uvicorn": {"api"},
    "httpx": {"client"},
    "torch": {"objectives"},
    "typer": {"cli"},
    "rich": {"cli"},
}


def _imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [path for path in PACKAGE.rglob("*.py") if _room(path) not in ("__init__", "cli", "__main__")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_what_the_design_allows(path: Path) -> None:
    room = _room(path)
    rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("hpsearch.") and name.count(".") >= 1}
    known = rooms & (ALLOWED.keys() | {"cli"})
    assert known <= ALLOWED[room] | {room}, f"{room} must not import {known - ALLOWED[room] - {room}}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    libraries = {name.split(".")[0] for name in _imports(path)}
    strangers = {library for library in libraries & OWNERS.keys() if _room(path) not in OWNERS[library]}
    assert not strangers


@pytest.mark.parametrize("room", sorted(ONLY_CONTRACT))
def test_objectives_are_known_by_their_contract_alone(room: str) -> None:
    files = [path for path in FILES if _room(path) == room]
    modules = {name for path in files for name in _imports(path) if name.startswith("hpsearch.objectives.")}
    allowed = CONTRACT | MAKES_OBJECTIVES.get(room, set())
    assert all(any(name == known or name.startswith(known + ".") for known in allowed) for name in modules)


@pytest.mark.parametrize("module", ["hpsearch.service", "hpsearch.api", "hpsearch.client", "hpsearch.worker.agent"])
def test_nothing_is_imported_at_the_start_that_few_studies_need(module: str) -> None:
    """Torch is for training alone; the others take a part of a second each, which every start would wait."""
    script = f"import {module}, sys; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert {"torch", "sklearn", "scipy.stats", "scipy.optimize", "plotly", "pandas"} & set(loaded) == set()
