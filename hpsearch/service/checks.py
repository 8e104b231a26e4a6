"""What service calls want of their arguments, beyond types."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from hpsearch.errors import Fault, InvalidInput, StudyEnded
from hpsearch.sampler_spec import AutoSampler
from hpsearch.spec import AutoPruner, StudySpec
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Metrics, Report, Result, TrialState

_TELL_DIVERGED = "a trial that diverged is told as failed, with the reason 'diverged' (or 'diverged: …')"
MAX_PAGE = 1000
MAX_LEASE_SECONDS = 7 * 86_400


def check(faults: Sequence[Fault]) -> None:
    """Raises `InvalidInput` where there are any."""
    if faults:
        raise InvalidInput(faults=faults)


def check_reports(reports: Sequence[Report]) -> None:
    """Raises `InvalidInput` with every fault of a batch."""
    check([fault for position, report in enumerate(reports) for fault in _report_faults(report, position)])


def check_results(results: Sequence[Result]) -> None:
    """Raises `InvalidInput` with every fault of a batch."""
    check([fault for position, result in enumerate(results) for fault in _result_faults(result, position)])


@contextmanager
def of_one() -> Iterator[None]:
    """Faults of a batch of one are told as its caller knows it, without the position. Raises `InvalidInput`."""
    try:
        yield
    except InvalidInput as error:
        faults = [replace(fault, path=fault.path.removeprefix("0.")) for fault in error.faults]
        raise InvalidInput(faults=faults) from error


def storable(result: Result) -> Result:
    """The result as any database can hold it."""
    return replace(result, metrics=finite(result.metrics), reason=stored_text(result.reason))


def _report_faults(report: Report, position: int) -> Iterator[Fault]:
    if not math.isfinite(report.value):
        yield Fault(f"{position}.value", f"must be finite; {_TELL_DIVERGED}")
    if not 0 <= report.step < 2**53:
        yield Fault(f"{position}.step", "must be a whole number of at least 0")


def _result_faults(result: Result, position: int) -> Iterator[Fault]:
    if not result.state.is_finished:
        yield Fault(f"{position}.state", f"must be complete, pruned or failed, not {result.state}")
    elif result.state is TrialState.COMPLETE and not result.values:
        yield Fault(f"{position}.values", "must hold a complete trial's value, or one for each metric searched")
    elif result.state is not TrialState.COMPLETE and result.values:
        yield Fault(f"{position}.values", f"must be empty for a {result.state} trial")
    if not all(math.isfinite(value) for value in result.values or ()):
        yield Fault(f"{position}.values", f"must be finite; {_TELL_DIVERGED}")


def check_values(results: Sequence[Result], specs: Mapping[str, StudySpec]) -> None:
    """Raises `InvalidInput` where a complete trial has another number of values than its study has metrics."""
    faults = []
    for position, result in enumerate(results):
        spec = specs.get(result.lease.study)
        if spec is None or not result.values or len(result.values) == len(spec.objective.searched):
            continue
        names = ", ".join(spec.objective.searched)
        wanted = f"hold {len(spec.objective.searched)} values, in this order: {names}"
        problem = f"must {wanted if spec.objective.has_several else f'hold the one value of {names}'}"
        faults.append(Fault(f"{position}.values", f"{problem}, not {len(result.values)}"))
    check(faults)


def check_ask(count: int, lease_seconds: float) -> None:
    """Raises `InvalidInput`."""
    faults = []
    if not 1 <= count <= MAX_PAGE:
        faults.append(Fault("count", f"must be from 1 to {MAX_PAGE}"))
    if not 0.1 <= lease_seconds <= MAX_LEASE_SECONDS:
        faults.append(Fault("lease_seconds", f"must be from 0.1 to {MAX_LEASE_SECONDS}"))
    check(faults)


def check_open(state: StudyState, name: str) -> None:
    """Raises `StudyEnded`."""
    if state.has_ended:
        raise StudyEnded(f"study {name!r} has ended ({state})")


def cursor_of(after: str | None, start: int) -> int:
    """Where a page begins. Raises `InvalidInput`."""
    if after is None:
        return start
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidInput(faults=[Fault("cursor", "must be the `next` of an earlier page")])
    return int(after)


def limit_of(limit: int) -> int:
    """A page's size. Raises `InvalidInput`."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(faults=[Fault("limit", f"must be from 1 to {MAX_PAGE}")])
    return limit


def room_of(study: Study, wanted: int) -> int:
    """How many of the wanted new trials the budget and the study's limit allow, by a look that may be old."""
    if study.searched_at is not None:
        return 0
    if study.spec.budget_trials is not None:
        wanted = min(wanted, study.spec.budget_trials - study.counts.created)
    return max(0, min(wanted, slots_of(study, wanted)))


def slots_of(study: Study, wanted: int) -> int:
    """How many of the wanted trials may run besides those that do."""
    if study.spec.max_parallel is None:
        return wanted
    return max(0, min(wanted, study.spec.max_parallel - study.counts.running - study.confirm_counts.running))


def finite(metrics: Metrics) -> dict[str, float | None]:
    """Metrics with None for what JSON cannot say."""
    return {
        stored_text(name) or "": value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }


def stored_text(text: str | None) -> str | None:
    """Text as any database can hold it."""
    if text is None:
        return None
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:10_000]


def by_rules_of(present: StudySpec, wanted: StudySpec) -> StudySpec:
    """What is wanted, with the rules of `auto` that the present study was made with where it names none."""
    kept = {
        name: rules
        for name, rules in (("sampler", present.sampler), ("pruner", present.pruner))
        if isinstance(rules, AutoSampler | AutoPruner)
        and isinstance(asked := getattr(wanted, name), type(rules))
        and "version" not in asked.model_fields_set
    }
    return wanted.model_copy(update=kept)


def difference(present: StudySpec, wanted: StudySpec) -> str:
    """Which parts of a study's description differ, in words."""
    before, after = present.model_dump(), wanted.model_dump()
    changed = [name for name in before if before[name] != after[name]]
    told = f"{', '.join(changed)} would change"
    trials = wanted.budget.trials
    if changed == ["budget"] and trials is not None and trials > (present.budget.trials or trials):
        told += f"; its trials can be raised: hpsearch study extend {present.name} --trials {trials}"
    return told


def by_study(keys: Collection[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """(study id, number) pairs as (study id, numbers)."""
    return [
        (study_id, [number for _, number in group]) for study_id, group in groupby(sorted(keys), lambda key: key[0])
    ]
