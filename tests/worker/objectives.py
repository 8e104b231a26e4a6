"""An objective that does in a slot whatever a test tells it to."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hpsearch.errors import Fault, HpsearchError, InvalidInput
from hpsearch.objectives.objective import MetricInfo, ObjectiveInfo, ParameterInfo, TrialContext, TrialResult
from hpsearch.trials import Decision, Scalar

SCRIPTED = ObjectiveInfo(
    name="scripted",
    description="Acts.",
    parameters=(
        ParameterInfo(name="x", type="float", meaning="Its square is the value."),
        ParameterInfo(name="act", type="str", default="descend", meaning="What to do."),
        ParameterInfo(name="steps", type="int", low=0, default=3, meaning="Reports."),
        ParameterInfo(name="seconds", type="float", low=0, default=0.0, meaning="Time a step."),
        ParameterInfo(name="attempts", type="int", default=1, meaning="The attempts that misbehave."),
        ParameterInfo(name="source", type="str", default="", meaning="What to fetch: study, trial (or best), name."),
        ParameterInfo(name="folder", type="str", default="", meaning="Where to leave traces for the test."),
    ),
    metrics=(MetricInfo(name="loss", direction="minimize", meaning="The square."),),
)
PATHS = {"scripted": "tests.worker.objectives:Scripted"}
CHECKPOINT = "checkpoint.safetensors"


class Scripted:
    """Counts its trials: the same object serves all of a slot."""

    def __init__(self) -> None:
        self.trials = 0

    def __call__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> TrialResult:
        self.trials += 1
        script = Script(parameters, context)
        trace(script, pid=os.getpid(), trials=self.trials, workspace=str(context.workspace))
        assert not list(context.workspace.iterdir())
        (context.workspace / "scratch").write_text("left behind")
        if context.attempt > int(script["attempts"]) and not str(script["act"]).startswith("climb"):
            return descend(script)
        return ACTS[str(script["act"])](script)


class Script:
    """A trial's parameters, the defaults filled in, and its context."""

    def __init__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> None:
        self.parameters = {info.name: info.default for info in SCRIPTED.parameters} | dict(parameters)
        self.context = context

    def __getitem__(self, name: str) -> float | str:
        value = self.parameters[name]
        assert isinstance(value, int | float | str)
        return value

    @property
    def loss(self) -> float:
        return float(self["x"]) ** 2


def trace(script: Script, **what: object) -> None:
    """Leave a trace for the test, where it named a folder."""
    if folder := script["folder"]:
        context = script.context
        name = f"{context.number}-{context.attempt}-{time.monotonic_ns()}.json"
        partial = Path(str(folder), name + ".part")
        partial.write_text(json.dumps({"number": context.number, "attempt": context.attempt} | what))
        partial.rename(Path(str(folder), name))


def descend(script: Script, first: int = 1) -> TrialResult:
    """Report every step and end complete, as a good objective does."""
    for step in range(first, int(script["steps"]) + 1):
        time.sleep(float(script["seconds"]))
        decision = script.context.report(step, script.loss + 1 / step, {"step": step})
        if decision is Decision.PRUNE:
            return TrialResult(state="pruned", reason="told to")
        if decision is not Decision.CONTINUE:
            trace(script, decision=decision)
            return TrialResult(state="complete", value=-1.0)  # must be dropped
    return TrialResult(state="complete", value=script.loss, metrics={"seed": script.context.seed % 1000})


def descend_and_say_so(script: Script) -> TrialResult:
    """The same; the test hears of the end before the service does."""
    result = descend(script)
    trace(script, ended=True)
    return result


def resume(script: Script) -> TrialResult:
    """Keep a checkpoint each step; killed after the second step of the first attempt."""
    checkpoint = script.context.checkpoint
    start = json.loads(checkpoint.read_text())["step"] if checkpoint else 0
    trace(script, start=start)
    for step in range(start + 1, int(script["steps"]) + 1):
        script.context.report(step, script.loss + 1 / step, {})
        path = script.context.workspace / "state"
        path.write_text(json.dumps({"step": step}))
        script.context.save_artifact(CHECKPOINT, path)
        if script.context.attempt == 1 and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return TrialResult(state="complete", value=script.loss)


def climb(script: Script, hang: bool = False) -> TrialResult:
    """From rung to rung: told to pause, it keeps a checkpoint and returns; promoted, it goes on from there."""
    checkpoint = script.context.checkpoint
    start = json.loads(checkpoint.read_text())["step"] if checkpoint else 0
    trace(script, start=start, pid=os.getpid())
    for step in range(start + 1, int(script["steps"]) + 1):
        time.sleep(float(script["seconds"]))
        decision = script.context.report(step, script.loss + 1 / step, {"step": step})
        if decision is Decision.PAUSE:
            path = script.context.workspace / "state"
            path.write_text(json.dumps({"step": step}))
            script.context.save_artifact(CHECKPOINT, path)
        if decision is not Decision.CONTINUE:
            return TrialResult(state="pruned", metrics={"step": step})
        if hang and start and first_to("hang", script):
            trace(script, hanging=step)
            time.sleep(600)
    return TrialResult(state="complete", value=script.loss)


def climb_and_hang(script: Script) -> TrialResult:
    """The same; the first one that was promoted hangs after its first report since."""
    return climb(script, hang=True)


def first_to(what: str, script: Script) -> bool:
    """Whether no trial of the study has done this before."""
    try:
        Path(str(script["folder"]), what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def crash(script: Script) -> TrialResult:
    script.context.report(1, 1.0, {})
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")


def leave(script: Script) -> TrialResult:
    os._exit(3)


def hang(script: Script) -> TrialResult:
    script.context.report(1, 1.0, {})
    time.sleep(600)
    raise AssertionError("killed long before")


def abandon(script: Script) -> TrialResult:
    """Hang with a process started beside."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    trace(script, grandchild=process.pid)
    return hang(script)


def raise_error(script: Script) -> TrialResult:
    raise ValueError("no good")


def refuse(script: Script) -> TrialResult:
    raise InvalidInput(faults=[Fault("x", "must be better"), Fault("file", "is missing")])


def leave_by_exit(script: Script) -> TrialResult:
    sys.exit(4)


def diverge(script: Script) -> TrialResult:
    script.context.report(1, 1.0, {})
    try:
        script.context.report(2, float("nan"), {})
    except Exception:
        return TrialResult(state="complete", value=0.0)
    raise AssertionError("not raised")


def diverge_at_the_end(script: Script) -> TrialResult:
    return TrialResult(state="complete", value=float("inf"), metrics={"loss": float("inf")})


def speak_numpy(script: Script) -> TrialResult:
    import numpy as np

    script.context.report(int(np.int64(1)), np.float32(0.5), {"nan": np.float64("nan"), "two": np.int32(2), "no": None})
    return TrialResult(
        state="complete", value=np.float64(0.25), metrics={"inf": np.float32("inf"), "three": np.int8(3)}
    )


def show_environment(script: Script) -> TrialResult:
    import torch

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    trace(
        script,
        threads=[os.environ.get(name) for name in names],
        torch=torch.get_num_threads(),
        secrets=[
            name
            for name, value in os.environ.items()
            if name.startswith("HPSEARCH_")
            or value == "secret"
            or ("TOKEN" in name and name != "TOKENIZERS_PARALLELISM")  # a setting of the tokenizers library
        ],
        group=os.getpgid(0),
    )
    return descend(script)


def save(script: Script) -> TrialResult:
    save_weights(script)
    return descend(script)


def save_at_the_end(script: Script) -> TrialResult:
    result = descend(script)
    save_weights(script)
    return result


def save_weights(script: Script) -> None:
    path = script.context.workspace / "weights"
    path.write_bytes(b"weights of %d" % script.context.number)
    script.context.save_artifact("model.safetensors", path)


def save_too_much(script: Script) -> TrialResult:
    path = script.context.workspace / "weights"
    path.write_bytes(bytes(2**20 + 1))
    script.context.save_artifact("model.safetensors", path)
    return descend(script)


def save_nothing(script: Script) -> TrialResult:
    script.context.save_artifact("model.safetensors", script.context.workspace / "weights")
    return descend(script)


def fetch(script: Script) -> TrialResult:
    """Take a file of another trial."""
    study, number, name = str(script["source"]).split()
    try:
        path = script.context.fetch_artifact(study, None if number == "best" else int(number), name)
    except HpsearchError as error:
        trace(script, missed=type(error).__name__)
        raise
    trace(script, fetched=path.read_text(), path=str(path))
    return descend(script)


def wander(script: Script) -> TrialResult:
    """Report what no seed gives again."""
    value = random.SystemRandom().random()
    script.context.report(1, script.loss, {"luck": value})
    return TrialResult(state="complete", value=script.loss, metrics={"luck": value})


def return_nonsense(script: Script) -> TrialResult:
    return 0.5  # type: ignore[return-value]


ACTS: Mapping[str, Callable[[Script], TrialResult]] = {
    act.__name__: act
    for act in (
        descend,
        descend_and_say_so,
        resume,
        climb,
        climb_and_hang,
        crash,
        leave,
        hang,
        abandon,
        raise_error,
        refuse,
        leave_by_exit,
        diverge,
        diverge_at_the_end,
        speak_numpy,
        show_environment,
        save,
        save_at_the_end,
        save_too_much,
        save_nothing,
        fetch,
        wander,
        return_nonsense,
    )
}


class Unimportable:
    """An objective whose library is not installed here."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'torch'")
