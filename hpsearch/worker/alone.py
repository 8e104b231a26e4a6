"""One trial in a slot's process, without an agent or a service around it."""

from collections.abc import Callable
from multiprocessing.connection import wait

from hpsearch.errors import ConfigurationError, HpsearchError, Unavailable
from hpsearch.worker.child import Child
from hpsearch.worker.messages import Briefing, Broken, Ended, Fetching, Measured, Ready, Reply, Saving, Task

TICK_SECONDS = 1.0


def run_alone(briefing: Briefing, task: Task, answer: Callable[[Measured | Saving | Fetching], Reply]) -> Ended:
    """Run a trial exactly as a slot does; `answer` takes the agent's and the service's part.

    Raises `ConfigurationError` where the objective cannot be imported, `Unavailable` where no process can be started,
    `HpsearchError` where it dies.
    """
    child = Child(briefing)
    child.start()
    try:
        if not child.is_started:
            raise Unavailable("a process for the trial cannot be started")
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
