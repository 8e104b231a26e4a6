"""The stream of a study's events: complete, in order, resumed where it was cut, across servers."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hpsearch.client import Client
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.studies import Event
from hpsearch.trials import Result, TrialState
from tests.conftest import TOY, loop_study
from tests.servers import serving


def run_one(service: Service, value: float = 1.0) -> None:
    (assignment,) = service.ask("bowl")
    service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))


def events_in(text: str) -> list[dict[str, Any]]:
    """What an EventSource would have made of a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append({"id": fields.get("id"), "event": fields["event"], "data": json.loads(fields["data"])})
    return found


def test_a_stream_has_every_change_in_order_and_ends_with_the_study(live_service: Service, http: httpx.Client) -> None:
    live_service.create_study(loop_study(budget={"trials": 2}))
    run_one(live_service, 3.0)
    live_service.pause_study("bowl")
    live_service.resume_study("bowl")
    run_one(live_service, 2.0)
    answer = http.get("/api/v1/studies/bowl/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events_in(answer.text)
    seen = [(item["event"], item["data"].get("number"), item["data"].get("state")) for item in found]
    assert seen == [
        ("study", None, "running"),
        ("trial", 0, "running"),
        ("trial", 0, "complete"),
        ("study", None, "paused"),
        ("study", None, "running"),
        ("trial", 1, "running"),
        ("trial", 1, "complete"),
        ("study", None, "complete"),
        ("end", None, None),
    ]
    assert [int(item["id"]) for item in found[:-1]] == list(range(1, 9))
    assert found[2]["data"]["value"] == 3.0
    rest = http.get("/api/v1/studies/bowl/events", headers={"Last-Event-ID": "6"})
    assert events_in(rest.text) == found[6:]
    assert events_in(http.get("/api/v1/studies/bowl/events?after=6").text) == found[6:]


def test_what_cannot_be_followed_is_refused_before_the_stream(http: httpx.Client, live_service: Service) -> None:
    live_service.create_study(loop_study())
    assert http.get("/api/v1/studies/bow/events").json()["type"].endswith("study-not-found")
    assert "bowl" in http.get("/api/v1/studies/bow/events").json()["detail"]
    for wrong in ("-1", "x", "1e9", str(2**60)):
        assert http.get("/api/v1/studies/bowl/events", headers={"Last-Event-ID": wrong}).status_code == 422


def test_a_deleted_study_ends_its_streams(live_service: Service, http: httpx.Client) -> None:
    live_service.create_study(loop_study())
    with http.stream("GET", "/api/v1/studies/bowl/events") as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: study"
        live_service.delete_study("bowl")
        assert "event: end" in list(lines)


def test_a_client_follows_across_a_restart_of_the_server(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    found: list[Event] = []

    def follow(client: Client) -> Iterator[Event]:
        yield from client.study("bowl").events()

    first = Service(settings, [TOY])
    first.open(reaper=False)
    first.create_study(loop_study(budget={"trials": 2}))
    with serving(first, settings) as url:
        port = int(url.rsplit(":", 1)[1])
        client = Client(url, retries=30)
        thread = threading.Thread(target=lambda: found.extend(follow(client)))
        thread.start()
        run_one(first)
    first.close()
    second = Service(settings, [TOY])
    second.open(reaper=False)
    with serving(second, settings, port):
        run_one(second)
        thread.join(30)
    second.close()
    client.close()
    assert [event.revision for event in found] == list(range(1, 7))
    assert [event.state for event in found if event.number is None] == ["running", "complete"]


@pytest.mark.parametrize("known", [0, 3, 10**6])
def test_a_client_may_begin_anywhere(known: int, live_service: Service, http: httpx.Client) -> None:
    live_service.create_study(loop_study(budget={"trials": 1}))
    run_one(live_service)
    with Client(str(http.base_url)) as client:
        assert [event.revision for event in client.study("bowl").events(known)] == [
            n for n in (1, 2, 3, 4) if n > known
        ]
