"""`hpsearch study model`: a trial's model taken home, whole or not at all."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpsearch.gateway import Registration
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.trials import Result, TrialState
from tests.cli.conftest import Command
from tests.conftest import TOY, new_sqlite_database, toy_study
from tests.servers import serving

MODEL = {
    "format": 2,
    "task": "classification",
    "architecture": {"cell": "gru", "layers": [29, 29], "bidirectional": False},
    "classes": ["low", "high"],
    "features": ["pressure|bar", "flow"],
    "parameters": {"x": 1.0, "file": "valves.csv", "size": 1, "dataset": "valves.csv"},
    "versions": {"hpsearch": "0.1.0", "torch": "2.13.0"},
    "seed": 1,
}
METRICS = {
    "train_rmse": 0.125,
    "validation_rmse": 0.25,
    "test_rmse": 0.5,
    "test_naive_rmse": 2.0,
    "test_seasonal_naive_rmse": 1.5,
    "epochs": 12.0,
}


class Shelf:
    """A server with a study whose trials keep what a test says."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder
        service.create_study(toy_study(description="How deep the bowl is.", seed=3, max_attempts=1))
        service.register(
            Registration(name="box", session="s", host="here", pid=1, slots=1, objectives=("toy",), version="0")
        )

    def tell(self, value: float | None, files: dict[str, bytes], metrics: dict[str, float] | None = None) -> None:
        """One more trial: pruned without a value."""
        (assignment,) = self.service.claim("box", "s", [], 1)
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
            self.service.put_artifact(assignment.lease, name, self.folder / name)
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        values = None if value is None else (value,)
        reason = "hopeless" if value is None else None
        result = Result(lease=assignment.lease, state=state, values=values, metrics=metrics or {}, reason=reason)
        self.service.tell([result])


def model_files(weights: bytes) -> dict[str, bytes]:
    return {
        "model.safetensors": weights,
        "model.json": json.dumps(MODEL).encode(),
        "checkpoint.safetensors": b"of no use",
    }


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    settings = Settings(home=new_sqlite_database(tmp_path / "home"))
    service = Service(settings, [TOY])
    service.open(reaper=False)
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with serving(service, settings) as url:
        monkeypatch.setenv("HPSEARCH_SERVER", url)
        yield Shelf(service, uploads)
    service.close()


@pytest.fixture
def filled(shelf: Shelf) -> Shelf:
    """Trials 0 (value 2), 1 (value 1, the best) and 2 (pruned)."""
    shelf.tell(2.0, model_files(b"of trial 0"), {"test_rmse": 4.0})
    shelf.tell(1.0, model_files(b"of trial 1"), METRICS)
    shelf.tell(None, {})
    return shelf


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in ("home", "uploads")]


def test_the_best_trials_model(hpsearch: Command, filled: Shelf, tmp_path: Path) -> None:
    to = tmp_path / "a" / "model"
    answer = hpsearch("study", "model", "bowl", "--to", str(to))
    assert answer.code == 0, answer.complaints
    assert answer.output == (
        f"bowl: the model of trial 1 (value 1) is in {to}: card.md, model.json, model.safetensors\n"
    )
    files = content(to)
    assert sorted(files) == ["card.md", "model.json", "model.safetensors"]
    assert files["model.safetensors"] == b"of trial 1"
    assert json.loads(files["model.json"]) == MODEL
    assert left_over(to.parent) == ["model"]


def test_another_trials_model(hpsearch: Command, filled: Shelf, tmp_path: Path) -> None:
    to = tmp_path / "model"
    to.mkdir()  # an empty folder may be there
    assert hpsearch("study", "model", "bowl", "--to", str(to), "--trial", "0").code == 0
    assert (to / "model.safetensors").read_bytes() == b"of trial 0"
    card = (to / "card.md").read_text()
    assert "# bowl, trial 0\n" in card
    assert "the best one" not in card


def test_the_card_says_what_is_known(hpsearch: Command, filled: Shelf, tmp_path: Path) -> None:
    assert hpsearch("study", "model", "bowl", "--to", str(tmp_path / "model")).code == 0
    card = (tmp_path / "model" / "card.md").read_text()
    trial = filled.service.get_trial("bowl", 1)
    lines = card.splitlines()
    assert lines[0] == "# bowl, trial 1"
    assert "How deep the bowl is." in lines
    for row in (
        "| task | classification |",
        "| data set | valves.csv |",
        r"| features | pressure\|bar, flow |",
        "| classes | low, high |",
        "| architecture | cell gru, layers [29, 29] |",
        "| study | bowl |",
        "| trial | 1 (complete) |",
        "| searched | depth (minimize), by random |",
        "| value | 1 |",
        f"| seed | {trial.seed} |",
        "| attempts | 1 |",
        "| trained on | box |",
        "| hpsearch | 0.1.0 |",
        "| torch | 2.13.0 |",
        "| made again by | `hpsearch trial replay bowl 1` |",
        f"| `x` | {trial.parameters['x']} | searched |",
        "| `size` | 1 | default |",
        "|  | train | validation | test |",
        "| rmse | 0.125 | 0.25 | 0.5 |",
        "| naive_rmse | 2 |",
        "| seasonal_naive_rmse | 1.5 |",
        "| epochs | 12 |",
    ):
        assert row in lines, row
    assert lines.index("## Metrics") < lines.index("| rmse | 0.125 | 0.25 | 0.5 |") < lines.index("## Baselines")
    assert lines.index("## Baselines") < lines.index("| naive_rmse | 2 |")
    assert 'model = hpsearch.load_model("model/")' in lines


def test_a_card_of_any_objective(hpsearch: Command, shelf: Shelf, tmp_path: Path) -> None:
    shelf.tell(1.0, {"tree.bin": b"wood"})
    assert hpsearch("study", "model", "bowl", "--to", str(tmp_path / "tree")).code == 0
    assert sorted(content(tmp_path / "tree")) == ["card.md", "tree.bin"]
    card = (tmp_path / "tree" / "card.md").read_text()
    assert "| `tree.bin` | 4 | " in card
    for unknown in ("None", "task", "load_model", "## Metrics", "## Baselines"):
        assert unknown not in card


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bowl", "--trial", "2"], "error: trial 2 of 'bowl' has no model: it is pruned (hopeless)"),
        (["bowl", "--trial", "9"], "error: study 'bowl' has no trial 9"),
        (["bowel"], "error: there is no study 'bowel'"),
    ],
)
def test_there_is_no_such_model(
    hpsearch: Command, filled: Shelf, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    answer = hpsearch("study", "model", *arguments, "--to", str(tmp_path / "model"))
    assert (answer.code, answer.output) == (1, "")
    assert answer.complaints.startswith(complaint)
    assert left_over(tmp_path) == []


def test_there_is_no_best_trial_yet(hpsearch: Command, shelf: Shelf, tmp_path: Path) -> None:
    answer = hpsearch("study", "model", "bowl", "--to", str(tmp_path / "model"))
    assert answer.code == 1
    assert answer.complaints == "error: study 'bowl' has no complete trial yet (it is running)\n"


def test_a_former_model_is_replaced_only_at_a_word(hpsearch: Command, filled: Shelf, tmp_path: Path) -> None:
    to = tmp_path / "model"
    assert hpsearch("study", "model", "bowl", "--to", str(to), "--trial", "0").code == 0
    (to / "tokenizer.json").write_text("of a former model")
    answer = hpsearch("study", "model", "bowl", "--to", str(to))
    assert answer.code == 1
    assert "is not empty; --force" in answer.complaints
    assert (to / "model.safetensors").read_bytes() == b"of trial 0"
    assert hpsearch("study", "model", "bowl", "--to", str(to), "--force").code == 0
    assert sorted(content(to)) == ["card.md", "model.json", "model.safetensors"]
    assert (to / "model.safetensors").read_bytes() == b"of trial 1"
    assert left_over(tmp_path) == ["model"]


def test_what_is_no_model_is_never_replaced(
    hpsearch: Command, filled: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    for to, complaint in ((file, "is no folder"), (folder, "holds something else than a model")):
        answer = hpsearch("study", "model", "bowl", "--to", str(to), "--force")
        assert answer.code == 1
        assert complaint in answer.complaints
    monkeypatch.chdir(folder)
    answer = hpsearch("study", "model", "bowl", "--to", ".", "--force")
    assert "a folder of its own" in answer.complaints
    assert (file.read_text(), content(folder)) == ("mine", {"thesis.tex": b"mine"})


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writing goes on to `size` bytes a file and no further, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("is_there", [False, True])
def test_a_disk_that_fills_up_leaves_nothing_half_done(
    hpsearch: Command, shelf: Shelf, tmp_path: Path, is_there: bool
) -> None:
    to, arguments = tmp_path / "model", ["study", "model", "bowl", "--to", str(tmp_path / "model")]
    shelf.tell(2.0, model_files(b"small"))
    before: dict[str, Any] = {}
    if is_there:
        assert hpsearch(*arguments).code == 0
        before = content(to)
        arguments += ["--force"]
    shelf.tell(1.0, model_files(bytes(300_000)))
    with files_limited_to(200_000):
        answer = hpsearch(*arguments)
    assert answer.code == 1
    assert answer.complaints == f"error: {to} cannot be written: File too large\n"
    assert left_over(tmp_path) == (["model"] if is_there else [])
    if is_there:
        assert content(to) == before
