"""The program of the process that draws for expensive samplers: a task a line in, points a line out, as JSON.

It runs no user's code, opens nothing, and ends with its input. `hpsearch.service.ahead` starts it.
"""

import json
import os
import signal
import sys
from typing import IO, Any

from hpsearch.sampler_spec import GPSampler
from hpsearch.search import gp
from hpsearch.spec import StudySpec

BOOT = """
import json, sys
sys.path[:] = json.loads(sys.stdin.readline())
from hpsearch.search.drawing import serve
serve()
"""
NICENESS = 5
"""Those who are answered meanwhile go first."""


def serve() -> None:
    """Answer tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's chatter is no answer
    os.nice(NICENESS)
    _answer(sys.stdin, answers)


def _answer(tasks: IO[str], answers: IO[str]) -> None:
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in tasks:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def question(spec: StudySpec, options: GPSampler, task: gp.Task) -> dict[str, Any]:
    """What the process is asked."""
    return {"spec": spec.model_dump(mode="json"), "options": options.model_dump(mode="json"), "task": task.as_json()}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """The points, or why there are none."""
    try:
        spec, options = StudySpec.model_validate(asked["spec"]), GPSampler.model_validate(asked["options"])
        return {"points": gp.draw(spec, gp.Task.of_json(asked["task"]), options).tolist()}
    except Exception as error:  # whatever it is: the trial is made without the model, and the server's log says why
        return {"problem": f"{type(error).__name__}: {error}"}
