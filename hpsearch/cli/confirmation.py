"""What was confirmed, as people read it."""

from typing import TYPE_CHECKING, Any

from hpsearch.cli.output import emit_table, say, shown

if TYPE_CHECKING:
    from hpsearch.confirmation import Confirmation, Spread
    from hpsearch.studies import Study


def say_confirmation(found: "Confirmation", study: "Study") -> None:
    """The configurations on fresh seeds, beside what the search had seen of them."""
    if not found.configurations:
        return
    first = found.configurations[0]
    tests = sorted({name for item in found.configurations for name in item.metrics})
    rows: list[list[Any]] = [
        [
            item.rank,
            item.trial,
            _spread(item.mean, item.deviation),
            item.n,
            item.failed,
            item.searched_value,
            item.optimism,
            item.p_value,
            *(_of(item.metrics.get(name)) for name in tests),
            *(shown(item.parameters.get(name)) for name in study.spec.space),
        ]
        for item in found.configurations
    ]
    say(f"on fresh seeds ({found.finished} of {found.planned} runs; p: {found.test}):")
    columns = ["rank", "trial", found.metric, "n", "failed", "searched", "optimism", "p"]
    emit_table([*columns, *tests, *study.spec.space], rows)
    if study.state.has_ended and first.mean is not None:
        say(
            f"the confirmed best is trial {first.trial}: {found.metric} {_spread(first.mean, first.deviation)} over "
            f"{first.n} seeds, where the search saw {shown(first.searched_value)}; its best model is trial "
            f"{first.best_run}'s"
        )


def _of(spread: "Spread | None") -> str | None:
    return None if spread is None else _spread(spread.mean, spread.deviation)


def _spread(mean: float | None, deviation: float | None) -> str | None:
    return shown(mean) + ("" if deviation is None else f" ± {shown(deviation)}")
