"""`hpsearch study importances` and `pareto`: what is understood of a study, as text."""

from collections.abc import Sequence

from hpsearch.cli.output import emit_table, say, shown, shown_parameters
from hpsearch.earlier import Agreement
from hpsearch.insights import Front, Importances

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
    say(f"{found.metric} by {found.method}, {found.used} of {found.of} trials: {found.rule}")


def say_earlier(found: Sequence[Agreement]) -> None:
    """A line for each earlier study: what it knows, how well it agrees, and how much it is heeded now."""
    for item in found:
        agrees = "nothing to compare yet" if item.tau is None else f"tau {item.tau:.2f} over {item.compared} trials"
        known = f"{item.kept} of its {item.trials} trials, by {', '.join(item.parameters)}"
        say(f"  earlier study {item.study}: {agrees}, weight {item.weight:.2f} ({known})")


def say_front(front: Front) -> None:
    """A table of the front, the trial to take marked."""
    if not front.trials:
        say(f"{front.study} has no complete trial yet that satisfies its constraints")
        return
    rows = [
        [
            "*" if trial.number == front.chosen else "",
            trial.number,
            *(trial.values or ()),
            shown_parameters(trial.parameters),
        ]
        for trial in front.trials
    ]
    emit_table(["", "trial", *front.metrics, "parameters"], rows)
    few = f", {len(front.trials)} of them shown" if len(front.trials) < front.size else ""
    say(f"{front.size} of {front.of} trials that no other beats in every metric{few}")
    by = ", ".join(f"{metric} {shown(weight)}" for metric, weight in front.weights.items())
    say(f"* trial {front.chosen}: the nearest to the best of each metric, by the weights {by}")
