"""What pydantic finds wrong, as faults in the words of who writes a study file or a body."""

import re
from collections.abc import Collection, Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from hpsearch.errors import Fault, near
from hpsearch.names import NAME, NO_NUL, WORKER_NAME
from hpsearch.parameters import PARAMETER_NAME

_ALLOWED = "may hold letters, digits, '.', '_' and '-'"
_PATTERNS: Mapping[str, str] = {
    NAME: f"{_ALLOWED}, and starts with a letter or a digit",
    WORKER_NAME: "may hold letters, digits, '.', '_', ':', '@' and '-', and starts with a letter or a digit",
    NO_NUL: "must not contain NUL characters",
    PARAMETER_NAME: f"{_ALLOWED} (and '[' and ']'), and starts with a letter or '_'",
}


def fault_of(
    details: ErrorDetails,
    location: list[int | str] | None = None,
    model: type[BaseModel] | None = None,
    variants: Collection[str] = (),
) -> Fault:
    """A pydantic error as a fault; `location`, `model` and `variants` (of a union) refine where it is and which names
    are known there."""
    path = [str(part) for part in (details["loc"] if location is None else location)]
    kind, context = details["type"], details.get("ctx", {})
    if kind != "extra_forbidden" and path[1:] and path[-1] == "[key]":
        path.pop()  # pydantic's mark of a wrong key, which a body may have for a name too
    if kind == "missing":
        return Fault(".".join(path), "is missing")
    if kind == "extra_forbidden":
        known = list(model.model_fields) if model else []
        return Fault(".".join(path), "is not known here" + _listed(known), near(path[-1], known))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = str(context["discriminator"]).strip("'")
        known = [name.strip().strip("'") for name in str(context.get("expected_tags", "")).split(",") if name]
        known = known or list(variants)
        problem = "is missing" if kind == "union_tag_not_found" else f"{context['tag']!r} is not known"
        return Fault(".".join([*path, field]), problem + _listed(known), near(context.get("tag", ""), known))
    if kind == "fault_at":
        return Fault(".".join([*path[:-1], str(context["field"])]), str(context["problem"]))
    if kind == "string_pattern_mismatch":
        allowed = _PATTERNS.get(str(context.get("pattern")), _lower_first(details["msg"]))
        return Fault(".".join(path), f"{allowed}, not {_shown(details['input'])}")
    if kind in ("too_short", "too_long"):
        wanted = _PROBLEMS[kind].format(**context).replace(" 1 items", " 1 item")
        return Fault(".".join(path), f"{wanted}, not {context['actual_length']}")
    bounds = {name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in context.items()}
    if kind == "string_too_short" and bounds["min_length"] == 1:
        return Fault(".".join(path), "must not be empty")
    problem = _PROBLEMS[kind].format(**bounds) if kind in _PROBLEMS else _lower_first(details["msg"])
    known = re.findall(r"'([^']*)'", str(context.get("expected", ""))) if kind in ("literal_error", "enum") else []
    suggestion = near(details["input"], known) if isinstance(details["input"], str) else None
    return Fault(".".join(path), f"{problem}, not {_shown(details['input'])}", suggestion)


_OBJECT = "must be an object with named fields"
_PROBLEMS: Mapping[str, str] = {
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}
"""What pydantic finds, in the words of who writes a study file."""


def _listed(known: list[str]) -> str:
    return f"; known: {', '.join(known)}" if known else ""


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
