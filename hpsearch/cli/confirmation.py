"""What was confirmed, as people read it."""

from typing import TYPE_CHECKING, Any

from hpsearch.cli.output import chief_tests, emit_table, say, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpsearch.confirmation import Confirmation, Spread
    from hpsearch.studies import Study


def say_confirmation(found: "Confirmation", study: "Study") -> None:
    """The configurations on fresh seeds, beside what the search had seen of them."""
    if not found.configurations:
        return
    say(f"on fresh seeds ({how_many(found)}):")
    emit_table(*table_of(found, study, chief_tests(found.metric, _tests(found))))
    if told := in_words(found, study):
        say(told)


def how_many(found: "Confirmation") -> str:
    """How far it has come, and how it is tested."""
    return f"{found.finished} of {found.planned} runs; p: {found.test}"


def in_words(found: "Confirmation", study: "Study") -> str | None:
    """Which is the confirmed best; None before the study has ended."""
    best = found.best
    if not study.state.has_ended:
        return None
    if best is None and any(item.violating for item in found.configurations):
        return "none is confirmed: on fresh seeds each of these violates a constraint"
    if best is None or best.mean is None:
        return None
    return (
        f"the confirmed best is trial {best.trial}: {found.metric} {_spread(best.mean, best.deviation)} over "
        f"{best.n} seeds, where the search saw {shown(best.searched_value)}; its best model is trial "
        f"{best.best_run}'s"
    )


def table_of(
    found: "Confirmation", study: "Study", tests: "Sequence[str] | None" = None
) -> tuple[list[str], list[list[Any]]]:
    """Columns, and a row a configuration, by rank; with these metrics of test splits, or all."""
    tests = _tests(found) if tests is None else tests
    rows: list[list[Any]] = [
        [
            item.rank,
            item.trial,
            _spread(item.mean, item.deviation),
            item.n,
            item.failed,
            *([item.violating] if study.spec.constraints else []),
            item.searched_value,
            item.optimism,
            item.p_value,
            *(_of(item.metrics.get(name)) for name in tests),
            *(shown(item.parameters.get(name)) for name in study.spec.space),
        ]
        for item in found.configurations
    ]
    violating = ["violating"] if study.spec.constraints else []
    columns = ["rank", "trial", found.metric, "n", "failed", *violating, "searched", "optimism", "p"]
    return [*columns, *tests, *study.spec.space], rows


def _tests(found: "Confirmation") -> list[str]:
    return sorted({name for item in found.configurations for name in item.metrics})


def _of(spread: "Spread | None") -> str | None:
    return None if spread is None else _spread(spread.mean, spread.deviation)


def _spread(mean: float | None, deviation: float | None) -> str | None:
    return shown(mean) + ("" if deviation is None else f" ± {shown(deviation)}")
