"""A slot's process without an agent or a service around it: for one trial, or for what its objectives publish."""

from collections.abc import Callable
from multiprocessing.connection import wait

from hpsearch.errors import ConfigurationError, HpsearchError, Unavailable
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.worker.child import Child
from hpsearch.worker.messages import Briefing, Broken, Ended, Fetching, Measured, Ready, Reply, Saving, Task

TICK_SECONDS = 1.0


def published(briefing: Briefing) -> tuple[ObjectiveInfo, ...]:
    """What users' own objectives say of themselves, imported as a slot imports them.

    Raises `ConfigurationError` where one cannot be, `Unavailable` where no process can be started, `HpsearchError`
    where it dies.
    """
    child = _started(briefing)
    try:
        while True:
            wait(child.waitables, TICK_SECONDS)
            for message in child.receive():
                if isinstance(message, Broken):
                    raise ConfigurationError(message.reason)
                if isinstance(message, Ready):
                    return message.published
            if child.is_dead:
                raise HpsearchError(f"a process died as it imported the objectives: {child.bury()}")
    finally:
        child.bury()


def _started(briefing: Briefing) -> Child:
    child = Child(briefing)
    child.start()
    if not child.is_started:
        raise Unavailable("a process for the trial cannot be started")
    return child


def run_alone(briefing: Briefing, task: Task, answer: Callable[[Measured | Saving | Fetching], Reply]) -> Ended:
    """Run a trial exactly as a slot does; `answer` takes the agent's and the service's part.

    Raises `ConfigurationError` where the objective cannot be imported, `Unavailable` where no process can be started,
    `HpsearchError` where it dies.
    """
    child = _started(briefing)
    try:
        return _conversation(child, task, answer)
    finally:
        child.bury()


def _conversation(child: Child, task: Task, answer: Callable[[Measured | Saving | Fetching], Reply]) -> Ended:
    while True:
        wait(child.waitables, TICK_SECONDS)
        for message in child.receive():
            match message:
                case Broken():
                    raise ConfigurationError(f"an objective cannot be imported: {message.reason}")
                case Ready():
                    child.send(task)
                case Ended():
                    return message
                case Measured() | Saving() | Fetching():
                    child.send(answer(message))
        if child.is_dead:
            raise HpsearchError(f"the trial's process died: {child.bury()}")
