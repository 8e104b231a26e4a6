"""Users' functions as objectives: what they declare, how they are found, what they are handed and may return."""

import math
import random
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch import Categorical, Context, Float, HandedBack, Int, Pruned
from hpsearch.errors import ConfigurationError, InvalidInput, LeaseLost
from hpsearch.objectives.check import study_faults, with_declared_space
from hpsearch.objectives.objective import TrialContext, TrialResult
from hpsearch.objectives.own.loading import load_own
from hpsearch.objectives.own.objective import OwnObjective
from hpsearch.objectives.own.signature import signature_of
from hpsearch.spec import parse_study
from hpsearch.trials import Decision, Metrics


class Trial:
    """A trial's context that writes down what it is told; `decisions` are its answers, CONTINUE after them."""

    def __init__(self, folder: Path, *decisions: Decision, **fields: Any) -> None:
        self.reports: list[tuple[int, float, Metrics]] = []
        self.files: dict[str, bytes] = {}
        self._decisions = list(decisions)
        folder.mkdir(exist_ok=True)
        self.context = TrialContext(
            seed=2**62 + 5,
            metric="score",
            direction="maximize",
            workspace=folder,
            data_roots=(),
            report=self._report,
            save_artifact=self._save,
            study="s",
            number=3,
        )
        self.context = replace(self.context, **fields)

    def _report(self, step: int, value: float, metrics: Metrics) -> Decision:
        self.reports.append((step, value, metrics))
        return self._decisions.pop(0) if self._decisions else Decision.CONTINUE

    def _save(self, name: str, path: Path) -> None:
        self.files[name] = path.read_bytes()


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "workspace")


def objective(function: Callable[..., Any]) -> OwnObjective:
    return OwnObjective(function, signature_of("mine", function, function.__doc__))


# --- what is declared ------------------------------------------------------------------------------------------------


def everything(
    rate: Annotated[float, Float(1e-5, 1e-1, log=True), "the step size"],
    units: Annotated[int, Int(8, 64, step=8)] = 16,
    cell: Annotated[str | None, Categorical("lstm", "gru", None)] = None,
    mode: Literal["fast", "slow"] = "fast",
    depth: int | None = None,
    share: float = 1,
    is_wide: bool = False,
    steps=3,
    helper=len,
    *,
    context: Context,
) -> float:
    """Does it all.

    And more."""
    return 0.0


def test_type_hints_declare_parameters_and_what_is_searched() -> None:
    info = signature_of("mine", everything, everything.__doc__).info
    assert (info.name, info.description, info.metrics, info.open) == ("mine", "Does it all.", (), False)
    found = {item.name: item for item in info.parameters}
    assert list(found) == ["rate", "units", "cell", "mode", "depth", "share", "is_wide", "steps"]
    assert [name for name, item in found.items() if item.required] == ["rate"]
    assert (found["rate"].low, found["rate"].high, found["rate"].meaning) == (1e-5, 1e-1, "the step size")
    assert found["units"].space == {"type": "int", "low": 8, "high": 64, "log": False, "step": 8}
    assert (found["cell"].choices, found["cell"].nullable) == (("lstm", "gru"), True)
    assert [name for name, item in found.items() if item.space] == ["rate", "units", "cell"]
    assert (found["depth"].type, found["depth"].nullable, found["depth"].default) == ("int", True, None)
    assert (found["share"].type, found["share"].default, type(found["share"].default)) == ("float", 1.0, float)
    assert (found["is_wide"].type, found["steps"].type) == ("bool", "int")


def study(**changes: Any) -> dict[str, Any]:
    described = {
        "name": "s",
        "objective": {"name": "mine", "metric": "score", "direction": "maximize"},
        "budget": {"trials": 3},
    }
    return described | changes


def test_a_study_without_a_space_searches_what_is_declared() -> None:
    known = {"mine": signature_of("mine", everything, "").info}
    for empty in ({}, {"space": {}}, {"space": None}):
        raw = with_declared_space(study(**empty), known)
        spec = parse_study(raw, study_faults(raw, known))
        assert {name: item.type for name, item in spec.space.items()} == {
            "rate": "float",
            "units": "int",
            "cell": "categorical",
        }
    fixed = study(objective=study()["objective"] | {"settings": {"units": 32}})
    assert set(with_declared_space(fixed, known)["space"]) == {"rate", "cell"}  # type: ignore[index]
    own = study(space={"rate": {"type": "float", "low": 0.01, "high": 0.1}})
    assert with_declared_space(own, known) == own


def test_a_study_is_checked_against_what_is_declared() -> None:
    known = {"mine": signature_of("mine", everything, "").info}
    space = {
        "rate": {"type": "float", "low": 0.01, "high": 1.0},
        "mode": {"type": "categorical", "choices": ["fast", "slw"]},
        "unitz": {"type": "int", "low": 8, "high": 16},
    }
    objective = study()["objective"] | {"settings": {"is_wide": 1}}
    faults = {fault.path: fault for fault in study_faults(study(space=space, objective=objective), known)}
    assert faults.keys() == {"space.rate.high", "space.mode.choices.1", "space.unitz", "objective.settings.is_wide"}
    assert faults["space.unitz"].suggestion == "units"
    missing = study(space={"units": {"type": "int", "low": 8, "high": 16}})
    assert [fault.path for fault in study_faults(missing, known)] == ["objective.settings.rate"]


def no_hint(trial): ...
def list_hint(x: list[int]): ...
def bad_default(x: Annotated[int, Int(1, 5)] = 9): ...
def range_as_default(x: float = Float(0, 1)): ...  # type: ignore[assignment]
def mixed_up(x: Annotated[str, Float(0, 1)]): ...
def range_without_ends(x: Annotated[float, Float]): ...
def positional(x: float, /): ...
def many(*x: float): ...
def untyped_none(x=None): ...
def undefined(x: "Nowhere"): ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (no_hint, "parameter 'trial' has no type hint: say float, int"),
        (list_hint, "parameter 'x' has the type hint list"),
        (bad_default, "parameter 'x' has a wrong default: it must be an int from 1 to 5, not 9"),
        (range_as_default, "declare it as Annotated"),
        (mixed_up, "parameter 'x' is str, and declared as Float"),
        (range_without_ends, "without its range"),
        (positional, "parameter 'x' must be one that can be given by its name"),
        (many, "parameter 'x' must be one that can be given by its name"),
        (untyped_none, "None tells no type"),
        (undefined, "its type hints cannot be understood: name 'Nowhere' is not defined"),
    ],
)
def test_a_signature_that_cannot_be_is_told(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem.replace("(", r"\(")):
        signature_of("mine", function, "")


@pytest.mark.parametrize(
    "made",
    [
        lambda: Float(1, 0),
        lambda: Float(math.nan, 1),
        lambda: Float(0, math.inf),
        lambda: Float(0, 1, log=True),
        lambda: Float(0.1, 1, log=True, step=0.1),
        lambda: Float("0", 1),  # type: ignore[arg-type]
        lambda: Int(0.5, 2),  # type: ignore[arg-type]
        lambda: Int(True, 2),
        lambda: Int(1, 5, step=0),
        Categorical,
        lambda: Categorical([1]),  # type: ignore[arg-type]
    ],
)
def test_a_range_that_is_none_is_refused(made: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"Float|Int|Categorical|choice"):
        made()


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.booleans())
def test_every_declared_range_is_a_space(one: float, other: float, log: bool) -> None:
    def function(x: float) -> float: ...  # type: ignore[empty-body]

    function.__annotations__["x"] = Annotated[float, Float(min(one, other), max(one, other), log=log)]
    known = {"mine": signature_of("mine", function, "").info}
    raw = with_declared_space(study(), known)
    assert parse_study(raw, study_faults(raw, known)).space["x"].low == min(one, other)  # type: ignore[union-attr]


# --- how it is called ------------------------------------------------------------------------------------------------


def test_parameters_arrive_by_name_with_their_types(trial: Trial) -> None:
    seen: dict[str, Any] = {}

    def function(x: float, n: int = 2, *, context: Context) -> float:
        seen.update(x=x, n=n, context=context)
        return x

    result = objective(function)({"x": 1}, trial.context)
    assert (result.state, result.value, type(seen["x"]), seen["n"]) == ("complete", 1.0, float, 2)
    context = seen["context"]
    assert (context.seed, context.study, context.number, context.attempt, context.device) == (5, "s", 3, 1, "cpu")
    assert (context.parameters, context.folder, context.metric) == ({"x": 1}, trial.context.workspace, "score")


def test_all_parameters_as_a_dict_or_as_the_rest(trial: Trial) -> None:
    def by_dict(parameters: dict[str, float]) -> float:
        return parameters["a"] + parameters["b[0]"]

    def by_rest(a: float, **rest: float) -> float:
        return a + rest["b[0]"]

    class Both:
        def __call__(self, a: float, parameters: Any, own: Context) -> float:
            assert isinstance(own, Context)
            return a + parameters["b[0]"]

    for function in (by_dict, by_rest, Both(), partial(by_rest, unused=1)):
        made = objective(function)
        assert made.info.open
        assert made({"a": 1.0, "b[0]": 2.0}, trial.context).value == 3.0


def test_a_trial_whose_parameters_are_of_another_version_fails_with_every_fault(trial: Trial) -> None:
    def function(x: float, mode: Literal["a", "b"]) -> float: ...  # type: ignore[empty-body]

    with pytest.raises(InvalidInput) as caught:
        objective(function)({"y": 1.0, "mode": "c"}, trial.context)
    assert {fault.path for fault in caught.value.faults} == {"x", "y", "mode"}


@pytest.mark.parametrize(
    ("returned", "value", "metrics"),
    [
        (0.5, 0.5, {}),
        (1, 1.0, {}),
        ({"score": 0.5, "time": 3}, 0.5, {"score": 0.5, "time": 3.0}),
        ({"score": 0.5, "none": None}, 0.5, {"score": 0.5, "none": None}),
        (TrialResult(state="complete", value=2.0), 2.0, {}),
    ],
)
def test_what_may_be_returned(trial: Trial, returned: Any, value: float, metrics: Metrics) -> None:
    result = objective(lambda: returned)({}, trial.context)
    assert (result.state, result.value, result.metrics) == ("complete", value, metrics)


def test_numbers_of_numpy_and_torch_may_be_returned(trial: Trial) -> None:
    import numpy as np
    import torch

    for number in (np.float32(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor(0.5, requires_grad=True)):
        assert objective(lambda n=number: n)({}, trial.context).value == 0.5
        Context(trial.context, {}).report(1, number, also=number, none=None)
    assert set(map(repr, trial.reports)) == {"(1, 0.5, {'also': 0.5, 'none': None})"}


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (None, "returned nothing, and reported no value"),
        ({}, "returned nothing"),
        ("0.5", "returned '0.5', not a number"),
        (True, "returned True, not a number"),
        ((1.0, 2.0), "not a number"),
        ({"scores": 1.0}, "returned no 'score', which the study searches, but scores.*did you mean 'scores'"),
        ({"score": "good"}, "returned 'score': 'good', not a number"),
    ],
)
def test_what_may_not_be_returned(trial: Trial, returned: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        objective(lambda: returned)({}, trial.context)


def test_without_a_value_the_best_one_reported_counts(tmp_path: Path) -> None:
    def function(context: Context) -> None:
        for step, value in enumerate([0.5, 0.9, 0.7], start=1):
            context.report(step, value, loss=1 - value)

    for direction, best in (("maximize", 0.9), ("minimize", 0.5)):
        trial = Trial(tmp_path / direction, direction=direction)
        assert objective(function)({}, trial.context).value == best
        assert [report[:2] for report in trial.reports] == [(1, 0.5), (2, 0.9), (3, 0.7)]


def test_a_step_that_is_none_is_told(trial: Trial) -> None:
    """Optuna's order is the other one."""
    with pytest.raises(TypeError, match=r"report\(step, value\): the step must be a whole number, not 0.9"):
        objective(lambda context: context.report(0.9, 1))({}, trial.context)


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_a_pruned_trial_ends_though_the_loop_catches_every_exception(tmp_path: Path) -> None:
    def stubborn(context: Context) -> float:
        for step in range(1, 10):
            try:
                context.report(step, 1.0)
            except Exception:
                continue
        return 1.0

    def deaf(context: Context) -> float:
        try:
            stubborn(context)
        except BaseException:
            return 1.0
        return 2.0

    for function in (stubborn, deaf):
        trial = Trial(tmp_path / function.__name__, Decision.CONTINUE, Decision.PRUNE)
        assert objective(function)({}, trial.context).state == "pruned"
        assert len(trial.reports) == 2


def test_a_function_may_prune_by_itself(trial: Trial) -> None:
    def function() -> float:
        raise Pruned("the loss explodes")

    assert objective(function)({}, trial.context) == TrialResult(state="pruned", reason="the loss explodes")


@pytest.mark.parametrize("decision", [Decision.PAUSE, Decision.LOST])
def test_a_trial_that_is_handed_back_ends_at_its_report(tmp_path: Path, decision: Decision) -> None:
    def function(context: Context) -> float:
        context.checkpoint.keep(lambda folder: (folder / "state").write_text("2"))
        context.report(1, 1.0)
        with pytest.raises(HandedBack):
            context.report(2, 1.0)
        raise HandedBack

    trial = Trial(tmp_path / "workspace", Decision.CONTINUE, decision)
    objective(function)({}, trial.context)
    assert ("checkpoint.tar" in trial.files) is (decision is Decision.PAUSE)


def test_an_exception_is_put_on_record_with_its_place(trial: Trial) -> None:
    def function(x: float) -> float:
        return math.sqrt(-1 - random.random())  # the innermost line of one's own

    with pytest.raises(ValueError, match=r"math domain error|nonnegative") as caught:
        objective(function)({"x": 1.0}, trial.context)
    (note,) = caught.value.__notes__
    assert note.startswith("test_own.py, line ")
    assert note.endswith("in function")
    assert b"math.sqrt(-1 - random.random())" in trial.files["traceback.txt"]


def test_a_traceback_that_cannot_be_kept_hides_no_exception(tmp_path: Path) -> None:
    def refuse(name: str, path: Path) -> None:
        raise LeaseLost

    trial = Trial(tmp_path / "workspace", save_artifact=refuse)
    with pytest.raises(ZeroDivisionError):
        objective(lambda: 1 / 0)({}, trial.context)


# --- files -----------------------------------------------------------------------------------------------------------


def resumed(trial: Trial, folder: Path) -> Context:
    """The context of the next attempt, elsewhere."""
    archive = folder / "checkpoint.tar"
    folder.mkdir()
    archive.write_bytes(trial.files["checkpoint.tar"])
    return Context(Trial(folder / "workspace", checkpoint=archive, attempt=2).context, {})


def test_a_checkpoint_is_a_file_or_a_folder(trial: Trial, tmp_path: Path) -> None:
    context = Context(trial.context, {})
    assert context.checkpoint.load() is None
    file = context.folder / "wéights.bin"
    file.write_bytes(b"\0" * 1000)
    context.checkpoint.save(file)
    found = resumed(trial, tmp_path / "a").checkpoint.load()
    assert found is not None
    assert (found.name, found.read_bytes()) == ("wéights.bin", b"\0" * 1000)
    folder = tmp_path / "state"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").write_text("1")
    (folder / "link").symlink_to(folder / "deep" / "x")
    context.checkpoint.save(str(folder))
    found = resumed(trial, tmp_path / "b").checkpoint.load()
    assert found is not None
    assert {path.relative_to(found).as_posix() for path in found.rglob("*")} == {"deep", "deep/x", "link"}
    assert (found / "link").read_text() == "1"
    assert not list(context.folder.glob("saving-*"))
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        context.checkpoint.save(folder / "missing")


def test_a_damaged_checkpoint_writes_nothing_outside_its_folder(trial: Trial, tmp_path: Path) -> None:
    import tarfile

    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(__file__, "../../escaped")
    with pytest.raises(tarfile.TarError):
        Context(Trial(tmp_path / "w", checkpoint=archive).context, {}).checkpoint.load()
    assert not list(tmp_path.rglob("escaped"))


def test_checkpoints_are_kept_at_reports_as_often_as_wanted(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hpsearch.objectives.own.context.time.monotonic", lambda: now[0])
    context, saved = Context(trial.context, {}), []

    def save(folder: Path) -> None:
        assert not list(folder.iterdir())
        (folder / "step").write_text(str(len(trial.reports)))
        saved.append(len(trial.reports))

    context.checkpoint.keep(save, seconds=10)
    for step in range(1, 8):
        now[0] += 4
        context.report(step, 1.0)
    assert saved == [3, 6]
    assert b"6" in trial.files["checkpoint.tar"]


def test_artifacts_are_kept_under_their_names(trial: Trial) -> None:
    context = Context(trial.context, {})
    (context.folder / "a.txt").write_text("a")
    context.log_artifact(context.folder / "a.txt")
    context.log_artifact(str(context.folder / "a.txt"), "b.txt")
    assert trial.files == {"a.txt": b"a", "b.txt": b"a"}
    with pytest.raises(InvalidInput, match=r"context\.checkpoint"):
        context.log_artifact(context.folder / "a.txt", "checkpoint.tar")


def test_a_line_of_the_log_says_whose_it_is(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    Context(trial.context, {}).log("half", 2)
    assert capsys.readouterr().err == "study s: trial 3: half 2\n"


# --- how it is found -------------------------------------------------------------------------------------------------

MODULE = """
    from functools import partial
    number = 5
    def train(x: float) -> float:
        "Trains."
        return x
    class Trainer:
        def __call__(self, x: float) -> float:
            return x
        def method(self, x: float): ...
    class Hungry:
        def __init__(self, food): ...
    class Broken:
        def __init__(self): raise OSError("no data")
    async def later(x: float): ...
    def yielding(x: float): yield x
    trainer = Trainer()
    half = partial(train, x=0.5)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of a user's, in the current folder."""
    (tmp_path / "mymodule.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "mybroken.py").write_text("import os\nraise ValueError('boom')\n")
    (tmp_path / "mysyntax.py").write_text("def f(:\n")
    (tmp_path / "myexit.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "myneedy.py").write_text("import torchh\n")
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text("")
    (tmp_path / "mypackage" / "inner.py").write_text("def f(x: float): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "mymodule"
    for name in [name for name in sys.modules if name.startswith("my")]:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("path", ["mymodule:train", "mymodule:Trainer", "mymodule:trainer", "mymodule:half"])
def test_functions_and_classes_are_found(module: str, path: str, trial: Trial) -> None:
    assert load_own("mine", path)({"x": 0.25}, trial.context).value == 0.25


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("mymodul:train", "there is no module 'mymodul' in .*did you mean 'mymodule'"),
        ("mypackage.iner:f", r"there is no module 'mypackage\.iner'.*did you mean 'mypackage\.inner'"),
        ("nowhere.at.all:f", "there is no module 'nowhere'"),
        ("mymodule:trian", r"mymodule has no 'trian' \(did you mean 'train'\?\)"),
        ("mymodule:number", "is 5, which cannot be called"),
        ("mymodule:Hungry", r"making a Hungry\(\), without arguments, raised TypeError"),
        (
            "mymodule:Broken",
            r"making a Broken\(\), without arguments, raised OSError: no data \(mymodule.py, line 14\)",
        ),
        ("mymodule:later", "must be a plain function"),
        ("mymodule:yielding", "must be a plain function"),
        ("mymodule:Trainer.method", "parameter 'self' has no type hint"),
        ("mybroken:f", r"importing mybroken raised ValueError: boom \(mybroken.py, line 2\)"),
        ("mysyntax:f", "importing mysyntax raised SyntaxError"),
        ("myexit:f", "importing myexit raised SystemExit: 3"),
        ("myneedy:f", "importing myneedy raised ModuleNotFoundError: No module named 'torchh'"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_would_be_right(module: str, path: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^objective mine \({path}\): .*{problem}"):
        load_own("mine", path)
