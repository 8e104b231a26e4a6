"""`hpsearch study importances`: what is understood of a study, as text."""

from hpsearch.cli.output import emit_table, say
from hpsearch.insights import Importances

MOST_INTERACTIONS = 5
LEAST_INTERACTION = 0.005


def say_importances(found: Importances) -> None:
    """A table of parameters, and the strongest interactions below."""
    if found.note is not None:
        say(f"{found.study}: {found.note}")
        return
    deviates = any(item.deviation is not None for item in found.importances)
    rows = [
        [item.parameter, f"{item.importance:.3f}", *([f"±{item.deviation or 0:.3f}"] if deviates else [])]
        for item in found.importances
    ]
    emit_table(["parameter", "importance", *(["deviation"] if deviates else [])], rows)
    for together in found.interactions[:MOST_INTERACTIONS]:
        if together.importance >= LEAST_INTERACTION:
            say(f"{' with '.join(together.parameters)}: {together.importance:.3f} beyond what each does alone")
    say(f"{found.method}, {found.used} of {found.of} trials: {found.rule}")
