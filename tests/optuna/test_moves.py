"""Whole studies to Optuna's databases and back: nothing lost, nothing half there."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from hpsearch.errors import InvalidInput, StudyExists, StudyNotFound
from hpsearch.optuna import Storage, export_study, import_study
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.trials import TrialState
from tests.conftest import toy_study
from tests.servers import serving
from tests.service.conftest import Worker


@pytest.fixture
def url(service: Service, shared_settings: Settings) -> Iterator[str]:
    with serving(service, shared_settings) as url:
        yield url


def shown(trial: FrozenTrial) -> Any:
    """A trial as something that compares, NaN and all."""
    fields = {name: value for name, value in vars(trial).items() if name != "_trial_id"}
    return {name: repr(sorted(value.items(), key=str)) if isinstance(value, dict) else repr(value)
            for name, value in fields.items()}  # fmt: skip


def filled(url: str, name: str, directions: list[str]) -> optuna.Study:
    """A study of Optuna's with a bit of everything."""
    study = optuna.create_study(storage=url, study_name=name, directions=directions)
    study.set_user_attr("who", {"name": "ü", "nan": math.nan})
    study._storage.set_study_system_attr(study._study_id, "inner", [1, 2])
    kinds = {
        "x": FloatDistribution(1e-5, 1.0, log=True),
        "n": IntDistribution(2, 10, step=2),
        "c": CategoricalDistribution([None, True, 1.5, "a"]),
    }
    values = [float(number) for number in range(len(directions))]
    for choice in (None, True, 1.5, "a"):
        study.add_trial(create_trial(params={"x": 0.1, "n": 4, "c": choice}, distributions=kinds, values=values,
                                     user_attrs={"a": [1]}, system_attrs={"s": math.inf},
                                     intermediate_values={0: 1.0, 5: math.nan, 7: math.inf}))  # fmt: skip
    study.add_trial(create_trial(values=[math.inf] * len(directions)))
    study.add_trial(create_trial(state=OptunaState.PRUNED, params={"x": 0.2}, distributions={"x": kinds["x"]},
                                 intermediate_values={3: 0.5}))  # fmt: skip
    study.add_trial(create_trial(state=OptunaState.FAIL, system_attrs={"fail_reason": "broken"}))
    study.enqueue_trial({"x": 0.3})
    study.ask()
    return study


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_from_optuna_to_us_and_back_is_without_loss(
    url: str, service: Service, tmp_path: Path, directions: list[str]
) -> None:
    before = filled(f"sqlite:///{tmp_path}/a.db", "any name: ü/1", directions)
    assert import_study(f"sqlite:///{tmp_path}/a.db", url) == ("any name: ü/1", 8)
    here = optuna.load_study(study_name="any name: ü/1", storage=Storage(url))
    assert list(map(shown, here.trials)) == list(map(shown, before.trials))
    name = service.list_studies().items[0].name
    assert service.get_study(name).counts.finished == 7
    export_study(name, f"sqlite:///{tmp_path}/b.db", url)
    after = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/b.db")
    for one, other in zip(after.trials, before.trials, strict=True):
        attributes = dict(one.system_attrs)
        attributes.pop("hpsearch:trial")
        one.system_attrs = attributes
        assert shown(one) == shown(other)
    assert after.directions == before.directions
    assert repr(after.user_attrs) == repr(before.user_attrs)
    assert after._storage.get_study_system_attrs(after._study_id)["inner"] == [1, 2]


def test_from_us_to_optuna_and_back_is_without_loss(url: str, service: Service, tmp_path: Path) -> None:
    space = {
        "x": {"type": "float", "low": -10, "high": 10},
        "kind": {"type": "categorical", "choices": ["round", "flat"]},
    }
    service.create_study(toy_study(space=space, budget={"trials": 20}))
    worker = Worker(service)
    complete, pruned, failed, running = worker.claim(4)
    for step in (1, 2):
        worker.report(complete, step, 1.0 / step)
    worker.report(pruned, 1, 9.0)
    worker.complete(complete, 0.5)
    worker.end(pruned, TrialState.PRUNED)
    worker.end(failed, TrialState.FAILED, "diverged: ∞")
    service.enqueue("bowl", [{"x": 1.0}])
    service.stop_study("bowl")
    assert running.lease.number == 3
    export_study("bowl", f"sqlite:///{tmp_path}/a.db", url)
    with pytest.raises(StudyExists):
        import_study(f"sqlite:///{tmp_path}/a.db", url)
    assert import_study(f"sqlite:///{tmp_path}/a.db", url, new_name="again") == ("again", 5)
    for before, after in zip(service.export("bowl"), service.export("again"), strict=True):
        names = ("number", "state", "parameters", "values", "metrics", "reason", "attempt", "worker", "enqueued",
                 "last_step", "last_value", "started_at", "finished_at")  # fmt: skip
        assert {n: getattr(before, n) for n in names} == {n: getattr(after, n) for n in names}
        reports = [
            [(r.step, r.value) for r in service.list_reports(study, before.number)] for study in ("bowl", "again")
        ]
        assert reports[0] == reports[1]
    first, second = service.get_study("bowl"), service.get_study("again")
    assert first.spec.model_copy(update={"name": "again"}) == second.spec
    assert (first.state, first.counts, first.best_value) == (second.state, second.counts, second.best_value)


def test_what_a_study_knew_of_earlier_ones_stays_with_its_server(url: str, service: Service, tmp_path: Path) -> None:
    """There may be others of their names where it comes to, or none."""
    service.create_study(toy_study(name="before"))
    worker = Worker(service)
    for value, assignment in enumerate(worker.claim(8)):
        worker.complete(assignment, float(value))
    service.stop_study("before")
    service.create_study(toy_study(sampler={"name": "tpe"}, earlier=["before"]))
    worker.complete(*worker.claim(), 0.5)
    export_study("bowl", f"sqlite:///{tmp_path}/a.db", url)
    service.delete_study("before")
    assert import_study(f"sqlite:///{tmp_path}/a.db", url, new_name="again") == ("again", 1)
    assert (service.get_study("bowl").spec.earlier, service.get_study("again").spec.earlier) == (("before",), ())


def test_what_cannot_be_moved_says_why(url: str, service: Service, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        import_study(f"sqlite:///{tmp_path}/none.db", url)
    assert not list(tmp_path.glob("none*"))
    (tmp_path / "text.db").write_text("not a database at all, but some text that is long enough to be looked at")
    with pytest.raises(InvalidInput, match="no database of Optuna's"):
        import_study(f"sqlite:///{tmp_path}/text.db", url)
    for name in ("first", "second"):
        optuna.create_study(storage=f"sqlite:///{tmp_path}/two.db", study_name=name)
    with pytest.raises(InvalidInput, match="which study"):
        import_study(f"sqlite:///{tmp_path}/two.db", url)
    with pytest.raises(StudyNotFound, match="did you mean 'second'"):
        import_study(f"sqlite:///{tmp_path}/two.db", url, name="secnod")
    service.create_study(toy_study(name="first"))
    with pytest.raises(StudyExists):
        import_study(f"sqlite:///{tmp_path}/two.db", url, name="first")
    with pytest.raises(StudyExists):
        export_study("first", f"sqlite:///{tmp_path}/two.db", url)
    with pytest.raises(StudyNotFound):
        export_study("frist", f"sqlite:///{tmp_path}/two.db", url)


def test_a_study_that_breaks_off_leaves_nothing(
    url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(f"sqlite:///{tmp_path}/a.db", "mine", ["minimize"])

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_study(f"sqlite:///{tmp_path}/a.db", url, progress=stop)
    assert service.list_studies().items == ()
    import_study(f"sqlite:///{tmp_path}/a.db", url)
    with pytest.raises(KeyboardInterrupt):
        export_study("mine", f"sqlite:///{tmp_path}/b.db", url, progress=stop)
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/b.db") == []
