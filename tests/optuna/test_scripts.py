"""Optuna's scripts and our studies: who may write, what a budget is worth, what a killed script costs."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState as OptunaState

import hpsearch.optuna
from hpsearch.errors import StudyEnded
from hpsearch.search.storage import Storage
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.studies import StudyState
from hpsearch.trials import Result, TrialState
from tests.conftest import loop_study, toy_study
from tests.servers import serving
from tests.service.conftest import Worker

SPACE = {"x": {"type": "float", "low": -5, "high": 5}, "n": {"type": "int", "low": 1, "high": 8}}
SCRIPT = """
import sys, optuna, hpsearch.optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
def objective(trial):
    x, n = trial.suggest_float("x", -5, 5), trial.suggest_int("n", 1, 8)
    for step in range(3):
        trial.report(x * x + n / (step + 1), step)
    trial.set_user_attr("by", "script")
    {extra}
    return x * x + n
study = optuna.load_study(study_name="bowl", storage=hpsearch.optuna.Storage(sys.argv[1]))
try:
    study.optimize(objective, n_trials=int(sys.argv[2]))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.fixture
def url(service: Service, shared_settings: Settings) -> Iterator[str]:
    with serving(service, shared_settings) as url:
        yield url


def script(url: str, trials: int, extra: str = "pass") -> "subprocess.Popen[str]":
    code = SCRIPT.replace("{extra}", extra)
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, url, str(trials)],
                            stdout=subprocess.PIPE, text=True)  # fmt: skip


def together(parties: int, run: Any) -> list[Any]:
    barrier, results = threading.Barrier(parties), [None] * parties

    def start(party: int) -> None:
        barrier.wait()
        results[party] = run(party)

    threads = [threading.Thread(target=start, args=(party,)) for party in range(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_script_joins_a_study_of_ours_beside_our_own_loop(url: str, service: Service) -> None:
    service.create_study(loop_study(space=SPACE, budget={"trials": 12}, sampler={"name": "tpe", "startup_trials": 4}))
    process = script(url, 1000)
    mine = 0
    while True:
        try:
            assignments = service.ask("bowl")
        except StudyEnded:
            break
        for assignment in assignments:
            value = float(assignment.parameters["n"] or 0)
            service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))
            mine += 1
            if mine == 3:  # the rest is the script's
                assert process.wait(60) == 0
    assert process.stdout is not None
    assert process.stdout.read().strip() in ("BudgetExceeded", "StudyEnded")
    process.stdout.close()
    study, trials = service.get_study("bowl"), list(service.export("bowl"))
    assert (study.state, study.counts.complete, len(trials)) == (StudyState.COMPLETE, 12, 12)
    theirs = [trial for trial in trials if service.list_reports("bowl", trial.number)]
    assert len(theirs) == 12 - mine
    assert all(set(trial.parameters) == {"x", "n"} for trial in trials)
    assert study.best_value == min(trial.value or 0.0 for trial in trials)
    seen = optuna.load_study(study_name="bowl", storage=hpsearch.optuna.Storage(url))
    assert len(seen.trials) == 12
    assert seen.best_value == study.best_value
    assert sum(trial.user_attrs.get("by") == "script" for trial in seen.trials) == len(theirs)


def test_a_parameter_that_is_not_in_the_space_is_refused(service: Service, storage: Storage) -> None:
    service.create_study(loop_study(space=SPACE))
    trial = optuna.load_study(study_name="bowl", storage=storage).ask()
    with pytest.raises(ValueError, match="not in the study's space"):
        trial.suggest_float("y", 0, 1)
    with pytest.raises(ValueError, match="distribution"):
        trial.suggest_float("n", 0, 1)
    trial.suggest_float("x", -1, 1)


def test_a_trial_of_our_workers_cannot_be_written_to(service: Service, storage: Storage) -> None:
    service.create_study(toy_study())
    worker = Worker(service)
    (assignment,) = worker.claim()
    worker.report(assignment, 1, 0.5)
    study_id = storage.get_study_id_from_name("bowl")
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, 0)
    for write in (
        lambda: storage.set_trial_user_attr(trial_id, "a", 1),
        lambda: storage.set_trial_intermediate_value(trial_id, 1, 9.0),
        lambda: storage.set_trial_state_values(trial_id, OptunaState.COMPLETE, [1.0]),
    ):
        with pytest.raises(UpdateFinishedTrialError):
            write()
    worker.complete(assignment, 0.25)
    (trial,) = storage.get_all_trials(study_id)
    assert (trial.state, trial.values, trial.params) == (OptunaState.COMPLETE, [0.25], dict(assignment.parameters))
    assert trial.intermediate_values == {1: 0.5}


def test_who_lost_a_trial_overwrites_nothing(service: Service, storage: Storage) -> None:
    first, second = storage, Storage(storage._port)
    study = optuna.create_study(study_name="mine", storage=first)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    first.set_trial_state_values(trial._trial_id, OptunaState.WAITING)
    again = optuna.load_study(study_name="mine", storage=second).ask()
    assert (again.number, again.suggest_float("x", 0, 1)) == (0, trial.params["x"])
    first.beats.hold(trial._trial_id, "of the first attempt")
    with pytest.raises(UpdateFinishedTrialError):
        trial.report(1.0, 1)
    second.set_trial_state_values(again._trial_id, OptunaState.COMPLETE, [2.0])
    assert study.trials[0].value == 2.0


def test_a_killed_scripts_trial_is_taken_up_with_its_parameters(url: str, service: Service) -> None:
    service.create_study(loop_study(space=SPACE, budget={"trials": 1}))
    process = script(url, 1, extra="print('here', flush=True); import time; time.sleep(100)")
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.kill()
    process.wait()
    process.stdout.close()
    (before,) = service.export("bowl")
    assert before.state is TrialState.RUNNING
    # instead of waiting for the end of its lease, end it
    storage = Storage(service.optuna)
    study_id = storage.get_study_id_from_name("bowl")
    storage.set_trial_state_values(storage.get_trial_id_from_study_id_trial_number(study_id, 0), OptunaState.WAITING)
    (assignment,) = service.ask("bowl")
    assert (assignment.lease.number, assignment.parameters) == (0, before.parameters)


def test_a_script_that_lives_keeps_its_trials_and_a_dead_one_loses_them(make_service: Any, clock: Any) -> None:
    service = make_service()
    alive, dead = Storage(service.optuna), Storage(service.optuna)
    study = optuna.create_study(study_name="mine", storage=alive)
    kept, lost = study.ask(), optuna.load_study(study_name="mine", storage=dead).ask()
    for _ in range(3):
        clock.advance(40)
        alive.beats.beat()  # as its thread does
        service.reap()
    assert [trial.state for trial in study.trials] == [OptunaState.RUNNING, OptunaState.WAITING]
    study.tell(kept, 1.0)
    dead.beats.beat()
    with pytest.raises(UpdateFinishedTrialError):
        dead.set_trial_state_values(lost._trial_id, OptunaState.COMPLETE, [1.0])


def test_no_waiting_trial_is_claimed_twice(service: Service, storage: Storage) -> None:
    """Optuna's own SQLite storage hands 20 of 120 out twice."""
    study = optuna.create_study(study_name="mine", storage=storage)
    for number in range(40):
        study.enqueue_trial({"x": float(number)})
    parties = [Storage(storage._port) for _ in range(4)]

    def drain(party: int) -> list[int]:
        mine = parties[party]
        trials = mine.get_all_trials(study._study_id, deepcopy=False)
        return [trial.number for trial in trials if mine.set_trial_state_values(trial._trial_id, OptunaState.RUNNING)]

    numbers = [number for found in together(4, drain) for number in found]
    assert sorted(numbers) == list(range(40))


def test_one_of_several_concurrent_tells_counts(service: Service, storage: Storage) -> None:
    """Optuna's own SQLite storage takes both of 34 of 60."""
    study = optuna.create_study(study_name="mine", storage=storage)
    parties = [Storage(storage._port) for _ in range(4)]
    for _ in range(10):
        trial_id = storage.create_new_trial(study._study_id)

        def tell(party: int, trial_id: int = trial_id) -> str:
            try:
                parties[party].set_trial_state_values(trial_id, OptunaState.COMPLETE, [float(party)])
            except UpdateFinishedTrialError:
                return "refused"
            return f"{float(party)}"

        answers = Counter(together(4, tell))
        assert answers.pop("refused") == 3
        assert answers == {f"{storage.get_trial(trial_id).value}": 1}


def test_a_study_defined_by_a_script_is_seen_by_our_side(service: Service, storage: Storage) -> None:
    study = optuna.create_study(study_name="two of them", storage=storage, directions=["minimize", "maximize"])
    study.optimize(
        lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_categorical("c", [None, "a"]) == "a"), 5
    )
    (info,) = service.list_studies().items
    assert info.counts.complete == 5
    assert info.best_number is None  # several objectives have no one best
    assert [len(trial.values or ()) for trial in service.export(info.name)] == [2] * 5
    front = service.understanding.front(info.name, {})
    assert {trial.number for trial in front.trials} == {trial.number for trial in study.best_trials}
    assert list(front.metrics.values()) == ["minimize", "maximize"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # of Optuna's QMCSampler
def test_samplers_that_keep_state_in_the_storage_go_on_after_a_restart(service: Service, storage: Storage) -> None:
    samplers = [
        lambda: optuna.samplers.TPESampler(seed=1),
        lambda: optuna.samplers.CmaEsSampler(seed=1, n_startup_trials=2),
        lambda: optuna.samplers.QMCSampler(seed=1, warn_independent_sampling=False),
        lambda: optuna.samplers.GridSampler({"x": [0.0, 0.25, 0.5, 0.75], "y": [1, 2, 3]}, seed=1),
        lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
    ]
    for number, make in enumerate(samplers):
        for _ in range(4):  # a new process each, as it were
            study = optuna.create_study(study_name=f"s{number}", storage=Storage(storage._port), sampler=make(),
                                        load_if_exists=True)  # fmt: skip
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("y", 1, 3), 3)
        assert [trial.state for trial in study.trials] == [OptunaState.COMPLETE] * 12
    grid = {(trial.params["x"], trial.params["y"]) for trial in
            optuna.load_study(study_name="s3", storage=storage).trials}  # fmt: skip
    assert len(grid) == 12


def test_a_script_in_a_conditional_study_suggests_what_is_active(service: Service, storage: Storage) -> None:
    cell = {"type": "categorical", "choices": ["lstm", "gru"]}
    space = {"cell": cell, "forget": {"type": "float", "low": 0, "high": 1, "when": {"cell": "lstm"}},
             "size": {"type": "ordinal", "values": ["s", "m"]}}  # fmt: skip
    service.create_study(loop_study(space=space))
    study = optuna.load_study(study_name="bowl", storage=storage)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("size", ["s", "m"])
        if trial.suggest_categorical("cell", ["lstm", "gru"]) == "lstm":
            return trial.suggest_float("forget", 0, 1)
        with pytest.raises(ValueError, match="is there only when cell is 'lstm', not 'gru'"):
            trial.suggest_float("forget", 0, 1)
        return 2.0

    study.optimize(objective, n_trials=6)
    (mine,) = service.ask("bowl")
    assert ("forget" in mine.parameters) == (mine.parameters["cell"] == "lstm")
    shown = study.trials[6]
    assert shown.params == mine.parameters


def test_a_scripts_attributes_are_what_constraints_are_held_against(service: Service, storage: Storage) -> None:
    service.create_study(loop_study(constraints=["weights <= 10", "x <= 5"]))
    study = optuna.load_study(study_name="bowl", storage=storage)
    for weights in (20, 5, None):
        trial = study.ask()
        if weights is not None:
            trial.set_user_attr("weights", weights)
        study.tell(trial, -float(weights or 99))
    found = [dict(trial.violations) for trial in service.list_trials("bowl").items]
    assert found == [{"weights <= 10": 10.0}, {}, {"weights <= 10": None}]
    best = service.best("bowl").trial
    assert best is not None
    assert best.number == 1
