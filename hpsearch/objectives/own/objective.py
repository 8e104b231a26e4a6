"""A user's function as an objective: its parameters checked, its result understood, its errors put on record."""

import contextlib
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpsearch.errors import Fault, HpsearchError, InvalidInput, near
from hpsearch.objectives.objective import ObjectiveInfo, TrialContext, TrialResult, with_defaults
from hpsearch.objectives.own.context import Context, HandedBack, Pruned, plain
from hpsearch.objectives.own.signature import PARAMETERS, Signature
from hpsearch.trials import Scalar

TRACEBACK = "traceback.txt"
"""The artifact of a trial whose function raised an exception."""


class OwnObjective:
    """Implements `Objective`."""

    def __init__(self, function: Callable[..., Any], signature: Signature) -> None:
        self._function = function
        self._signature = signature

    @property
    def info(self) -> ObjectiveInfo:
        """What is published of it."""
        return self._signature.info

    def __call__(self, parameters: Mapping[str, Scalar], context: TrialContext) -> TrialResult:
        """See `Objective`. An exception's traceback is kept as `traceback.txt`."""
        self._check(parameters)
        own = Context(context, parameters)
        try:
            result = self._function(**self._arguments(parameters, own))
        except Pruned as error:
            return TrialResult(state="pruned", reason=str(error) or None)
        except HandedBack:
            return TrialResult(state="failed", reason="handed back")  # not heard: the agent has told it to end so
        except (Exception, SystemExit) as error:
            _keep_traceback(error, context)
            error.add_note(_place(error))
            raise
        if own.was_pruned:  # the function kept the exception to itself
            return TrialResult(state="pruned")
        return _result(result, own)

    def _check(self, parameters: Mapping[str, Scalar]) -> None:
        """Raises `InvalidInput` with every fault: the study may have been checked against another version of it."""
        info, faults = self.info, []
        names = [parameter.name for parameter in info.parameters]
        for name, value in parameters.items():
            known = info.parameter(name)
            if known is None and not info.open:
                problem = f"is no parameter of {info.name}; known: {', '.join(names) or 'none'}"
                faults.append(Fault(name, problem, near(name, names)))
            elif known is not None and (wrong := known.problem_with(value)):
                faults.append(Fault(name, wrong))
        faults += [
            Fault(item.name, f"is missing: {info.name} has no default for it")
            for item in info.parameters
            if item.required and item.name not in parameters
        ]
        if faults:
            raise InvalidInput(faults=faults)

    def _arguments(self, parameters: Mapping[str, Scalar], own: Context) -> dict[str, Any]:
        signature = self._signature
        named = {item.name: item for item in signature.info.parameters}
        arguments: dict[str, Any] = {
            name: float(value) if name in named and named[name].type == "float" and type(value) is int else value
            for name, value in parameters.items()
            if name in named or signature.takes_rest
        }
        if signature.takes_all:
            arguments[PARAMETERS] = with_defaults(signature.info, parameters)
        if signature.context is not None:
            arguments[signature.context] = own
        return arguments


def _keep_traceback(error: BaseException, context: TrialContext) -> None:
    """Put on record where it was raised, as far as that can be."""
    path = context.workspace / TRACEBACK
    with contextlib.suppress(HpsearchError, OSError):
        path.write_text("".join(traceback.format_exception(error)), errors="replace")
        context.save_artifact(TRACEBACK, path)


def _place(error: BaseException) -> str:
    """Where an exception was raised: the innermost line that is the user's own."""
    frames = traceback.extract_tb(error.__traceback__)
    library = sysconfig.get_paths()["stdlib"]
    own = [
        frame for frame in frames if not frame.filename.startswith((library, "<")) and "-packages" not in frame.filename
    ]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"


def _result(returned: object, own: Context) -> TrialResult:
    """What a function returned. Raises `TypeError` where it makes no sense."""
    if isinstance(returned, TrialResult):
        return returned
    metrics: dict[str, float | None] = {}
    value: float | None = None
    if isinstance(returned, Mapping):
        metrics = {str(name): None if item is None else _number(item, f"{name!r}: ") for name, item in returned.items()}
        value = metrics.get(own.metric)
    elif isinstance(returned, tuple | list) and len(own.metrics) > 1:
        metrics = _in_order(returned, own.metrics)
        value = metrics[own.metric]
    elif returned is not None:
        value = _number(returned, "")
    if value is None:
        value = own.best_value
    if value is None:
        what = f"no {own.metric!r}, which the study searches, but {', '.join(metrics)}" if metrics else "nothing"
        close = near(own.metric, metrics)
        hint = f" (did you mean {close!r}?)" if close else ""
        raise TypeError(f"the objective returned {what}, and reported no value{hint}")
    return TrialResult(state="complete", value=value, metrics=metrics)


def _in_order(returned: Sequence[object], names: Sequence[str]) -> dict[str, float | None]:
    """A value for each metric searched, as scripts for Optuna return them."""
    if len(returned) != len(names):
        raise TypeError(f"the objective returned {len(returned)} values, not one for each of {', '.join(names)}")
    return {name: _number(value, f"{name!r}: ") for name, value in zip(names, returned, strict=True)}


def _number(value: Any, where: str) -> float:
    """A number of Python's, numpy's or torch's as Python's."""
    if not isinstance(value, bool | str | bytes):
        with contextlib.suppress(TypeError, ValueError):
            return plain(value)
    raise TypeError(f"the objective returned {where}{value!r:.200}, not a number")
