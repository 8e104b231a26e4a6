"""Users' own objectives on the command line: what they publish, and studies checked against it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpsearch.cli.worker import OBJECTIVES, choose
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.worker.alone import published
from hpsearch.worker.messages import Briefing


def published_by(objectives: Sequence[str], raw: Any) -> list[ObjectiveInfo]:
    """What the own objective that a study file names publishes, imported in a process of its own; nothing where it
    names none of them.

    Raises `ConfigurationError` where it cannot be imported, or `objectives` are not understood.
    """
    try:
        name = raw["objective"]["name"]
    except (KeyError, TypeError):
        name = None
    if not objectives and (name is None or name in OBJECTIVES):
        return []  # no need to look for what is installed
    own = choose(objectives).own
    wanted = {name: own[name]} if isinstance(name, str) and name in own else own if objectives else {}
    if not wanted:
        return []
    with tempfile.TemporaryDirectory(prefix="hpsearch-objective-", ignore_cleanup_errors=True) as folder:
        return list(published(Briefing(objectives={}, own=wanted, threads=1, folder=Path(folder))))


def known_with(own: Sequence[ObjectiveInfo]) -> dict[str, ObjectiveInfo]:
    """What a study may name here."""
    return {info.name: info for info in (INFO, *own)}
