"""`hpsearch trial`: one trial, looked at and trained again."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.gateway import Registration
from hpsearch.trials import Result, TrialState, trial_seed
from tests.cli.conftest import Command, Shell
from tests.cli.runs import QUICK, running, write_study
from tests.conftest import loop_study
from tests.servers import serving
from tests.worker.conftest import Lab
from tests.worker.objectives import PATHS


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A server whose workers run the tests' objective, as this command line can too."""
    lab = Lab(tmp_path)
    monkeypatch.setattr("hpsearch.cli.replay.OBJECTIVES", PATHS)
    with serving(lab.service, lab.settings) as url:
        monkeypatch.setenv("HPSEARCH_SERVER", url)
        yield lab
    lab.service.close()


def run(lab: Lab, act: str, **study: Any) -> None:
    lab.create(act, seed=5, **study)
    with lab.agent():
        lab.wait_until_ended()


def test_show(hpsearch: Command, lab: Lab) -> None:
    run(lab, "save")
    trial = lab.trial()
    lines = hpsearch("trial", "show", "s", "0").output.splitlines()
    assert lines[0] == f"s: trial 0 complete, value {trial.value:.4g}"
    assert f"  seed: {trial_seed(5, 0)}" in lines
    assert "  attempts: 1, worker w1" in lines
    assert f"  last report: step 3, value {trial.last_value:.4g}" in lines
    assert "    model.safetensors: 12 bytes" in lines
    told = hpsearch("trial", "show", "s", "0", "--json").json
    assert (told["number"], told["seed"], told["parameters"]) == (0, trial_seed(5, 0), dict(trial.parameters))
    assert "sampler_attributes" not in told


def test_show_a_trial_that_is_not_there(hpsearch: Command, lab: Lab) -> None:
    lab.create()
    answer = hpsearch("trial", "show", "s", "3")
    assert (answer.code, answer.output) == (1, "")
    assert answer.complaints == "error: study 's' has no trial 3\n"


def test_a_trial_is_the_same_again(hpsearch: Command, lab: Lab) -> None:
    run(lab, "save")  # a file is saved on the way, and not kept again
    (before,) = lab.service.list_artifacts("s", 0)
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 0, answer.complaints
    rows = [[cell.strip() for cell in row] for row in answer.rows]
    assert rows[1] == ["step", "recorded", "replayed", "difference"]
    reports = lab.service.list_reports("s", 0)
    assert rows[2:5] == [[str(r.step), repr(r.value), repr(r.value), "same"] for r in reports]
    assert ["seed", str(trial_seed(5, 0) % 1000) + ".0", str(trial_seed(5, 0) % 1000) + ".0", "same"] in rows
    assert answer.output.splitlines()[-1] == "identical to the bit: 8 numbers"
    assert lab.service.list_artifacts("s", 0) == [before]


def test_a_trial_that_differs(hpsearch: Command, lab: Lab) -> None:
    run(lab, "wander")
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 1
    assert answer.complaints == ""
    last = answer.output.splitlines()[-1]
    assert re.fullmatch(r"not identical: 2 of 4 numbers differ; the largest difference is \S+ \(luck.*\)", last)

    told = hpsearch("trial", "replay", "s", "0", "--json")
    assert (told.code, told.json["identical"]) == (1, False)
    (at_step, at_end) = told.json["different"]
    assert (at_step["name"], at_end["name"]) == ("luck at step 1", "luck")
    recorded = lab.trial().metrics["luck"]
    assert at_end["recorded"] == recorded
    differences = [abs(pair["recorded"] - pair["replayed"]) for pair in (at_step, at_end)]
    assert told.json["largest_difference"] == max(differences) > 0
    (report,) = told.json["reports"]
    assert report["recorded"] == report["replayed"] == lab.trial().last_value


def test_a_pruned_trial_is_pruned_where_it_was(hpsearch: Command, lab: Lab) -> None:
    pruner = {"name": "median", "startup_trials": 1, "warmup_steps": 1}
    lab.create(trials=2, pruner=pruner, steps=5)
    lab.service.enqueue("s", [{"x": 1.0}, {"x": 9.0}])
    with lab.agent():
        lab.wait_until_ended()
    answer = hpsearch("trial", "replay", "s", "1", "--json")
    assert answer.code == 0, answer.output
    told = answer.json
    assert (told["state"], told["replayed_state"], told["identical"]) == ("pruned", "pruned", True)
    assert [report["step"] for report in told["reports"]] == [1, 2]


def test_why_a_trial_was_pruned_is_shown_in_figures(hpsearch: Command, lab: Lab) -> None:
    """Of two that pause behind the best, one goes on; both are pruned at the end, and can be trained again."""
    pruner = {"name": "asha", "reduction_factor": 2, "max_resource": 4, "promote": True}
    lab.create("climb", trials=4, pruner=pruner, steps=4)
    lab.service.enqueue("s", [{"x": x} for x in (1.0, 2.0, 3.0, 4.0)])
    with lab.agent():
        lab.wait_until_ended()
    answer = hpsearch("trial", "show", "s", "3")
    assert "  pruner: asha at step 1, 17 held against 5, number 4 of 4\n" in answer.output
    told = hpsearch("trial", "show", "s", "3", "--json").json
    assert (told["pruning"]["rank"], told["pruning"]["of"]) == (4, 4)
    table = hpsearch("study", "trials", "s").rows
    assert table[0][4] == "rank"
    assert table[4][4] == "4/4"
    assert hpsearch("trial", "replay", "s", "3").code == 0


def test_a_trial_that_failed_fails_again(hpsearch: Command, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    run(lab, "raise_error")
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 0
    assert "on record it is failed (ValueError: no good); replayed it is failed (ValueError: no good)" in answer.output
    assert 'raise ValueError("no good")' in caplog.text


def test_another_end_is_no_identity(hpsearch: Command, lab: Lab) -> None:
    lab.create(steps=0)
    lab.service.register(
        Registration(name="w", session="s", host="here", pid=1, slots=1, objectives=("scripted",), version="0")
    )
    (assignment,) = lab.service.claim("w", "s", [], 1)
    lab.service.tell([Result(lease=assignment.lease, state=TrialState.FAILED, reason="the power went")])
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 1
    assert "on record it is failed (the power went); replayed it is complete\n" in answer.output
    assert answer.output.splitlines()[-1] == "not identical: 2 of 2 numbers differ; 2 are there but once"


def test_a_replay_that_dies(hpsearch: Command, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run(lab, "leave", max_attempts=1)
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 1
    assert answer.complaints == "error: the trial's process died: exit code 3\n"
    monkeypatch.setattr("hpsearch.cli.replay.OBJECTIVES", {"scripted": "tests.worker.objectives:Unimportable"})
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 1
    assert "an objective cannot be imported: ModuleNotFoundError: No module named 'torch'" in answer.complaints


def test_a_replay_fetches_what_the_trial_fetched(hpsearch: Command, lab: Lab) -> None:
    lab.create("save", name="first")
    with lab.agent():
        lab.wait_until_ended("first")
    run(lab, "fetch", source="first best model.safetensors")
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 0, answer.output
    assert [trace["fetched"] for trace in lab.traces(fetched=...)] == ["weights of 0"] * 2
    assert not Path(lab.traces(path=...)[-1]["path"]).exists()


def test_threads_and_data_are_a_workers(hpsearch: Command, lab: Lab, tmp_path: Path) -> None:
    run(lab, "show_environment")
    assert hpsearch("trial", "replay", "s", "0", "--threads", "2", "--data", str(tmp_path)).code == 0
    recorded, replayed = lab.traces(torch=...)
    assert (recorded["threads"], replayed["threads"]) == (["1"] * 3, ["2"] * 3)
    assert (recorded["torch"], replayed["torch"]) == (1, 2)


def test_a_trial_that_has_not_finished(hpsearch: Command, lab: Lab) -> None:
    lab.create()
    lab.service.enqueue("s", [{"x": 1.0}])
    answer = hpsearch("trial", "replay", "s", "0")
    assert answer.code == 1
    assert "is waiting: there is nothing to compare with" in answer.complaints


def test_a_trial_of_an_outside_loop(hpsearch: Command, lab: Lab) -> None:
    lab.service.create_study(loop_study())
    lab.service.enqueue("bowl", [{"x": 1.0}])
    answer = hpsearch("trial", "replay", "bowl", "0")
    assert answer.code == 1
    assert "study 'bowl' names no objective; only trials of scripted can be replayed" in answer.complaints


def test_a_recurrent_network_is_the_same_again_and_is_taken_home(shell: Shell, tmp_path: Path) -> None:
    process = shell.run(*running(write_study(tmp_path, 1, QUICK | {"dropout": 0.2})), seconds=120)
    assert process.returncode == 0, process.stdout + process.stderr
    shell.start("serve", "--port", "0")
    shell.environment["HPSEARCH_SERVER"] = shell.server_url()
    replay = shell.run("trial", "replay", "tiny", "0", seconds=120)
    assert replay.returncode == 0, replay.stdout + replay.stderr
    assert re.search(r"\nidentical to the bit: \d\d numbers\n", replay.stdout)
    taken = shell.run("study", "model", "tiny", "--to", str(tmp_path / "model"))
    assert taken.returncode == 0, taken.stderr
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"card.md", "model.json", "model.safetensors"}
    card = (tmp_path / "model" / "card.md").read_text()
    assert "| data set | digits |" in card
    assert re.search(r"\| accuracy \| \S+ \| \S+ \| \S+ \|", card)
