"""What every gateway gives: the service in process and the client over HTTP, on each database."""

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.client import Client
from hpsearch.errors import (
    ArtifactNotFound,
    InvalidInput,
    InvalidSpec,
    LeaseLost,
    StudyNotFound,
    TrialNotFound,
    WorkerNotFound,
    WorkerReplaced,
)
from hpsearch.gateway import Gateway, Registration
from hpsearch.objectives.objective import ObjectiveInfo, ParameterInfo
from hpsearch.parameters import FloatParameter
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result, TrialState, trial_seed
from tests.conftest import toy_study
from tests.servers import serving

STRANGER = Lease(study="bowl", number=0, token="guess", attempt=1)


@pytest.fixture(params=["service", "client"])
def gateway(request: pytest.FixtureRequest, service: Service, settings: Settings) -> Iterator[Gateway]:
    service.create_study(toy_study())
    with ExitStack() as stack:
        if request.param == "service":
            yield service
        else:
            url = stack.enter_context(serving(service, settings))
            yield stack.enter_context(Client(url, retries=0))


def registration(session: str = "s1", name: str = "w") -> Registration:
    return Registration(name=name, session=session, host="here", pid=1, slots=2, objectives=("toy",), version="0")


def test_a_worker_publishes_its_own_objectives(gateway: Gateway, service: Service) -> None:
    for low in (0.0, 1.0):  # the second time with another range: the newest word counts
        parameter = ParameterInfo(
            name="x", type="float", low=low, high=9, meaning="", required=True,
            space={"type": "float", "low": low, "high": 9.0},
        )  # fmt: skip
        info = ObjectiveInfo(name="mine", description="é", parameters=(parameter,), metrics=())
        gateway.register(replace(registration(), objectives=("toy", "mine"), published=(info,)))
        assert service.objective("mine") == info
    assert [item.name for item in service.objectives()] == ["toy", "mine"]
    described = toy_study(name="own", objective={"name": "mine", "direction": "minimize"})
    study, _ = service.create_study(described | {"space": {}, "budget": {"trials": 1}})
    assert study.spec.space == {"x": FloatParameter(type="float", low=1, high=9)}
    with pytest.raises(InvalidSpec, match=r"space\.x\.low: must be a float from 1 to 9, not -10"):
        service.create_study(described | {"name": "other"})
    assert {item.objective.name for item in gateway.claim("w", "s1", [], 11)} == {"toy", "mine"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "toy"}, "is an objective of hpsearch's own"),
        ({"name": "a b"}, "may hold letters"),
        ({"name": ""}, "may hold letters"),
        ({"description": "a\0b"}, "NUL"),
        ({"description": "x" * 2_000_000}, "say too much"),
        ({"parameters": (ParameterInfo(name="x", type="int", meaning=""),) * 2}, "twice"),
    ],
)
def test_what_cannot_be_published_is_refused(gateway: Gateway, changes: dict[str, Any], problem: str) -> None:
    info = ObjectiveInfo(**{"name": "mine", "description": "", "parameters": (), "metrics": ()} | changes)
    with pytest.raises(InvalidInput, match=problem):
        gateway.register(replace(registration(), published=(info,)))


def test_an_infinite_range_is_refused(service: Service) -> None:
    """Over HTTP it cannot be said: there it is none."""
    parameter = ParameterInfo(name="x", type="float", meaning="", low=float("-inf"))
    with pytest.raises(InvalidInput, match="finite"):
        service.publish_objectives([ObjectiveInfo(name="m", description="", parameters=(parameter,), metrics=())])


def test_a_trial_from_claim_to_tell(gateway: Gateway) -> None:
    terms = gateway.register(registration())
    assert terms.renew_seconds < terms.lease_seconds
    first, second = gateway.claim("w", "s1", [], 2)
    assert gateway.claim("w", "s1", [], 2) == [first, second]
    assert (first.lease.number, first.lease.attempt, first.seed) == (0, 1, trial_seed(0, 0))
    assert first.objective.name == "toy"
    assert first.objective.metric == "depth"
    assert set(first.parameters) == {"x"}
    reports = [Report(lease=item.lease, step=1, value=1.0, metrics={"a": 0.5, "b": None}) for item in (second, first)]
    assert gateway.report(reports) == [Decision.CONTINUE] * 2
    assert gateway.renew([first.lease, STRANGER]) == [Decision.CONTINUE, Decision.LOST]
    results = [
        Result(lease=first.lease, state=TrialState.COMPLETE, values=(0.5,), metrics={"a": 1.0}),
        Result(lease=STRANGER, state=TrialState.FAILED, reason="no"),
        Result(lease=second.lease, state=TrialState.FAILED, reason="diverged"),
    ]
    receipts = [Receipt.ACCEPTED, Receipt.LOST, Receipt.ACCEPTED]
    assert gateway.tell(results) == receipts
    assert gateway.tell(results) == receipts
    other = Result(lease=first.lease, state=TrialState.COMPLETE, values=(0.25,))
    assert gateway.tell([other]) == [Receipt.CONFLICT]


def test_a_trial_handed_back_goes_to_the_next(gateway: Gateway) -> None:
    gateway.register(registration())
    (assignment,) = gateway.claim("w", "s1", [], 1)
    assert gateway.release([Release(lease=assignment.lease, reason="leaving")]) == [Receipt.ACCEPTED]
    gateway.register(registration(name="v"))
    (again,) = gateway.claim("v", "s1", [], 1)
    assert (again.lease.number, again.lease.attempt, again.parameters) == (0, 2, assignment.parameters)
    assert gateway.report([Report(lease=assignment.lease, step=1, value=0.0)]) == [Decision.LOST]


def test_a_worker_must_be_known_and_the_last_of_its_name(gateway: Gateway) -> None:
    with pytest.raises(WorkerNotFound):
        gateway.claim("w", "s1", [], 1)
    gateway.register(registration("s1"))
    gateway.register(registration("s2"))
    with pytest.raises(WorkerReplaced):
        gateway.claim("w", "s1", [], 1)


def test_an_artifact_and_a_checkpoint(gateway: Gateway, tmp_path: Path) -> None:
    gateway.register(registration())
    (assignment,) = gateway.claim("w", "s1", [], 1)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 10_000)
    record = gateway.put_artifact(assignment.lease, "checkpoint.safetensors", source)
    assert record.size == 2_560_000
    assert gateway.get_artifact("bowl", 0, "checkpoint.safetensors", target) == record
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(LeaseLost):
        gateway.put_artifact(STRANGER, "x", source)
    with pytest.raises(InvalidInput):
        gateway.put_artifact(assignment.lease, "no name", source)
    with pytest.raises(ArtifactNotFound):
        gateway.get_artifact("bowl", 0, "none", target)
    with pytest.raises(StudyNotFound):
        gateway.get_artifact("none", 0, "none", target)
    gateway.release([Release(lease=assignment.lease, reason="crash", crashed=True)])
    (again,) = gateway.claim("w", "s1", [], 1)
    assert again.checkpoint == record
    assert not list(tmp_path.glob("*.part"))


def test_the_best_trials_artifact(gateway: Gateway, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    gateway.register(registration())
    for value in (2.0, 1.0, 3.0):
        with pytest.raises(TrialNotFound) if value == 2.0 else nullcontext():
            gateway.get_artifact("bowl", None, "model", target)
        (assignment,) = gateway.claim("w", "s1", [], 1)
        source.write_text(f"model of value {value}")
        gateway.put_artifact(assignment.lease, "model", source)
        gateway.tell([Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,))])
    gateway.get_artifact("bowl", None, "model", target)
    assert target.read_text() == "model of value 1.0"
    with pytest.raises(ArtifactNotFound):
        gateway.get_artifact("bowl", None, "none", target)
    with pytest.raises(StudyNotFound):
        gateway.get_artifact("none", None, "model", target)


def test_bytes_that_are_damaged_or_gone_are_not_fetched(gateway: Gateway, settings: Settings, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(1000))
    gateway.register(registration())
    (assignment,) = gateway.claim("w", "s1", [], 1)
    gateway.put_artifact(assignment.lease, "model", source)
    (kept,) = [path for path in (settings.home_folder / "artifacts").rglob("*") if path.is_file()]
    kept.write_bytes(bytes(999) + b"x")
    with pytest.raises(ArtifactNotFound, match="damaged"):
        gateway.get_artifact("bowl", 0, "model", target)
    kept.unlink()
    with pytest.raises(ArtifactNotFound, match="no longer there"):
        gateway.get_artifact("bowl", 0, "model", target)
    assert not target.exists()
    assert not list(tmp_path.glob("*.part"))


def test_a_report_that_makes_no_sense_is_refused_whole(gateway: Gateway) -> None:
    gateway.register(registration())
    first, second = gateway.claim("w", "s1", [], 2)
    with pytest.raises(InvalidInput):
        gateway.report([Report(lease=first.lease, step=1, value=1.0), Report(lease=second.lease, step=-1, value=1.0)])
    assert gateway.report([Report(lease=first.lease, step=1, value=2.0)]) == [Decision.CONTINUE]
