"""The commands that talk to a server, against a real one."""

import csv
import json
import re
import sys
import uuid
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hpsearch.client import Client, StudyHandle
from hpsearch.errors import StudyNotFound
from tests.cli.conftest import Command
from tests.conftest import loop_study


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study file for an outside loop, under a name of the test's own."""
    path = tmp_path / "study.json"
    path.write_text(json.dumps(loop_study(name=f"bowl-{uuid.uuid4().hex}")))
    return path


@pytest.fixture
def study(client: Client, file: Path) -> StudyHandle:
    """The study of that file, on the server, with three trials told: 4, 1 and a failure."""
    study = client.create_study(file)
    for value in (4.0, 1.0):
        trial = study.ask()
        assert trial
        trial.report(1, value + 1)
        trial.tell(value, {"test_depth": value + 0.5})
    failing = study.ask()
    assert failing
    failing.fail("out of luck")
    return study


def test_create_is_idempotent(connected: Command, file: Path) -> None:
    first, second = connected("study", "create", str(file)), connected("study", "create", str(file))
    assert (first.code, second.code) == (0, 0)
    assert first.output == second.output
    assert first.output.startswith("bowl-")
    assert "0 of 10 trials finished" in first.output


def test_create_under_a_name_that_is_taken(connected: Command, file: Path, study: StudyHandle) -> None:
    file.write_text(json.dumps(loop_study(name=study.name, seed=7)))
    answer = connected("study", "create", str(file))
    assert answer.code == 1
    assert answer.complaints.startswith("error: ")
    assert study.name in answer.complaints


def test_reading_commands_print_the_servers_json(connected: Command, client: Client, study: StudyHandle) -> None:
    path = f"studies/{study.name}"
    for arguments, url in (
        (["study", "show", study.name], path),
        (["study", "best", study.name], f"{path}/best"),
        (["study", "trials", study.name], f"{path}/trials"),
        (["study", "trials", study.name, "--state", "failed"], f"{path}/trials?state=failed"),
        (["study", "list"], "studies"),
        (["workers"], "workers"),
        (["objective", "list"], "objectives"),
        (["objective", "show", "rnn"], "objectives/rnn"),
    ):
        answer = connected(*arguments, "--json")
        assert answer.code == 0, answer.complaints
        expected = client.get_json(*url.split("?")[:1], **dict(part.split("=") for part in url.split("?")[1:]))
        assert answer.json == expected, arguments


def test_list(connected: Command, study: StudyHandle) -> None:
    head, *rows = connected("study", "list").rows
    assert head == ["study", "state", "finished", "of", "running", "best", "trial"]
    assert [study.name, "running", "3", "10", "0", "1", "1"] in rows


def test_show_says_how_well_earlier_studies_agree(connected: Command, client: Client) -> None:
    before, name = f"before-{uuid.uuid4().hex}", f"after-{uuid.uuid4().hex}"
    bowls(client.create_study(loop_study(name=before)), 8)
    study = client.create_study(loop_study(name=name, sampler={"name": "tpe"}, earlier=[before]))
    for says in ("nothing to compare yet, weight 0.50 (", "tau "):
        lines = [line for line in connected("study", "show", name).output.splitlines() if before in line]
        assert lines[0].startswith(f"  earlier study {before}: {says}")
        assert lines[0].endswith("(8 of its 8 trials, by x)")
        bowls(study, 6)
    (agreement,) = study.summary().earlier
    assert (agreement.study, agreement.parameters, agreement.compared) == (before, ("x",), 10)
    assert client.get_json(f"studies/{name}/summary")["earlier"][0]["tau"] == agreement.tau


def bowls(study: StudyHandle, trials: int) -> None:
    """So many trials told, as far as its budget allows."""
    for _ in range(trials):
        if trial := study.ask():
            trial.tell(float(trial.parameters["x"]) ** 2)


def test_show(connected: Command, study: StudyHandle) -> None:
    output = connected("study", "show", study.name).output
    assert "3 of 10 trials finished: 2 complete, 0 pruned, 1 failed; 0 running, 0 waiting" in output
    assert "best: trial 1, depth 1" in output


def test_best(connected: Command, study: StudyHandle) -> None:
    output = connected("study", "best", study.name).output
    assert f"{study.name}: trial 1, value 1 (running)" in output
    assert "x: " in output
    assert "test_depth: 1.5" in output


def test_best_waits_for_the_end(connected: Command, study: StudyHandle) -> None:
    study.stop()
    answer = connected("study", "best", study.name, "--wait")
    assert (answer.code, "(stopped)" in answer.output) == (0, True)


def test_best_of_a_study_without_one(connected: Command, client: Client, file: Path) -> None:
    study = client.create_study(file)
    assert connected("study", "best", study.name).output == f"{study.name} has no complete trial yet (running)\n"


def test_trials(connected: Command, study: StudyHandle) -> None:
    head, *rows = connected("study", "trials", study.name).rows
    assert head[:3] == ["trial", "state", "value"]
    assert [row[:3] for row in rows] == [["0", "complete", "4"], ["1", "complete", "1"], ["2", "failed", "-"]]
    assert rows[2][-1] == "out of luck"
    assert [row[0] for row in connected("study", "trials", study.name, "--state", "failed").rows[1:]] == ["2"]


def test_a_misspelt_state_is_told_the_near_one(connected: Command, study: StudyHandle) -> None:
    answer = connected("study", "trials", study.name, "--state", "complet")
    assert answer.code == 1
    assert "did you mean 'complete'?" in answer.complaints


def test_importances(connected: Command, client: Client, study: StudyHandle, tmp_path: Path) -> None:
    assert "too few trials" in connected("study", "importances", study.name).output
    study.retry_failed()
    while (trial := study.ask()) is not None:
        trial.tell(trial.parameters["x"])
    path = f"studies/{study.name}/importances"
    for method in ("ped_anova", "fanova"):
        answer = connected("study", "importances", study.name, "--method", method)
        assert [row[0] for row in answer.rows[:2]] == ["parameter", "x"]
        assert f"{method}, 10 of 10 trials" in answer.output
        shown = connected("study", "importances", study.name, "--method", method, "--json")
        assert shown.json == client.get_json(path, method=method)
        figure, drawn = tmp_path / "figure.json", ("--kind", "importances", "--method", method)
        assert connected("study", "plot", study.name, *drawn, "--to", str(figure)).code == 0
        assert json.loads(figure.read_text())["layout"]["title"]["subtitle"]["text"] == f"{method}, 10 of 10 trials"
    wrong = connected("study", "importances", study.name, "--method", "shaply")
    assert (wrong.code, "did you mean 'shapley'?" in wrong.complaints) == (1, True)


def test_plot(connected: Command, study: StudyHandle, tmp_path: Path) -> None:
    page, numbers = tmp_path / "history.html", tmp_path / "history.json"
    assert connected("study", "plot", study.name, "--to", str(page)).code == 0
    assert "plotly.js v" in page.read_text(encoding="utf-8")
    assert (
        connected("study", "plot", study.name, "--kind", "slices", "--parameter", "x", "--to", str(numbers)).code == 0
    )
    assert json.loads(numbers.read_text())["layout"]["xaxis"]["title"]["text"] == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.html", "history.json", "study.json"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--to", "history.pgn"], "did you mean 'png'?"),
        (["--to", "history"], "must end in one of .html"),
        (["--to", "h.json", "--kind", "slcies"], "did you mean 'slices'?"),
        (["--to", "h.json", "--kind", "slices", "--parameter", "y"], "known: x"),
        (["--to", "h.json", "--kind", "importances", "--method", "shaply"], "did you mean 'shapley'?"),
        (["--to", "/nowhere/h.json"], "cannot be written"),
    ],
    ids=str,
)
def test_plot_refuses(connected: Command, study: StudyHandle, arguments: list[str], complaint: str) -> None:
    answer = connected("study", "plot", study.name, *arguments)
    assert (answer.code, answer.output) == (1, "")
    assert complaint in answer.complaints


def test_an_image_without_a_browser_says_what_it_needs(
    connected: Command, study: StudyHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    answer = connected("study", "plot", study.name, "--to", str(tmp_path / "h.png"))
    assert answer.code == 1
    assert "pip install 'hpsearch[plot]'" in answer.complaints
    assert "--to file.html" in answer.complaints


class Elements(HTMLParser):
    """A page's elements, and the JSON in its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.figures: list[Any] = []
        self._is_json = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href", "onerror")]
        self._is_json = ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_json:
            self.figures.append(json.loads(data))
        self._is_json = False


def test_a_report_holds_all_that_it_needs_and_users_text_as_text(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    evil = '</script><img src=x onerror="alert(1)"> 日本 &amp; \u2028'
    raw = loop_study(
        name=f"bowl-{uuid.uuid4().hex}",
        description=evil,
        space={
            "x": {"type": "float", "low": -10, "high": 10},
            "kind": {"type": "categorical", "choices": [evil, "flat"]},
        },
        budget={"trials": 16},
    )
    raw["objective"] |= {"metric": evil, "settings": {"file": evil}}
    study = client.create_study(raw)
    while (trial := study.ask(worker="box")) is not None:
        if trial.number % 8 == 7:
            trial.fail(f"diverged: {evil}")
            continue
        trial.report(1, trial.parameters["x"] ** 2 + 1)
        trial.tell(trial.parameters["x"] ** 2, {evil: 1.5})
    to = tmp_path / "report.html"
    answer = connected("study", "report", study.name, "--to", str(to))
    assert answer.code == 0, answer.complaints
    page = to.read_text(encoding="utf-8")
    found = Elements(page)
    assert "img" not in found.tags
    assert found.links == []
    assert found.tags.count("script") == len(found.figures) + 2
    assert {item["layout"]["meta"]["kind"] for item in found.figures} >= {"history", "slices", "learning_curves"}
    assert "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt; 日本 &amp;amp;" in page
    assert "Of the variance (fANOVA), " in page
    for title in ("Found", "What mattered", "How it went", "Ended otherwise", "Searched"):
        assert f"<h2>{title}</h2>" in page
    assert "<h2>How sure</h2>" not in page  # nothing was confirmed
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_a_report_of_a_study_that_has_hardly_begun(connected: Command, client: Client, file: Path) -> None:
    study = client.create_study(file)
    to = file.with_name("report.html")
    assert connected("study", "report", study.name, "--to", str(to)).code == 0
    assert "No trial is complete yet." in to.read_text(encoding="utf-8")


def test_a_report_says_when_a_parameter_is_there_and_what_is_believed(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    space = {
        "cell": {"type": "categorical", "choices": ["lstm", "gru", "rnn"], "prior": {"value": ["lstm", "gru"]}},
        "bias": {"type": "float", "low": 0, "high": 2, "when": {"cell": "lstm"}, "prior": {"value": 1.0}},
        "layers": {"type": "int", "low": 1, "high": 4, "prior": {"min": 2}},
        "rest": {"type": "int", "low": 1, "high": 4, "when": {"layers": {"min": 2, "max": 3}, "cell": ["gru", "rnn"]}},
    }
    study = client.create_study(loop_study(name=f"bowl-{uuid.uuid4().hex}", space=space))
    to = tmp_path / "report.html"
    assert connected("study", "report", study.name, "--to", str(to)).code == 0
    searched = to.read_text(encoding="utf-8").split("<h2>Searched</h2>")[1].split("</table>")[0]
    rows = [re.findall(r"<t[dh][^>]*>([^<]*)", row) for row in searched.split("<tr")[1:]]
    assert [[row[0], *row[-2:]] for row in rows] == [
        ["parameter", "only with", "believed good"],
        ["cell", "", "lstm or gru"],
        ["bias", "cell: lstm", "1"],
        ["layers", "", "from 2"],
        ["rest", "layers: 2 … 3, cell: gru or rnn", ""],
    ]


def test_trials_are_listed_with_the_value_of_each_metric(connected: Command, client: Client) -> None:
    study = several(client, lambda x, y: (0.25, 0.5), trials=1)
    assert study.ask() is not None
    heads, first, running = (line.split("\t") for line in connected("study", "trials", study.name).output.splitlines())
    assert heads[:4] == ["trial", "state", "accuracy", "size"]
    assert first[:4] == ["0", "complete", "0.25", "0.5"]
    assert running[:4] == ["1", "running", "-", "-"]


def several(client: Client, tell: Callable[[float, float], tuple[float, float]], trials: int = 40) -> StudyHandle:
    """A study of accuracy and size on the server, with so many trials told from `x` and `y`."""
    unit = {"type": "float", "low": 0.0, "high": 1.0}
    raw = loop_study(name=f"bowl-{uuid.uuid4().hex}", space={"x": unit, "y": unit}, budget={"trials": 100})
    raw["objective"] = {"metrics": {"accuracy": "maximize", "size": "minimize"}}
    study = client.create_study(raw)
    for _ in range(trials):
        trial = study.ask()
        assert trial
        trial.tell(tell(trial.parameters["x"], trial.parameters["y"]))
    return study


def test_a_report_of_several_metrics_shows_their_front_and_what_matters_to_each(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    study = several(client, lambda x, y: (x, y))
    to = tmp_path / "report.html"
    answer = connected("study", "report", study.name, "--to", str(to))
    assert answer.code == 0, answer.complaints
    page, front = to.read_text(encoding="utf-8"), study.pareto()
    assert "<h2>Pareto front</h2>" in page
    assert "<h2>Found</h2>" not in page
    assert f"accuracy (maximize), size (minimize): {front.size} of the 40 complete trials" in page
    table = page.split("<h2>Pareto front</h2>")[1].split("</table>")[0]
    assert re.findall(r'<tr(?: class=best)?><td class="number">(\d+)</td>', table) == [
        str(trial.number) for trial in front.trials
    ]
    assert re.findall(r'<tr class=best><td class="number">(\d+)</td>', table) == [str(front.chosen)]
    found = Elements(page)
    kinds = [item["layout"]["meta"]["kind"] for item in found.figures]
    assert kinds[:4] == ["pareto", "hypervolume", "importances", "importances"]
    assert found.tags.count("script") == len(found.figures) + 2
    mattered = page.split("<h2>What mattered</h2>")[1]
    assert mattered.index("x mattered most for accuracy") < mattered.index("y mattered most for size")


def test_a_long_front_is_shown_in_part_with_the_trial_to_take(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    study = several(client, lambda x, y: (x, x**2))  # the more accurate the larger: all are on the front
    to = tmp_path / "report.html"
    assert connected("study", "report", study.name, "--to", str(to)).code == 0
    page, front = to.read_text(encoding="utf-8"), study.pareto()
    assert front.size == 40
    table = page.split("<h2>Pareto front</h2>")[1].split("</table>")[0]
    rows = re.findall(r'<tr(?: class=best)?><td class="number">(\d+)</td>', table)
    assert 19 <= len(rows) <= 20
    assert {str(front.trials[0].number), str(front.trials[-1].number), str(front.chosen)} <= set(rows)
    assert f" {len(rows)} of them are shown" in page


def test_a_report_of_several_metrics_that_has_hardly_begun(connected: Command, client: Client, tmp_path: Path) -> None:
    to = tmp_path / "report.html"
    for trials, told in ((0, "No trial is complete yet that satisfies"), (1, ": 1 of the 1 complete trials")):
        study = several(client, lambda x, y: (x, y), trials)
        assert connected("study", "report", study.name, "--to", str(to)).code == 0
        assert told in to.read_text(encoding="utf-8")


def test_importances_and_plots_are_of_the_metric_that_is_named(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    study, to = several(client, lambda x, y: (x, y)), tmp_path / "figure.json"
    for metric, parameter in (("accuracy", "x"), ("size", "y")):
        answer = connected("study", "importances", study.name, "--metric", metric)
        assert answer.output.splitlines()[1].startswith(parameter)
        assert f"{metric} by ped_anova, 40 of 40 trials" in answer.output
        told = json.loads(connected("study", "importances", study.name, "--metric", metric, "--json").output)
        assert told["metric"] == metric
        assert connected("study", "plot", study.name, "--metric", metric, "--to", str(to)).code == 0
        assert json.loads(to.read_text())["layout"]["yaxis"]["title"]["text"] == metric
    answer = connected("study", "importances", study.name, "--metric", "accurate")
    assert (answer.code, answer.output) == (1, "")
    assert "did you mean 'accuracy'?" in answer.complaints
    refused = connected("study", "plot", study.name, "--kind", "learning_curves", "--metric", "size", "--to", str(to))
    assert "of 'accuracy' alone" in refused.complaints


def test_a_report_shows_what_fresh_seeds_gave(connected: Command, client: Client, tmp_path: Path) -> None:
    raw = loop_study(name=f"bowl-{uuid.uuid4().hex}", budget={"trials": 2}, confirm={"top": 1, "seeds": 2})
    study = client.create_study(raw)
    for value in (1.0, 2.0, 5.0, 7.0):
        trial = study.ask()
        assert trial
        trial.tell(value)
    to = tmp_path / "report.html"
    assert connected("study", "report", study.name, "--to", str(to)).code == 0
    page = to.read_text(encoding="utf-8")
    assert "<h2>How sure</h2>" in page
    assert "The confirmed best is trial 0: depth 6 ± 1.414 over 2 seeds, where the search saw 1" in page
    assert "2 of 2 runs; p: paired t" in page


def test_an_infeasible_trial_is_no_best_and_its_row_says_why(
    connected: Command, client: Client, tmp_path: Path
) -> None:
    study = client.create_study(loop_study(name=f"bowl-{uuid.uuid4().hex}", constraints=["weights <= 100"]))
    assert connected("study", "best", study.name).output == f"{study.name} has no complete trial yet (running)\n"
    trial = study.ask()
    assert trial
    trial.tell(1.0, {"weights": 101.0})
    told = connected("study", "best", study.name).output
    assert told == f"none of the 1 complete trials of {study.name} satisfies its constraints (running)\n"
    assert "violates weights <= 100 by" in connected("study", "trials", study.name).output
    to = tmp_path / "trials.csv"
    connected("study", "export", study.name, "--to", str(to))
    (row,) = csv.DictReader(to.read_text().splitlines())
    assert json.loads(row["violations"]) == {"weights <= 100": 1.0}
    page = tmp_path / "report.html"
    connected("study", "report", study.name, "--to", str(page))
    assert "<th>violates</th>" in page.read_text()
    assert page.read_text().count("weights &lt;= 100") == 2  # beside the trial, and among what was searched
    assert "<tr class=best>" not in page.read_text()


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_export(connected: Command, study: StudyHandle, tmp_path: Path, form: str) -> None:
    to = tmp_path / f"trials.{form}"
    assert connected("study", "export", study.name, "--to", str(to)).code == 0
    with to.open(newline="") as lines:
        rows: list[dict[str, Any]] = list(csv.DictReader(lines) if form == "csv" else map(json.loads, lines))
    assert [(int(row["number"]), row["state"]) for row in rows] == [(0, "complete"), (1, "complete"), (2, "failed")]


def test_an_export_of_another_form_is_refused(connected: Command, study: StudyHandle, tmp_path: Path) -> None:
    answer = connected("study", "export", study.name, "--to", str(tmp_path / "trials.xml"))
    assert (answer.code, "--to: must end in .jsonl or .csv, not 'trials.xml'" in answer.complaints) == (1, True)
    assert not list(tmp_path.glob("trials.*"))


def test_enqueue(connected: Command, study: StudyHandle) -> None:
    answer = connected("study", "enqueue", study.name, "--parameters", '{"x": 2.5}', "--parameters", '{"x": -3}')
    assert answer.code == 0, answer.complaints
    assert answer.output == "trial 3 waits: x=2.5\ntrial 4 waits: x=-3\n"
    asked = study.ask()
    assert asked
    assert (asked.number, asked.parameters["x"]) == (3, 2.5)


@pytest.mark.parametrize(
    ("parameters", "complaint"), [("{x: 1}", "is not JSON"), ("[1]", "must be a JSON object"), ('{"y": 1}', "y")]
)
def test_enqueue_refuses(connected: Command, study: StudyHandle, parameters: str, complaint: str) -> None:
    answer = connected("study", "enqueue", study.name, "--parameters", parameters)
    assert answer.code == 1
    assert complaint in answer.complaints
    assert study.refresh().counts.waiting == 0


def test_retry(connected: Command, study: StudyHandle) -> None:
    assert connected("study", "retry", study.name).output == "1 trials wait to run again\n"
    assert study.trial(2).state == "waiting"


def test_extend(connected: Command, study: StudyHandle) -> None:
    assert "3 of 12 trials finished" in connected("study", "extend", study.name, "--trials", "12").output
    answer = connected("study", "extend", study.name, "--trials", "5")
    assert (answer.code, "trials: must be in all, from 12 (as it is now)" in answer.complaints) == (1, True)


def test_clone_and_enqueue_from(connected: Command, study: StudyHandle, file: Path) -> None:
    lines = connected("study", "clone", study.name, "--as", f"{study.name}-2", str(file)).output.splitlines()
    assert lines[0] == "2 trials copied, 0 outside of the new space, 1 without a result"
    assert "2 of 12 trials finished: 2 complete" in lines[2]
    again = connected("study", "clone", study.name, "--as", f"{study.name}-2", str(file), "--json").json
    assert (again["copied"], again["study"]["name"]) == (2, f"{study.name}-2")
    waiting = connected("study", "enqueue", f"{study.name}-2", "--from", study.name, "--best", "1").output
    assert waiting.startswith("trial 2 waits: x=")
    for wrong in ([], ["--from", study.name, "--parameters", "{}"]):
        assert "give one of --parameters" in connected("study", "enqueue", study.name, *wrong).complaints


def test_pause_resume_stop(connected: Command, study: StudyHandle) -> None:
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        answer = connected("study", verb, study.name)
        assert (answer.code, study.refresh().state) == (0, state)
        assert answer.output.startswith(f"{study.name}: {state}")
    answer = connected("study", "resume", study.name)
    assert (answer.code, answer.output) == (1, "")
    assert "stopped" in answer.complaints


def test_watch_ends_with_the_study(connected: Command, study: StudyHandle) -> None:
    study.stop()
    answer = connected("study", "watch", study.name)
    assert answer.code == 0
    assert "3/10 trials, 0 running, 0 pruned, 1 failed; best depth 1 by trial 1" in answer.output


def test_watch_as_json_is_a_line_a_change(connected: Command, study: StudyHandle) -> None:
    study.stop()
    answer = connected("study", "watch", study.name, "--json")
    assert [json.loads(line)["state"] for line in answer.output.splitlines()] == ["stopped"]


def test_delete(connected: Command, client: Client, study: StudyHandle) -> None:
    assert connected("study", "delete", study.name, "--yes").code == 0
    with pytest.raises(StudyNotFound):
        client.study(study.name)


def test_delete_asks_first(connected: Command, client: Client, study: StudyHandle) -> None:
    assert connected("study", "delete", study.name).code == 1  # nobody there to say yes
    assert client.study(study.name).name == study.name


def test_objectives(connected: Command) -> None:
    assert "rnn" in [row[0] for row in connected("objective", "list").rows]
    shown = {row[0]: row for row in connected("objective", "show", "rnn").rows}
    assert shown["learning_rate"][1] == "True"
    assert "validation_accuracy" in shown


def test_workers(connected: Command) -> None:
    head, *rows = connected("workers").rows
    assert head[0] == "worker"
    assert rows == []


@pytest.fixture
def confirmed(client: Client, tmp_path: Path) -> StudyHandle:
    """A study whose lucky best (1.0) is worth 3.5 on fresh seeds, and the second (2.0) 2.25, each with a model."""
    name = f"confirmed-{uuid.uuid4().hex}"
    study = client.create_study(
        loop_study(name=name, budget={"trials": 2}, confirm={"top": 2, "seeds": 2}, sampler={"name": "qmc"})
    )
    for value in (1.0, 2.0, 3.0, 2.0, 4.0, 2.5):
        trial = study.ask()
        assert trial
        (tmp_path / "model").write_text(f"{value}")
        client.put_artifact(trial._lease, "model.bin", tmp_path / "model")
        trial.tell(value, {"test_depth": value + 0.5})
    study.refresh()
    return study


def test_both_bests_are_shown(connected: Command, confirmed: StudyHandle) -> None:
    show = connected("study", "show", confirmed.name).output
    assert "2 of 2 trials finished" in show
    assert "the search ended because of: trials" in show
    assert "4 of 4 runs on fresh seeds finished" in show
    assert "best: trial 0, depth 1" in show
    best = connected("study", "best", confirmed.name).output
    assert f"{confirmed.name}: trial 0, value 1 (complete)" in best
    for output in (show, best):
        assert "the confirmed best is trial 1: depth 2.25 ± 0.3536 over 2 seeds, where the search saw 2" in output
        assert re.search(r"\n1\t1\t2.25 ± 0.3536\t2\t0\t2\t0.25\t-\t2.75 ± 0.3536\t", output)
        assert re.search(r"\n2\t0\t3.5 ± 0.7071\t2\t0\t1\t2.5\t0.\d+\t4 ± 0.7071\t", output)


def test_runs_that_confirm_are_listed_and_exported_apart(
    connected: Command, confirmed: StudyHandle, tmp_path: Path
) -> None:
    def numbers(*more: str) -> list[str]:
        return [row[0] for row in connected("study", "trials", confirmed.name, *more).rows[1:]]

    assert numbers() == ["0", "1"]
    assert numbers("--kind", "confirm") == ["2", "3", "4", "5"]
    assert numbers("--kind", "all", "--state", "complete") == ["0", "1", "2", "3", "4", "5"]
    assert "confirms trial 1" in connected("study", "trials", confirmed.name, "--kind", "confirm").output
    answer = connected("study", "trials", confirmed.name, "--kind", "confrim")
    assert (answer.code, "did you mean 'confirm'?" in answer.complaints) == (1, True)
    to = tmp_path / "all.csv"
    connected("study", "export", confirmed.name, "--to", str(to), "--kind", "all")
    with to.open(newline="") as lines:
        assert [row["confirms"] for row in csv.DictReader(lines)] == ["", "", "0", "1", "0", "1"]
    assert "confirms: trial 1" in connected("trial", "show", confirmed.name, "3").output


def test_the_confirmed_bests_model_is_taken_home(connected: Command, confirmed: StudyHandle, tmp_path: Path) -> None:
    answer = connected("study", "model", confirmed.name, "--to", str(tmp_path / "model-of"))
    assert answer.code == 0, answer.complaints
    assert (tmp_path / "model-of" / "model.bin").read_text() == "2.0"
    assert "a run of trial 1's configuration on a fresh seed" in (tmp_path / "model-of" / "card.md").read_text()
