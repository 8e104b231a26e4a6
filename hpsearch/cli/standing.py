"""How a study stands, as text."""

from typing import TYPE_CHECKING

from hpsearch.cli.output import no_one_best, say, shown

if TYPE_CHECKING:
    from hpsearch.studies import Best, Study


def say_study(study: "Study") -> None:
    """Its state, its trials by theirs, its time and its best."""
    counts = study.counts
    of = "" if study.spec.budget_trials is None else f" of {study.spec.budget_trials}"
    say(f"{study.name}: {study.state}" + (f" ({study.reason})" if study.reason else ""))
    say(
        f"  {counts.finished}{of} trials finished: {counts.complete} complete, {counts.pruned} pruned, "
        f"{counts.failed} failed; {counts.running} running, {counts.waiting} waiting"
        + (f", {counts.paused} paused at a rung" if counts.paused else "")
    )
    if study.compute_seconds:
        apart = f", and {study.confirm_seconds:.1f} s to confirm" if study.confirm_seconds else ""
        say(f"  workers held its trials for {study.compute_seconds:.1f} s{apart}")
    if study.ended_because is not None:
        say(f"  the search ended because of: {study.ended_because.value}")
    confirming = study.confirm_counts
    if confirming.created:
        say(
            f"  {confirming.finished} of {confirming.created} runs on fresh seeds finished: {confirming.complete} "
            f"complete, {confirming.failed} failed; {confirming.running} running, {confirming.waiting} waiting"
        )
    if study.best_value is not None:
        say(f"  best: trial {study.best_number}, {study.spec.objective.metric} {shown(study.best_value)}")
    elif study.spec.objective.has_several:
        say(f"  {no_one_best(study.name)}")


def say_chosen(study: "Study") -> None:
    """What searches it, where that was left to us."""
    for reason in study.chosen.reasons:
        say(f"  chosen by auto: {reason}")


def say_best(found: "Best", study: "Study") -> None:
    """The best trial of a study, with its parameters and all that it measured; or why there is none."""
    if study.spec.objective.has_several:
        say(f"{found.study}: {no_one_best(study.name)} ({found.state})")
        return
    if found.trial is None:
        none = f"{found.study} has no complete trial yet"
        if complete := study.counts.complete:
            none = f"none of the {complete} complete trials of {found.study} satisfies its constraints"
        say(f"{none} ({found.state})")
        return
    say(f"{found.study}: trial {found.trial.number}, value {shown(found.trial.value)} ({found.state})")
    for title, values in (("parameters", found.trial.parameters), ("metrics", found.trial.metrics)):
        say(f"  {title}:")
        for key, value in values.items():
            say(f"    {key}: {shown(value)}")
