"""Optuna's storage interface over HTTP."""

import weakref
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from hpsearch.client.transport import Transport
from hpsearch.optuna_port import Kind, OptunaStudy, OptunaTrial, Taken

_STUDY: TypeAdapter[OptunaStudy] = TypeAdapter(OptunaStudy)
_STUDIES: TypeAdapter[list[OptunaStudy]] = TypeAdapter(list[OptunaStudy])
_TRIAL: TypeAdapter[OptunaTrial] = TypeAdapter(OptunaTrial)
_TRIALS: TypeAdapter[list[OptunaTrial]] = TypeAdapter(list[OptunaTrial])
_TAKEN: TypeAdapter[Taken | None] = TypeAdapter(Taken | None)
_ALL_TAKEN: TypeAdapter[list[Taken]] = TypeAdapter(list[Taken])
_ID: TypeAdapter[int] = TypeAdapter(int)
_BODY: TypeAdapter[Any] = TypeAdapter(Any)


class HttpPort:
    """Implements `OptunaPort`. Can be pickled: it is the server's URL and the token."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 60.0, retries: int = 4) -> None:
        self._arguments = (url, token, timeout, retries)
        self._transport = Transport(url, token, timeout, retries)
        weakref.finalize(self, self._transport.close)  # storages of Optuna's are not closed by anybody

    def __reduce__(self) -> Any:
        return _made, self._arguments

    def create_study(self, name: str, directions: Sequence[str], request_id: str) -> int:
        """See `OptunaPort.create_study`."""
        body = {"name": name, "directions": list(directions), "request_id": request_id}
        return _ID.validate_json(self._post("studies", body))

    def delete_study(self, study_id: int) -> None:
        """See `OptunaPort.delete_study`."""
        self._transport.request("DELETE", f"api/v1/optuna/studies/{study_id}")

    def find_study(self, name: str) -> int:
        """See `OptunaPort.find_study`."""
        return _ID.validate_json(self._get("studies/id", name=name))

    def get_study(self, study_id: int) -> OptunaStudy:
        """See `OptunaPort.get_study`."""
        return _STUDY.validate_json(self._get(f"studies/{study_id}"))

    def list_studies(self) -> list[OptunaStudy]:
        """See `OptunaPort.list_studies`."""
        return _STUDIES.validate_json(self._get("studies"))

    def set_study(self, study_id: int, kind: Kind, key: str, value: str) -> None:
        """See `OptunaPort.set_study`."""
        self._post(f"studies/{study_id}/set", {"kind": kind, "key": key, "value": value})

    def create_trials(self, study_id: int, documents: Sequence[str | None], request_id: str) -> list[Taken]:
        """See `OptunaPort.create_trials`."""
        body = {"documents": list(documents), "request_id": request_id}
        return _ALL_TAKEN.validate_json(self._post(f"studies/{study_id}/trials", body))

    def take_trial(self, study_id: int, number: int, request_id: str) -> Taken | None:
        """See `OptunaPort.take_trial`."""
        return _TAKEN.validate_json(self._post(_trial(study_id, number, "take"), {"request_id": request_id}))

    def list_trials(self, study_id: int, revision: int, limit: int) -> list[OptunaTrial]:
        """See `OptunaPort.list_trials`."""
        return _TRIALS.validate_json(self._get(f"studies/{study_id}/trials", revision=revision, limit=limit))

    def get_trial(self, study_id: int, number: int) -> OptunaTrial:
        """See `OptunaPort.get_trial`."""
        return _TRIAL.validate_json(self._get(f"studies/{study_id}/trials/{number}"))

    def set_trial(self, study_id: int, number: int, token: str | None, kind: Kind, key: str, value: str) -> None:
        """See `OptunaPort.set_trial`."""
        self._post(_trial(study_id, number, "set"), {"token": token, "kind": kind, "key": key, "value": value})

    def end_trial(self, study_id: int, number: int, token: str | None, state: str, values: str) -> None:
        """See `OptunaPort.end_trial`."""
        self._post(_trial(study_id, number, "end"), {"token": token, "state": state, "values": values})

    def beat(self, study_id: int, number: int, token: str | None) -> None:
        """See `OptunaPort.beat`."""
        self._post(_trial(study_id, number, "beat"), {"token": token})

    def _get(self, path: str, **query: Any) -> bytes:
        return self._transport.request("GET", f"api/v1/optuna/{path}", params=query).content

    def _post(self, path: str, body: Any) -> bytes:
        headers = {"Content-Type": "application/json"}
        content = _BODY.dump_json(body)
        return self._transport.request("POST", f"api/v1/optuna/{path}", content=content, headers=headers).content


def _trial(study_id: int, number: int, rest: str) -> str:
    return f"studies/{study_id}/trials/{number}/{rest}"


def _made(url: str, token: str | None, timeout: float, retries: int) -> HttpPort:
    return HttpPort(url, token, timeout=timeout, retries=retries)
