"""Claims, leases, attempts: who may write to a trial, and what a dead worker costs."""

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import ArtifactNotFound, LeaseLost, StoreUnavailable, TooLarge, WorkerNotFound, WorkerReplaced
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.store import studies, trials
from hpsearch.store.artifacts import STALE_SECONDS
from hpsearch.store.database import Database
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Receipt, TrialState
from tests.conftest import Clock, ServiceFactory, toy_study
from tests.service.conftest import Worker

LEASE = 30.0


def test_a_claim_repeated_after_a_lost_answer_gives_the_same_trials(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    assert worker.claim(2) == worker.claim(2)
    assert service.get_study("bowl").counts.running == 2


def test_a_worker_is_given_only_what_it_runs(service: Service) -> None:
    service.create_study(toy_study())
    assert Worker(service, objectives=["other"]).claim() == []
    service.enqueue("bowl", [{"x": 1.0}])
    assert Worker(service, objectives=[]).claim() == []


def test_a_worker_must_register_and_the_last_process_under_a_name_holds_it(service: Service, worker: Worker) -> None:
    with pytest.raises(WorkerNotFound):
        service.claim("nobody", "s", [], 1)
    Worker(service, worker.name, session="s2")
    with pytest.raises(WorkerReplaced):
        worker.claim()


def test_a_silent_worker_loses_its_trial_and_another_runs_it_again(
    service: Service, worker: Worker, clock: Clock
) -> None:
    service.create_study(toy_study())
    (lost,) = worker.claim()
    worker.report(lost, 1, 5.0)
    clock.advance(LEASE + 1)
    assert service.reap() == 1
    trial = service.get_trial("bowl", 0)
    assert (trial.state, trial.reason) == (TrialState.WAITING, "worker w1 fell silent")
    other = Worker(service, "w2")
    (again,) = other.claim()
    assert (again.lease.number, again.lease.attempt) == (0, 2)
    assert (again.parameters, again.seed) == (lost.parameters, lost.seed)
    # the first one comes back, and can overwrite nothing
    assert worker.report(lost, 2, 0.0) is Decision.LOST
    assert worker.complete(lost, 0.0) is Receipt.LOST
    assert worker.release(lost) is Receipt.LOST
    assert service.renew([lost.lease]) == [Decision.LOST]
    other.report(again, 1, 5.0)
    assert other.complete(again, 4.0) is Receipt.ACCEPTED
    assert service.get_trial("bowl", 0).values == (4.0,)


def test_whoever_renews_or_reports_keeps_the_lease(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    for step in range(1, 5):
        clock.advance(LEASE - 1)
        assert worker.report(assignment, step, 1.0) is Decision.CONTINUE
        clock.advance(LEASE - 1)
        assert service.renew([assignment.lease]) == [Decision.CONTINUE]
        assert service.reap() == 0


def test_a_renewal_before_the_reaper_saves_the_lease(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    clock.advance(LEASE + 5)  # the server was away, say
    assert service.renew([assignment.lease]) == [Decision.CONTINUE]
    assert service.reap() == 0


def test_a_renewal_between_the_reapers_look_and_its_lock_saves_the_lease(
    service: Service, worker: Worker, clock: Clock, settings: Settings
) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    clock.advance(LEASE + 1)  # the reaper has seen it expired …
    service.renew([assignment.lease])
    database = Database(settings.sqlalchemy_url, clock)
    with database.write() as tx:
        study = studies.lock(tx, "bowl")
        assert not trials.expire(tx, study, study.trials([0])[0])  # … and looks again under the lock
    database.close()


def test_the_last_attempt_that_crashes_fails_the_trial(service: Service, clock: Clock) -> None:
    service.create_study(toy_study(budget={"trials": 1}, max_attempts=2))
    for name in ("w1", "w2"):
        Worker(service, name).claim()
        clock.advance(LEASE + 1)
        service.reap()
    trial = service.get_trial("bowl", 0)
    assert (trial.state, trial.attempt) == (TrialState.FAILED, 2)
    assert trial.reason == "worker w2 fell silent (attempt 2 of 2)"
    assert service.get_study("bowl").state is StudyState.COMPLETE


def test_handing_back_costs_no_attempt_and_crashing_does(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(max_attempts=2))
    for attempt in (1, 2, 3, 4):
        (assignment,) = worker.claim()
        assert (assignment.lease.number, assignment.lease.attempt) == (0, attempt)
        assert worker.release(assignment) is Receipt.ACCEPTED
    for state in (TrialState.WAITING, TrialState.FAILED):
        (assignment,) = worker.claim()
        worker.release(assignment, crashed=True)
        assert service.get_trial("bowl", 0).state is state


def test_a_worker_started_again_under_its_name_takes_its_own_trials_up(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    (before,) = worker.claim()
    service.enqueue("bowl", [{"x": 0.0}])
    reborn = Worker(service, worker.name, session="s2")
    after, enqueued = reborn.claim(2)
    assert (after.lease.number, after.lease.attempt) == (0, 2)
    assert after.lease.token != before.lease.token
    assert enqueued.lease.number == 1
    assert worker.complete(before, 1.0) is Receipt.LOST


def test_a_second_attempt_reports_its_own_way(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    (first,) = worker.claim()
    for step, value in ((1, 5.0), (2, 4.0), (3, 1.0)):
        worker.report(first, step, value)
    worker.release(first)
    (second,) = worker.claim()
    worker.report(second, 2, 3.0)  # went on after a checkpoint at step 1
    found = [(report.step, report.value, report.attempt) for report in service.list_reports("bowl", 0)]
    assert found == [(1, 5.0, 1), (2, 3.0, 2)]


def test_studies_share_the_workers(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(name="a"))
    service.create_study(toy_study(name="b"))
    held = [*worker.claim(1)]
    for _ in range(3):
        held += worker.claim(1, holding=held)
    assert sorted(item.lease.study for item in held) == ["a", "a", "b", "b"]


def test_workers_are_listed_with_what_they_hold(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    first, second = worker.claim(2)
    worker.complete(first, 1.0)
    (status,) = service.list_workers().items
    assert (status.name, status.running, status.finished, status.studies) == ("w1", 1, 1, ("bowl",))
    assert second.lease.attempt == 1


def test_an_artifact_is_fenced_kept_and_replaced(service: Service, worker: Worker, tmp_path: Path) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    source, target = tmp_path / "source", tmp_path / "target"
    for content in (b"first", b"second"):
        source.write_bytes(content)
        service.put_artifact(assignment.lease, "model.safetensors", source)
    record = service.get_artifact("bowl", 0, "model.safetensors", target)
    assert (target.read_bytes(), record.size) == (b"second", 6)
    assert service.list_artifacts("bowl", 0) == [record]
    files = [path for path in (tmp_path / "home" / "artifacts").rglob("*") if path.is_file()]
    assert len(files) == 1
    worker.complete(assignment, 1.0)
    with pytest.raises(LeaseLost):
        service.put_artifact(assignment.lease, "model.safetensors", source)
    with pytest.raises(ArtifactNotFound):
        service.get_artifact("bowl", 0, "none", target)
    service.delete_study("bowl")
    assert not files[0].exists()


def test_an_upload_is_moved_to_its_place(service: Service, worker: Worker, tmp_path: Path) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    with service.uploading() as upload:
        upload.write_bytes(b"weights")
        record = service.put_artifact(assignment.lease, "model.safetensors", upload)
        assert not upload.exists()
    assert (record.size, record.sha256) == (7, hashlib.sha256(b"weights").hexdigest())
    service.get_artifact("bowl", 0, "model.safetensors", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"weights"
    with service.uploading() as refused:
        refused.write_bytes(b"weights")
        with pytest.raises(LeaseLost):
            service.put_artifact(replace(assignment.lease, token="guess"), "model.safetensors", refused)
    assert not refused.exists()


def test_an_upload_that_cannot_be_written_is_told(service: Service, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "artifacts").write_text("in its way")
    upload = service.uploading()
    with pytest.raises(StoreUnavailable, match="could not be written"):
        upload.__enter__()


def test_a_start_removes_what_a_killed_server_left_of_uploads(make_service: ServiceFactory, tmp_path: Path) -> None:
    make_service()
    uploads = tmp_path / "home" / "artifacts" / "uploads"
    uploads.mkdir(parents=True)
    for name, age in (("left", 2 * STALE_SECONDS), ("of another server", 60.0)):
        (uploads / name).write_bytes(b"half")
        os.utime(uploads / name, (time.time() - age,) * 2)
    make_service()
    assert [path.name for path in uploads.iterdir()] == ["of another server"]


def test_an_artifact_that_is_too_large_is_refused(service: Service, worker: Worker, tmp_path: Path) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(513 * 2**20)
    with pytest.raises(TooLarge):
        service.put_artifact(assignment.lease, "big", big)


def test_the_next_attempt_is_given_the_checkpoint(service: Service, worker: Worker, tmp_path: Path) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    assert assignment.checkpoint is None
    source = tmp_path / "checkpoint"
    source.write_bytes(b"weights")
    record = service.put_artifact(assignment.lease, "checkpoint.safetensors", source)
    worker.release(assignment)
    (again,) = worker.claim()
    assert again.checkpoint == record
