"""Earlier studies, as a new one learns from them: looked up, checked, and their trials chosen."""

from collections.abc import Iterator, Sequence

from hpsearch.automatic import sampler_of
from hpsearch.earlier import Agreement, Found
from hpsearch.errors import Fault, InvalidSpec
from hpsearch.sampler_spec import TPESampler
from hpsearch.search.earlier import COMPARED, FEWEST, MOST_BEST, MOST_OTHERS, EarlierStudy, Knowledge, tau, weights_of
from hpsearch.search.ended import ended_in
from hpsearch.search.space import Space
from hpsearch.search.table import Table
from hpsearch.service.tables import Tables
from hpsearch.spec import StudySpec
from hpsearch.store import outcomes, studies
from hpsearch.store.database import Database
from hpsearch.studies import Study


def found_for(database: Database, tables: Tables, spec: StudySpec, kept: Sequence[Found] = ()) -> list[Found]:
    """What the studies that a spec names have found; of those that are `kept` already, what they had found then.

    Raises `InvalidSpec` with every one that is not there or tells nothing of the space.
    """
    if not spec.earlier:
        return []
    sampler = sampler_of(spec)
    if not isinstance(sampler, TPESampler):
        problem = f"cannot be: {spec.sampler.name} stands for {sampler.name} here, which learns from no earlier studies"
        raise InvalidSpec(faults=[Fault("earlier", problem)])
    known, space = {item.study: item for item in kept}, Space(spec.space)
    found: list[Found] = []
    faults: list[Fault] = []
    for place, name in enumerate(spec.earlier):
        answer = known.get(name) or _found(database, tables, name, f"earlier.{place}")
        if isinstance(answer, Found):
            found.append(answer)
            faults += [Fault(f"earlier.{place}", problem) for problem in _problems(answer, space)]
        else:
            faults.append(answer)
    if faults:
        raise InvalidSpec(faults=faults)
    return found


def _found(database: Database, tables: Tables, name: str, path: str) -> Found | Fault:
    with database.read() as tx:
        study = studies.present(tx, name)
        if study is None:
            return Fault(path, f"there is no study {name!r}", studies.like(tx, name))
    if study.spec.objective.has_several:
        return Fault(path, f"{name!r} searches several metrics, which have no one ranking")
    return _in_table(database, study, tables.table(study))


def _in_table(database: Database, study: Study, table: Table) -> Found:
    ended = ended_in(table)
    chosen, shares = ended.chosen(MOST_BEST, MOST_OTHERS)
    numbers = [int(number) for number in ended.numbers[chosen]]
    with database.read() as tx:
        trials = {trial.number: trial for trial in outcomes.trials_of(tx, study, numbers)}
    return Found(
        study=study.name,
        trials=len(ended.numbers),
        configurations=tuple(dict(trials[number].parameters) for number in numbers if number in trials),
        shares=tuple(share for number, share in zip(numbers, shares.tolist(), strict=True) if number in trials),
    )


def _problems(found: Found, space: Space) -> Iterator[str]:
    """Why an earlier study tells nothing of a space."""
    searched = {dimension.name for dimension in space.dimensions if not dimension.single}
    shared = sorted(searched.intersection(set().union(*found.configurations)))
    if found.trials < FEWEST:
        few = f"with fewer than {FEWEST} nobody can tell good from bad"
        yield f"{found.study!r} has finished {found.trials} trials: {few}"
    elif not shared:
        yield f"{found.study!r} has no parameter that is searched here: {', '.join(sorted(searched)) or 'none is'}"
    elif len(set(found.shares)) == 1:
        yield f"all trials of {found.study!r} ended alike: they rank nothing"
    elif not EarlierStudy(found, space).known:
        yield f"{found.study!r} has tried no values of {', '.join(shared)} that this study may try"


def agreements(found: Sequence[Found], table: Table) -> tuple[Agreement, ...]:
    """How well earlier studies agree with what a study has found, and how much its sampler heeds each now."""
    if not found:
        return ()
    knowledge, told, ended = Knowledge(found, Space(table.spec.space)), ended_in(table), ended_in(table, COMPARED)
    ranks = ended.ranks()
    scores = knowledge.scores(table.points[ended.numbers], range(len(table.dimensions)))
    taus = [tau(of_study, -ranks) for of_study in scores]
    weights = weights_of(taus, len(ranks), len(told.numbers))
    return tuple(
        Agreement(
            study=study.found.study,
            parameters=tuple(table.dimensions[index].name for index in study.known),
            trials=study.found.trials,
            kept=len(study.found.configurations),
            compared=len(ranks),
            tau=found_tau,
            weight=float(weight),
        )
        for study, found_tau, weight in zip(knowledge.studies, taus, weights, strict=True)
    )
