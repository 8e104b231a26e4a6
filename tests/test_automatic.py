"""What `auto` chooses, and that it says so."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.automatic import Progress, choice_of, next_sampler_of, pruner_of, sampler_of
from hpsearch.errors import InvalidSpec, StudyExists
from hpsearch.gateway import Assignment
from hpsearch.objectives.objective import ObjectiveInfo, ParameterInfo
from hpsearch.pruner_spec import ASHAPruner, MedianPruner, NoPruner
from hpsearch.sampler_spec import AutoSampler, BruteForceSampler, GPSampler, QMCSampler, TPESampler
from hpsearch.search.history import History
from hpsearch.search.pruners import judged_steps
from hpsearch.search.samplers import suggest
from hpsearch.service import Later, Service
from hpsearch.spec import StudySpec, parse_study
from hpsearch.studies import Study, StudyState
from hpsearch.trials import Observation, Result, TrialState
from tests.conftest import loop_study

AUTO = {"sampler": {"name": "auto"}, "pruner": {"name": "auto"}}
FLOAT = {"x": {"type": "float", "low": 0, "high": 1}}
FEW = {"a": {"type": "int", "low": 1, "high": 3}, "b": {"type": "categorical", "choices": ["p", "q"]}}


def study(settings: Any = None, **changes: Any) -> StudySpec:
    raw = loop_study(**({"space": FLOAT, "budget": {"trials": 100}} | AUTO | changes))
    raw["objective"] |= {"settings": settings or {}}
    return parse_study(raw)


@pytest.mark.parametrize(
    ("space", "budget", "chosen"),
    [
        (FLOAT, {"trials": 100}, GPSampler),
        (FLOAT, {"wall_clock": "1h"}, GPSampler),
        (FLOAT, {"trials": 10}, QMCSampler),
        (FEW, {"trials": 6}, TPESampler),
        (FEW, {"trials": 5}, TPESampler),
        (FEW, {"wall_clock": 60.0}, GPSampler),
        (FLOAT | FEW, {"trials": 1000}, GPSampler),
        ({f"x{index}": FLOAT["x"] for index in range(41)}, {"trials": 100}, TPESampler),
    ],
)
def test_the_sampler_is_chosen_by_the_space_and_the_budget(space: Any, budget: Any, chosen: type) -> None:
    spec = study(space=space, budget=budget)
    assert isinstance(sampler_of(spec), chosen)
    assert sampler_of(spec).name == choice_of(spec).reasons[0].partition(":")[0]


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"max_epochs": 50}, ASHAPruner(min_resource=5, max_resource=50)),
        ({"epochs": 300}, ASHAPruner(min_resource=30, max_resource=300)),
        ({"epochs": 9}, ASHAPruner(min_resource=1, max_resource=9)),
        ({"max_epochs": 2}, NoPruner()),
        ({}, MedianPruner()),
        ({"max_epochs": "many"}, MedianPruner()),
        ({"max_epochs": True}, MedianPruner()),
        ({"max_epochs": -1}, MedianPruner()),
        ({"max_epochs": 50, "folds": 5}, MedianPruner()),
        ({"max_epochs": 50, "folds": 1}, ASHAPruner(min_resource=5, max_resource=50)),
    ],
)
def test_the_pruner_is_chosen_by_what_is_known_of_the_steps(settings: Any, chosen: Any) -> None:
    spec = study(settings)
    assert pruner_of(spec) == chosen
    assert chosen.name == choice_of(spec).reasons[1].partition(":")[0]


def test_a_gaussian_process_hands_over_to_tpe() -> None:
    spec = study(budget={"trials": 300})
    assert [sampler_of(spec, Progress(finished)).name for finished in (0, 199, 200, 299)] == ["gp", "gp", "tpe", "tpe"]
    assert "from 200 finished trials on tpe" in choice_of(spec, Progress(199)).reasons[0]
    assert choice_of(spec, Progress(200)).reasons[0].endswith("gp had the first 200 trials")
    earlier = study(budget={"trials": 300}, sampler={"name": "auto", "version": 2})
    assert sampler_of(spec, Progress(200)) == sampler_of(earlier) == sampler_of(earlier, Progress(200))
    assert sampler_of(study(space={f"x{index}": FLOAT["x"] for index in range(40)})).name == "gp"


def test_several_metrics_are_a_gaussian_process_s_first_too() -> None:
    metrics = {"objective": {"metrics": {"a": "minimize", "b": "maximize"}}}
    spec = parse_study(loop_study(space=FLOAT, budget={"trials": 300}, **AUTO) | metrics)
    assert [sampler_of(spec, Progress(finished)).name for finished in (0, 199, 200)] == ["gp", "gp", "tpe"]
    assert "by weights of the metrics" in choice_of(spec).reasons[0]
    earlier = parse_study(
        loop_study(space=FLOAT, budget={"trials": 300}) | metrics | {"sampler": {"name": "auto", "version": 2}}
    )
    assert sampler_of(earlier).name == "tpe"


def test_many_parallel_trials_are_tpe_s() -> None:
    spec = study(budget={"trials": 200})
    assert [sampler_of(spec, Progress(9, running)).name for running in (100, 101)] == ["gp", "tpe"]
    assert "more than 100 trials at a time" in choice_of(spec, Progress(9, 101)).reasons[0]


@pytest.mark.parametrize(
    ("finished", "running", "by"),
    [(2, 0, "qmc"), (20, 0, None), (20, 3, "gp"), (199, 9, None), (199, 10, "gp"), (200, 9, None), (20, 101, None)],
)
def test_points_are_drawn_by_what_is_chosen(finished: int, running: int, by: str | None) -> None:
    history = History(study(budget={"trials": 1000}))
    for number in range(finished + running):
        x = number * 0.618 % 1
        state, values = (TrialState.COMPLETE, [x]) if number < finished else (TrialState.RUNNING, None)
        history.update([Observation(number, state, {"x": x}, values, None, None, {}, number + 1)])
    (suggestion,) = suggest(history, [{}])
    assert suggestion.sampler_attributes.get("by") == by


@pytest.mark.parametrize("together", [1, 2, 3, 8])
def test_one_trial_in_three_is_the_process_s_however_many_are_asked_for(together: int) -> None:
    spec = study(budget={"trials": 1000})
    drawn = [next_sampler_of(spec, Progress(finished)).name for finished in range(10, 190, together)]
    assert drawn.count("gp") / len(drawn) == pytest.approx(1 / 3, abs=0.12)
    assert set(drawn) == {"gp", "tpe"}
    assert next_sampler_of(spec, Progress(3)).name == "gp"  # which begins


def test_of_several_metrics_and_by_name_every_trial_is_the_process_s() -> None:
    metrics = {"objective": {"metrics": {"a": "minimize", "b": "maximize"}}}
    several = parse_study(loop_study(space=FLOAT, budget={"trials": 300}, **AUTO) | metrics)
    named = study(budget={"trials": 300}, sampler={"name": "gp"})
    for spec in (several, named):
        assert {next_sampler_of(spec, Progress(finished)).name for finished in range(190)} == {"gp"}


def asked(service: Service, name: str) -> list[Assignment]:
    """A trial, once it is drawn."""
    while not (found := service.ask(name)):
        assert isinstance(found, Later)
    return found


def test_what_is_chosen_follows_the_finished_trials(service: Service) -> None:
    name = service.create_study(loop_study(space=FLOAT, budget={"trials": 203}, **AUTO))[0].name
    rng = np.random.default_rng(0)
    service.enqueue(name, [{"x": float(x)} for x in rng.random(199)])  # which nobody need draw
    seen = []
    for number in range(203):
        (assignment,) = asked(service, name)
        value = float(assignment.parameters["x"]) ** 2  # type: ignore[arg-type]
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))
        if number >= 198:
            seen.append(service.get_study(name).chosen.sampler.name)
    assert seen == ["gp"] + ["tpe"] * 4


def test_the_same_file_finds_a_study_of_earlier_rules(service: Service) -> None:
    earlier = {part: {"name": "auto", "version": 1} for part in AUTO}
    made, _ = service.create_study(loop_study(space=FLOAT, budget={"trials": 100}, **earlier))
    raw = loop_study(space=FLOAT, budget={"trials": 100}, **AUTO)
    assert service.create_study(raw) == (made, False)
    with pytest.raises(StudyExists, match="sampler would change"):
        service.create_study(raw | {"sampler": {"name": "auto", "version": 2}})
    with pytest.raises(StudyExists, match="sampler would change"):
        service.create_study(raw | {"sampler": {"name": "tpe"}})


def test_a_study_keeps_the_rules_that_it_was_made_with() -> None:
    first = {"name": "auto", "version": 1}
    earlier = study({"max_epochs": 50}, sampler=first, pruner=first)
    assert pruner_of(earlier) == ASHAPruner(min_resource=1)
    assert "step 1" in choice_of(earlier).reasons[1]
    assert isinstance(sampler_of(study(space=FEW, budget={"trials": 6}, sampler=first)), BruteForceSampler)
    assert sampler_of(earlier) == TPESampler(
        startup_trials=10, startup="quasi_random", multivariate=False, exploration=0.5, rank_pruned_by="value"
    )


@pytest.mark.parametrize(("budget", "rungs", "startup"), [(300, (5, 3), 10), (301, (1, 4), 1000), (None, (1, 4), 1000)])
def test_few_trials_go_further_and_many_are_spread_wider(budget: int | None, rungs: Any, startup: int) -> None:
    spec = study({"max_epochs": 50}, budget={"trials": budget, "compute_seconds": 3600.0})
    assert pruner_of(spec) == ASHAPruner(min_resource=rungs[0], max_resource=50, reduction_factor=rungs[1])
    sampler = sampler_of(spec)
    assert isinstance(sampler, TPESampler)
    assert sampler.startup_trials == startup


def test_a_trial_that_came_to_its_end_is_not_pruned_there() -> None:
    assert judged_steps(pruner_of(study({"epochs": 9})), 0) == (1, 3)
    earlier = study({"epochs": 9}, pruner={"name": "auto", "version": 2})
    assert judged_steps(pruner_of(earlier), 0)[:3] == (1, 3, 9)  # type: ignore[index]
    many = study({"epochs": 16}, budget={"wall_clock": "1h"})
    assert judged_steps(pruner_of(many), 0) == (1, 4)


def test_auto_is_the_default() -> None:
    raw = loop_study()
    del raw["sampler"], raw["pruner"]
    assert choice_of(parse_study(raw)) == choice_of(parse_study(raw | AUTO))


def test_a_grid_is_not_pruned() -> None:
    assert pruner_of(study({"max_epochs": 50}, space=FEW, sampler={"name": "grid"}, budget={})) == NoPruner()


def test_scripts_that_define_their_space_themselves_get_all_their_trials() -> None:
    spec = study(space={}, budget={"trials": 20})
    assert spec.budget_trials == 20
    assert isinstance(sampler_of(spec), TPESampler)


def test_where_rungs_make_trials_cheap_chance_has_a_larger_share() -> None:
    wide = {f"x{index}": FLOAT["x"] for index in range(8)}
    settings = {"max_epochs": 50}
    cheap = sampler_of(study(settings, space=wide, budget={"trials": 300}))
    assert isinstance(cheap, TPESampler)
    assert (cheap.startup_trials, cheap.exploration, cheap.rank_pruned_by) == (48, 0.5, "value")
    small = sampler_of(study(settings, space=wide, budget={"trials": 100}))
    assert isinstance(small, TPESampler)
    assert small.startup_trials == 25
    dear = study(settings, space=wide, pruner={"name": "none"})
    assert sampler_of(dear) == GPSampler(startup_trials=8, startup="quasi_random")
    later = sampler_of(dear, Progress(200))
    assert isinstance(later, TPESampler)
    assert (later.startup_trials, later.exploration) == (10, 0.0)


def test_a_study_whose_configurations_are_all_tried_ends(service: Service) -> None:
    assert study(space=FLOAT | FEW, budget={"trials": 10}).budget_trials == 10
    assert study(space=FEW, budget={"trials": 5}).budget_trials == 5
    assert study(space=FEW, budget={"wall_clock": 60.0}).budget_trials is None
    name = service.create_study(loop_study(space=FEW, budget={"trials": 10}, **AUTO))[0].name
    tried = service.ask(name, 10)
    for assignment in tried:
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(0.0,)))
    assert len({tuple(assignment.parameters.values()) for assignment in tried}) == 6
    assert service.get_study(name).state is StudyState.COMPLETE


def test_a_few_trials_of_a_countable_space_are_all_different(service: Service) -> None:
    name = service.create_study(loop_study(space=FEW, budget={"trials": 5}, **AUTO))[0].name
    for _ in range(5):
        (assignment,) = service.ask(name)
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(0.0,)))
    assert len({tuple(trial.parameters.values()) for trial in service.list_trials(name).items}) == 5


def test_what_the_user_chose_stays() -> None:
    spec = study(sampler={"name": "random"}, pruner={"name": "none"})
    choice = choice_of(spec)
    assert (choice.sampler, choice.pruner, choice.reasons) == (spec.sampler, spec.pruner, ())
    assert len(choice_of(study(pruner={"name": "none"})).reasons) == 1


def test_the_choice_is_on_record_and_goes_over_the_wire(service: Service) -> None:
    raw = loop_study(space=FLOAT, budget={"trials": 100}, **AUTO)
    made, _ = service.create_study(raw)
    assert made.spec.sampler == AutoSampler()
    assert service.create_study(raw) == (made, False)
    told = service.get_study(made.name).model_dump(mode="json")
    assert told["spec"]["sampler"] == {"name": "auto", "version": 3}
    assert (told["chosen"]["sampler"]["name"], told["chosen"]["pruner"]["name"]) == ("gp", "median")
    assert told["chosen"]["reasons"][1].startswith("median: how many steps")
    assert Study.model_validate(told) == made


def trainer(epochs: Any) -> ObjectiveInfo:
    """What a user's objective says of itself, whose default number of epochs this is."""
    parameters = (
        ParameterInfo(name="x", type="float", meaning="Where."),
        ParameterInfo(name="epochs", type="int", default=epochs, required=epochs is None, meaning="How long."),
    )
    return ObjectiveInfo(name="trainer", description="", parameters=parameters, metrics=())


def trained(**changes: Any) -> dict[str, Any]:
    objective = {"name": "trainer", "metric": "loss", "direction": "minimize"} | changes.pop("objective", {})
    return loop_study(space=FLOAT, budget={"trials": 100}, **AUTO) | {"objective": objective} | changes


def test_the_default_number_of_epochs_is_kept_with_the_study(service: Service) -> None:
    service.publish_objectives([trainer(50)])
    made, _ = service.create_study(trained())
    assert made.spec.objective.settings == {"epochs": 50}
    assert made.chosen.pruner == ASHAPruner(min_resource=5, max_resource=50)
    assert service.create_study(trained()) == (made, False)
    assert service.clone_study(made.name, "clone").study.spec.objective == made.spec.objective
    service.publish_objectives([trainer(80)])
    assert service.get_study(made.name) == made
    with pytest.raises(StudyExists, match="objective would change"):  # its trials would be longer
        service.create_study(trained())
    assert service.create_study(trained(name="later"))[0].chosen.pruner == ASHAPruner(min_resource=8, max_resource=80)


def test_a_study_that_is_older_than_its_objective_s_default_is_the_same_study(service: Service) -> None:
    service.publish_objectives([trainer(None)])
    made, _ = service.create_study(trained(space=FLOAT | {"epochs": {"type": "int", "low": 1, "high": 9}}))
    assert made.spec.objective.settings == {}
    assert isinstance(made.chosen.pruner, MedianPruner)  # how long is searched
    open_ended = ObjectiveInfo(name="open", description="", parameters=(), metrics=(), open=True)
    service.publish_objectives([open_ended])
    before, _ = service.create_study(trained(name="before", objective={"name": "open"}))
    service.publish_objectives([replace(trainer(50), name="open")])
    assert service.create_study(trained(name="before", objective={"name": "open"})) == (before, False)


def test_who_chooses_a_pruner_says_how_long_trials_are(service: Service) -> None:
    service.publish_objectives([trainer(50)])
    assert service.create_study(trained(pruner={"name": "median"}))[0].spec.objective.settings == {}
    with pytest.raises(InvalidSpec, match=r"objective\.settings: must be an object"):
        service.create_study(trained(name="wrong", objective={"settings": 5}))


def test_other_versions_and_options_are_refused() -> None:
    with pytest.raises(InvalidSpec) as caught:
        study(sampler={"name": "auto", "version": 4}, pruner={"name": "auto", "min_resource": 3})
    assert {fault.path for fault in caught.value.faults} == {"sampler.version", "pruner.min_resource"}
