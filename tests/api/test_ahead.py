"""Claims and asks of a study whose sampler draws ahead: they wait for their points, and keep nobody."""

import time
from typing import Any

import httpx

from hpsearch.service import Service
from hpsearch.service.ahead import Ahead
from tests.conftest import loop_study, toy_study

GP = {"name": "gp", "startup_trials": 2}


def until_given(http: httpx.Client, path: str, body: Any) -> Any:
    end = time.monotonic() + 60
    while not (given := http.post(path, json=body).raise_for_status().json()) and time.monotonic() < end:
        pass  # the server waits
    return given[0]


def test_loops_and_workers_are_given_what_was_drawn(http: httpx.Client, live_service: Service) -> None:
    http.post("/api/v1/studies", json=loop_study(sampler=GP)).raise_for_status()
    http.post("/api/v1/studies", json=toy_study(name="other", sampler=GP)).raise_for_status()
    registration = {"name": "w", "session": "s", "host": "h", "pid": 1, "slots": 1, "objectives": ["toy"]}
    http.post("/api/v1/workers", json=registration).raise_for_status()
    for number in range(4):
        for path, body, study in (
            ("/api/v1/studies/bowl/ask", {}, "bowl"),
            ("/api/v1/workers/w/claim", {"session": "s", "holding": [], "limit": 1}, "other"),
        ):
            item = until_given(http, path, body)
            assert (item["lease"]["study"], item["lease"]["number"]) == (study, number)
            told = {"token": item["lease"]["token"], "attempt": 1, "state": "complete", "value": float(number)}
            http.post(f"/api/v1/studies/{study}/trials/{number}/tell", json=told).raise_for_status()
    for study in ("bowl", "other"):
        trials = live_service.list_trials(study).items
        assert [trial.sampler_attributes["by"] for trial in trials] == ["random"] * 2 + ["gp"] * 2


def test_who_waits_for_a_point_that_never_comes_is_told_so_in_time(
    http: httpx.Client, live_service: Service, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Ahead, "warm", lambda _self: None)
    monkeypatch.setattr("hpsearch.api.calls.PATIENCE", 0.3)
    http.post("/api/v1/studies", json=loop_study(sampler=GP | {"startup_trials": 1})).raise_for_status()
    item = until_given(http, "/api/v1/studies/bowl/ask", {})
    told = {"token": item["lease"]["token"], "attempt": 1, "state": "complete", "value": 1.0}
    http.post("/api/v1/studies/bowl/trials/0/tell", json=told).raise_for_status()
    started = time.monotonic()
    assert http.post("/api/v1/studies/bowl/ask", json={}).json() == []
    assert 0.25 < time.monotonic() - started < 3
    assert live_service.get_study("bowl").counts.created == 1
