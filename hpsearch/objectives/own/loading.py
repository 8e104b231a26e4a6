"""Users' functions, found by their import paths. Whatever is wrong is told when the worker starts."""

import inspect
import pkgutil
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from hpsearch.errors import ConfigurationError, near
from hpsearch.objectives.own.objective import OwnObjective
from hpsearch.objectives.own.signature import signature_of


def load_own(name: str, path: str) -> OwnObjective:
    """The objective `name` of the function, or the class, at `package.module:function`.

    Raises `ConfigurationError` with what is wrong, and what would be right.
    """
    try:
        found = _attribute(*path.split(":", 1))
        function = _instance(found) if isinstance(found, type) else found
        _check_callable(function)
        return OwnObjective(function, signature_of(name, function, inspect.getdoc(found)))
    except ConfigurationError as error:
        raise ConfigurationError(f"objective {name} ({path}): {error}") from error


def _attribute(module_name: str, attributes: str) -> Any:
    found: Any = _module(module_name)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            close = near(attribute, [known for known in dir(found) if callable(getattr(found, known, None))])
            hint = f" (did you mean {close!r}?)" if close else ""
            raise ConfigurationError(f"{module_name} has no {attribute!r}{hint}")
        found = getattr(found, attribute)
    return found


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(_not_found(error.name)) from error
        traceback.print_exc()  # to the worker's log
        raise ConfigurationError(f"importing {name} raised {_told(error)}") from error


def _not_found(name: str) -> str:
    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", None)
    if parent and folders is None:
        hint = f"; name the module, not its file: {parent}:function" if last == "py" else ""
        raise ConfigurationError(f"must be package.module:function, and {parent} is no package{hint}")
    folders = folders or [str(Path.cwd())]
    close = near(last, [module.name for module in pkgutil.iter_modules(folders)])
    hint = f" (did you mean {(parent + '.' if parent else '') + close!r}?)" if close else ""
    return f"there is no module {name!r} in {Path.cwd()}, nor is one installed{hint}"


def _instance(made_by: type) -> Any:
    try:
        return made_by()
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise ConfigurationError(f"making a {made_by.__name__}(), without arguments, raised {_told(error)}") from error


def _check_callable(function: Any) -> None:
    if not callable(function):
        raise ConfigurationError(
            f"is {_in_one_line(function)}, which cannot be called: name a function, or a class with a __call__"
        )
    called = function if inspect.isroutine(function) else getattr(type(function), "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigurationError("must be a plain function: what it returns is a trial's value")


def _in_one_line(value: object) -> str:
    return " ".join(repr(value).split())[:100]


def _told(error: BaseException) -> str:
    """An exception in a line, with the place where it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    place = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in frames[-1:])
    return f"{type(error).__name__}: {error}{place}"
