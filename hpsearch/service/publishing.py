"""Objectives of users' own: what they say of themselves, checked, and kept as plain documents.

The server takes their word for what it is, data: it imports nothing of theirs (workers do).
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hpsearch.errors import Fault, InvalidInput
from hpsearch.objectives.objective import ObjectiveInfo

Documents = Mapping[str, Mapping[str, Any]]
"""By name."""

MAX_CHARACTERS = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_INFO: TypeAdapter[ObjectiveInfo] = TypeAdapter(ObjectiveInfo)


def publishable(infos: Sequence[ObjectiveInfo], built_in: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """As documents. Raises `InvalidInput` with every fault."""
    documents: dict[str, Mapping[str, Any]] = {}
    faults: list[Fault] = []
    for position, info in enumerate(infos):
        faults += [
            Fault(f"published.{position}.{field}", problem) for field, problem in _problems(info, built_in, documents)
        ]
        documents[info.name] = _INFO.dump_python(info, mode="json")
    if faults:
        raise InvalidInput(faults=faults)
    return documents


def _problems(info: ObjectiveInfo, built_in: Collection[str], others: Collection[str]) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(info.name):
        yield (
            "name",
            f"may hold letters, digits, '.', '_' and '-', and starts with a letter or a digit, not {info.name!r}",
        )
    if info.name in built_in:
        yield "name", f"{info.name!r} is an objective of hpsearch's own: give yours another name"
    if info.name in others:
        yield "name", f"{info.name!r} is there twice"
    names = [parameter.name for parameter in info.parameters]
    if len(set(names)) < len(names):
        yield "parameters", "name one parameter twice"
    ends = [end for item in info.parameters for end in (item.low, item.high) if end is not None]
    text = json.dumps(_INFO.dump_python(info, mode="json"), ensure_ascii=False)
    if not all(map(math.isfinite, ends)):
        yield "parameters", "must have finite ranges"
    if len(text) > MAX_CHARACTERS:
        yield "parameters", f"say too much: {len(text)} characters, of at most {MAX_CHARACTERS}"
    if "\\u0000" in text or any("\ud800" <= character <= "\udfff" for character in text):
        yield "parameters", "must not contain NUL characters or lone surrogates"


def understood(documents: Documents, besides: Collection[str]) -> dict[str, ObjectiveInfo]:
    """What documents say, but of names that the server has itself; what a newer version wrote otherwise is unknown."""
    found: dict[str, ObjectiveInfo] = {}
    for name, document in documents.items():
        try:
            if name not in besides:
                found[name] = _INFO.validate_python(document)
        except ValidationError:
            continue
    return found
