"""Optuna's storage interface, in process: the use cases behind `search.storage.Storage`."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from hpsearch.budget_spec import Budget
from hpsearch.conditions import unmet
from hpsearch.errors import (
    BudgetExceeded,
    Fault,
    IllegalTransition,
    InvalidInput,
    LeaseLost,
    StudyExists,
    StudyNotFound,
    TrialFinished,
    TrialNotFound,
    near,
)
from hpsearch.objective_spec import ObjectiveSpec
from hpsearch.optuna_port import Kind, OptunaStudy, OptunaTrial, Ours, Taken
from hpsearch.pruner_spec import NoPruner
from hpsearch.sampler_spec import TPESampler
from hpsearch.search.distributions import distribution_texts, incompatibility
from hpsearch.service import checks, life
from hpsearch.spec import StudySpec
from hpsearch.store import optuna_rows, studies, trials
from hpsearch.store.database import Database, Transaction
from hpsearch.store.locked import LockedStudy, LockedTrial, lock_by_id, new_trial
from hpsearch.store.rows import violations_of
from hpsearch.store.trials import Holder
from hpsearch.studies import StudyState
from hpsearch.trials import TrialState

SESSION = "optuna"
"""Of leases that are held through this interface: whoever comes without a token may write to these alone."""
LEASE_SECONDS = 60.0
"""A script's storage gives a sign of life every 20 s."""
MOST_TRIALS = 10_000_000

CODED = "optuna-study."
"""Names of Optuna's that are not legal with us begin so."""

_OURS: TypeAdapter[Ours] = TypeAdapter(Ours)
_STATES = {
    "waiting": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "fail": TrialState.FAILED,
}


@dataclass(frozen=True)
class ServicePort:
    """Implements `OptunaPort`. Can be pickled: it is the database's URL."""

    database: Database

    # --- studies -----------------------------------------------------------------------------------------------------

    def create_study(self, name: str, directions: Sequence[str], request_id: str) -> int:
        """See `OptunaPort.create_study`."""
        if not directions or not set(directions) <= {"minimize", "maximize"}:
            raise InvalidInput(faults=[Fault("directions", "must each be 'minimize' or 'maximize'")])
        spec = StudySpec(
            name=slug(name),
            objective=_objective(directions),
            space={},
            sampler=TPESampler(),  # none of ours is asked: the script's own sampler and pruner are at work
            pruner=NoPruner(),
            budget=Budget(trials=MOST_TRIALS),
        )
        document = {"name": name, "directions": list(directions), "request": request_id}
        try:
            with self.database.write() as tx:
                study_id = studies.create(tx, spec).id
                optuna_rows.set_document(tx, study_id, document)
                return study_id
        except IntegrityError as error:
            with self.database.write() as tx:
                study = studies.lock(tx, spec.name)
            if optuna_rows.document_of(study.optuna).get("request") == request_id:
                return study.id
            raise StudyExists(f"study {name!r} exists") from error

    def delete_study(self, study_id: int) -> None:
        """See `OptunaPort.delete_study`."""
        with self.database.write() as tx:
            studies.remove(tx, _locked(tx, study_id).id)

    def find_study(self, name: str) -> int:
        """See `OptunaPort.find_study`."""
        with self.database.read() as tx:
            if name.startswith(CODED) and (marker := studies.markers(tx, [name]).get(name)):
                return marker.id  # the name that we show of it
            return studies.find(tx, slug(name)).id

    def get_study(self, study_id: int) -> OptunaStudy:
        """See `OptunaPort.get_study`."""
        with self.database.read() as tx:
            return optuna_rows.find_study(tx, study_id)

    def list_studies(self) -> list[OptunaStudy]:
        """See `OptunaPort.list_studies`."""
        with self.database.read() as tx:
            return optuna_rows.list_studies(tx)

    def set_study(self, study_id: int, kind: Kind, key: str, value: str) -> None:
        """See `OptunaPort.set_study`."""
        with self.database.write() as tx:
            document = optuna_rows.document_of(_locked(tx, study_id).optuna)
            document.setdefault(kind, {})[key] = _parsed(value)
            optuna_rows.set_document(tx, study_id, document)

    # --- trials ------------------------------------------------------------------------------------------------------

    def create_trials(self, study_id: int, documents: Sequence[str | None], request_id: str) -> list[Taken]:
        """See `OptunaPort.create_trials`."""
        with self.database.write() as tx:
            study = _locked(tx, study_id)
            known = trials.of_request(tx, study, request_id)
            if known:
                return [Taken(number=trial.number, token=trial.lease_token) for trial in known]
            if None in documents:  # what is over already may be added to whatever study has room
                checks.check_open(study.state, study.name)
                if study.state is StudyState.PAUSED:
                    raise IllegalTransition(f"study {study.name!r} is paused: {study.reason}")
            if study.room is not None and study.room < len(documents):
                raise BudgetExceeded(f"the budget of {study.name!r} leaves room for {study.room} more trials")
            if study.slots is not None and study.slots < documents.count(None):
                raise BudgetExceeded(f"{study.name!r} runs at most {study.spec.max_parallel} trials at a time")
            templates = [_parsed(text) if text else None for text in documents]
            made = [_create(tx, study, template, _holder(request_id)) for template in templates]
            study.flush()  # their rows, for those of their reports
            for trial, template in zip(made, templates, strict=True):
                if template and (values := _intermediate(template)):
                    document = optuna_rows.document_of(trial.optuna)
                    optuna_rows.set_intermediate(tx, study, trial, document, values)
                    _keep(study, trial, document)
            life.save(tx, study, confirms=None in documents)  # a copy of a study is as it was
            return [Taken(number=trial.number, token=trial.lease_token) for trial in made]

    def take_trial(self, study_id: int, number: int, request_id: str) -> Taken | None:
        """See `OptunaPort.take_trial`."""
        with self.database.write() as tx:
            study, trial = _locked_trial(tx, study_id, number)
            if trial.is_running and trial.request_id == request_id:
                return Taken(number=number, token=trial.lease_token)
            _check_unfinished(trial)
            if trial.is_running or not trials.take(tx, study, trial, _holder(request_id)):
                return None
            _keep(study, trial, optuna_rows.document_of(trial.optuna) | {"start": None})
            life.save(tx, study)
            return Taken(number=number, token=trial.lease_token)

    def list_trials(self, study_id: int, revision: int, limit: int) -> list[OptunaTrial]:
        """See `OptunaPort.list_trials`."""
        with self.database.read() as tx:
            found = optuna_rows.changed_trials(tx, study_id, revision, checks.limit_of(limit))
            if not found:
                optuna_rows.find_study(tx, study_id)
            return found

    def get_trial(self, study_id: int, number: int) -> OptunaTrial:
        """See `OptunaPort.get_trial`."""
        with self.database.read() as tx:
            return optuna_rows.find_trial(tx, study_id, number)

    def set_trial(self, study_id: int, number: int, token: str | None, kind: Kind, key: str, value: str) -> None:
        """See `OptunaPort.set_trial`."""
        with self.database.write() as tx:
            study, trial = _locked_trial(tx, study_id, number)
            _check_unfinished(trial)
            _check_holder(trial, token)
            document = optuna_rows.document_of(trial.optuna)
            if kind == "parameter":
                _set_parameter(tx, study, trial, document, key, _parsed(value))
            elif kind == "intermediate":
                optuna_rows.set_intermediate(tx, study, trial, document, {_step(key): _number(value)})
            else:
                document.setdefault(kind, {})[key] = _parsed(value)
            if trial.is_running:
                trial.lease_ends_at = tx.now + LEASE_SECONDS
            _keep(study, trial, document)
            study.save()

    def end_trial(self, study_id: int, number: int, token: str | None, state: str, values: str) -> None:
        """See `OptunaPort.end_trial`."""
        to, told = _STATES[state], _parsed(values)
        with self.database.write() as tx:
            study, trial = _locked_trial(tx, study_id, number)
            document = optuna_rows.document_of(trial.optuna)
            if token and trial.lease_token == token and (trial.state, document.get("values")) == (to.value, told):
                return  # told before
            _check_unfinished(trial)
            _check_holder(trial, token)
            if to is TrialState.WAITING:
                if trial.is_running:
                    trials.hand_back(tx, study, trial, "handed back", crashed=False)
            else:
                if not trial.is_running and not trials.take(tx, study, trial, _holder(None)):
                    raise LeaseLost
                _end(tx, study, trial, document, to, told)
            life.save(tx, study)

    def beat(self, study_id: int, number: int, token: str | None) -> None:
        """See `OptunaPort.beat`."""
        with self.database.write() as tx:
            _, trial = _locked_trial(tx, study_id, number)
            _check_unfinished(trial)
            _check_holder(trial, token)
            if trial.is_running:
                trials.renew(tx, [trial])


def slug(name: str) -> str:
    """A study's name as ours may be: itself where it is legal, otherwise one that no legal name is."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) and not name.startswith(CODED):
        return name
    raw = name.encode("utf-8", "surrogatepass")
    coded = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return CODED + (coded if len(coded) <= 80 else hashlib.sha256(raw).hexdigest())


def _holder(request_id: str | None) -> Holder:
    return Holder(None, SESSION, LEASE_SECONDS, request_id)


def _locked(tx: Transaction, study_id: int) -> LockedStudy:
    study = lock_by_id(tx, [study_id]).get(study_id)
    if study is None:
        raise StudyNotFound(f"there is no study with the id {study_id}")
    return study


def _locked_trial(tx: Transaction, study_id: int, number: int) -> tuple[LockedStudy, LockedTrial]:
    study = _locked(tx, study_id)
    trial = study.trials([number]).get(number)
    if trial is None or trial.confirms is not None:
        raise TrialNotFound(f"study {study.name!r} has no trial {number}")
    return study, trial


def _check_unfinished(trial: LockedTrial) -> None:
    if not trial.is_open:
        raise TrialFinished(f"trial {trial.number} is {trial.state}")


def _check_holder(trial: LockedTrial, token: str | None) -> None:
    """Who holds a trial may write to it. Without a token: if nobody holds it, or somebody through this interface."""
    if trial.lease_token != token if token is not None else trial.is_running and trial.session != SESSION:
        raise LeaseLost(f"trial {trial.number} is held by {trial.worker or 'somebody else'}")


def _keep(study: LockedStudy, trial: LockedTrial, document: dict[str, Any]) -> None:
    study.rewrite(trial, optuna=json.dumps(document))


def _set_parameter(
    tx: Transaction, study: LockedStudy, trial: LockedTrial, document: dict[str, Any], name: str, given: dict[str, Any]
) -> None:
    """Raises `InvalidInput` where the parameter is not of the study's space, or was of another kind before."""
    kinds, of_study = distribution_texts(study.spec.space), optuna_rows.document_of(study.optuna)
    if kinds and name not in kinds:
        close = near(name, kinds)
        raise InvalidInput(faults=[Fault(f"space.{name}", "is not in the study's space", close)])
    if name in study.spec.space and (problems := list(unmet(study.spec.space, trial.parameters, name, whole=False))):
        raise InvalidInput(faults=[Fault(f"space.{name}", problem) for problem in problems])
    kinds |= of_study.get("distributions", {})
    if name not in kinds:
        of_study.setdefault("distributions", {})[name] = given["distribution"]
        optuna_rows.set_document(tx, study.id, of_study)
    elif problem := incompatibility(kinds[name], given["distribution"]):
        raise InvalidInput(faults=[Fault(f"space.{name}", problem)])
    document.setdefault("internal", {})[name] = given["internal"]
    document.setdefault("distributions", {})[name] = given["distribution"]
    trial.parameters = {**trial.parameters, name: optuna_rows.shown_parameter(given["external"])}


def _end(
    tx: Transaction,
    study: LockedStudy,
    trial: LockedTrial,
    document: dict[str, Any],
    to: TrialState,
    values: list[float] | None,
) -> None:
    reason = document.get("system", {}).get("fail_reason") if to is TrialState.FAILED else None
    shown = optuna_rows.shown_values(values)
    metrics = {**trial.metrics, **_measured(study, document)}
    study.change(
        trial,
        to,
        values=shown,
        metrics=metrics,
        reason=checks.stored_text(reason),
        lease_ends_at=None,
        finished_at=tx.now,
    )
    _keep(study, trial, document | {"values": values})
    _offer(study, trial)


def _measured(study: LockedStudy, document: dict[str, Any]) -> dict[str, float | None]:
    """What a script measured of what the study's constraints name: its user attributes."""
    wanted = {name for constraint in study.spec.limits.of_metrics for name in constraint.names}
    found = {name: document.get("user", {}).get(name) for name in wanted}
    return checks.finite({name: float(value) for name, value in found.items()
                          if isinstance(value, int | float) and not isinstance(value, bool)})  # fmt: skip


def _objective(directions: Sequence[str]) -> ObjectiveSpec:
    if len(directions) == 1:
        return ObjectiveSpec.model_validate({"direction": directions[0]})
    return ObjectiveSpec.model_validate({"metrics": {f"value_{place}": way for place, way in enumerate(directions)}})


def _offer(study: LockedStudy, trial: LockedTrial) -> None:
    directions = optuna_rows.directions_of(study.spec, optuna_rows.document_of(study.optuna))
    is_complete = trial.state == TrialState.COMPLETE.value and trial.values and len(directions) == 1
    if is_complete and trial.values and not violations_of(vars(trial), study.spec):
        study.offer_best(trial.number, trial.values[0])


def _create(tx: Transaction, study: LockedStudy, template: dict[str, Any] | None, holder: Holder) -> LockedTrial:
    """A new trial: as the template has it, or running."""
    if template is None:
        (trial,) = trials.create(tx, study, [trials.NO_SUGGESTION], holder)
        trial.optuna = "{}"
        return trial
    ours = _ours(template.get("ours"))
    state = ours.state if ours else _STATES[template["state"]]
    if state is TrialState.PAUSED:
        state = TrialState.WAITING  # its checkpoint stays behind
    names = ("internal", "distributions", "user", "system", "values", "start", "complete")
    document = {name: template[name] for name in names}
    values = {
        "state": state.value,
        "parameters": {name: optuna_rows.shown_parameter(value) for name, value in template["parameters"].items()},
        "sampler_attributes": {},
        "enqueued": state is TrialState.WAITING,
        "values": optuna_rows.shown_values(template["values"]),
        "request_id": holder.request_id,
        "started_at": _seconds(template["start"]),
        "finished_at": _seconds(template["complete"]),
    }
    if ours:
        values |= {
            "metrics": checks.finite(ours.metrics),
            "reason": checks.stored_text(ours.reason),
            "pruning": None if ours.pruning is None else asdict(ours.pruning),
            "enqueued": ours.enqueued,
            "attempt": max(0, ours.attempt),
            "worker": checks.stored_text(ours.worker),
            "started_at": values["started_at"] if ours.attempt else None,
        }
    if state is TrialState.RUNNING:
        values |= trials.lease_values(tx, holder, attempt=1) | {"started_at": values["started_at"]}
    trial = new_trial(study, tx.now, values | {"optuna": json.dumps(document)})
    study.add(trial)
    _offer(study, trial)
    return trial


def _ours(given: object) -> Ours | None:
    if given is None:
        return None
    try:
        return _OURS.validate_python(given)
    except ValidationError as error:
        raise InvalidInput(faults=[Fault("ours", str(error.errors()[0]["msg"]))]) from error


def _intermediate(template: dict[str, Any]) -> dict[int, float]:
    return {int(step): float(value) for step, value in template["intermediate"].items()}


def _seconds(time: str | None) -> float | None:
    return None if time is None else datetime.fromisoformat(time).timestamp()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(faults=[Fault("value", f"is not JSON: {error}")]) from error


def _number(text: str) -> float:
    value = _parsed(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(faults=[Fault("value", f"must be a number, not {text[:80]}")])
    return float(value)


def _step(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise InvalidInput(faults=[Fault("key", f"must be a step (a whole number), not {text[:80]!r}")])
    return int(text)
