"""The routes as curl sees them."""

import re
import threading
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.errors import InvalidSpec
from hpsearch.service import Service
from hpsearch.spec import parse_study
from hpsearch.trials import Result, TrialState
from tests.conftest import loop_study, toy_study

STUDY = "/api/v1/studies/bowl"


def ask(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = http.post(f"{STUDY}/ask", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_a_loop_in_any_language_asks_reports_and_tells(http: httpx.Client) -> None:
    assert http.post("/api/v1/studies", json=loop_study(budget={"trials": 1})).status_code == 201
    assert http.post("/api/v1/studies", json=loop_study(budget={"trials": 1})).status_code == 200
    (trial,) = ask(http, request_id="r1")
    assert ask(http, request_id="r1") == [trial]
    lease = {"token": trial["lease"]["token"], "attempt": 1}
    report = http.post(f"{STUDY}/trials/0/report", json={**lease, "step": 1, "value": 0.5})
    assert report.json() == {"decision": "continue"}
    for _ in range(2):
        told = http.post(f"{STUDY}/trials/0/tell", json={**lease, "value": 0.25, "metrics": {"loss": None}})
        assert (told.status_code, told.json()["state"], told.json()["value"]) == (200, "complete", 0.25)
    other = http.post(f"{STUDY}/trials/0/tell", json={**lease, "value": 0.75})
    assert (other.status_code, other.json()["type"]) == (409, "urn:hpsearch:problem:trial-finished")
    ended = http.post(f"{STUDY}/ask", json={})
    assert (ended.status_code, ended.json()["type"]) == (409, "urn:hpsearch:problem:study-ended")
    study = http.get(STUDY).json()
    assert (study["name"], study["state"], study["counts"]["finished"]) == ("bowl", "complete", 1)


def test_a_lost_lease_is_a_conflict(http: httpx.Client) -> None:
    http.post("/api/v1/studies", json=loop_study())
    ask(http)
    for verb, body in (("report", {"step": 1, "value": 1.0}), ("tell", {"value": 1.0})):
        answer = http.post(f"{STUDY}/trials/0/{verb}", json={"token": "guess", **body})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:hpsearch:problem:lease-lost")


def test_every_fault_of_a_study_is_told_at_once(http: httpx.Client) -> None:
    answer = http.post("/api/v1/studies", json=toy_study(seed=-1, space={"y": {"type": "flot", "low": 0, "high": 1}}))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "urn:hpsearch:problem:invalid-spec"
    assert {(fault["path"], fault["suggestion"]) for fault in problem["faults"]} == {
        ("seed", None),
        ("space.y.type", "float"),
        ("space.y", None),
    }


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"seed": NaN}', "NaN is no JSON number"),
        (b'{"seed": -Infinity}', "-Infinity is no JSON number"),
        (b'{"seed": 1e999}', "too large"),
        (b'{"name": "a", "name": "b"}', "'name' twice"),
        (b"[" * 100_000, "JSON|deep"),
        (b"9" * 5000, "JSON"),
        (b"null", "must be an object"),
    ],
)
def test_a_body_that_is_no_study_is_refused(http: httpx.Client, body: bytes, what: str) -> None:
    answer = http.post("/api/v1/studies", content=body)
    assert answer.status_code == 422
    assert answer.json()["faults"]
    assert re.search(what, answer.json()["detail"])


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete"])
@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/schema", "/api/v1/studies"])
def test_what_is_no_route_is_a_problem_too(http: httpx.Client, verb: str, path: str) -> None:
    answer = http.request(verb, path)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("ask", {"cuont": 1}, ("cuont", "count")),
        ("ask", {"count": 0}, ("count", None)),
        ("ask", {"lease_seconds": 1e9}, ("lease_seconds", None)),
        ("ask", {"worker": "nul\0"}, ("worker", None)),
        ("trials/0/report", {"token": "t", "step": 1}, ("value", None)),
        ("trials/0/report", {"token": "t", "step": 1.5, "value": 1}, ("step", None)),
        ("trials/0/tell", {"token": "t", "state": "done"}, ("state", None)),
        ("trials", {"configurations": []}, ("configurations", None)),
        ("trials", {"configurations": [{"x": 99}]}, ("configurations.0.x", None)),
        ("trials/0/tell", {"token": "t", "value": 1, "values": [2]}, ("values", None)),
    ],
)
def test_wrong_bodies_are_refused_at_their_field(http: httpx.Client, path: str, body: Any, fault: Any) -> None:
    http.post("/api/v1/studies", json=loop_study())
    answer = http.post(f"{STUDY}/{path}", json=body)
    assert answer.status_code == 422
    assert fault in {(item["path"], item["suggestion"]) for item in answer.json()["faults"]}


def test_best_carries_an_etag_and_is_not_sent_twice(http: httpx.Client, live_service: Service) -> None:
    http.post("/api/v1/studies", json=loop_study())
    none = http.get(f"{STUDY}/best")
    assert none.json()["trial"] is None
    assert http.get(f"{STUDY}/best", headers={"If-None-Match": none.headers["etag"]}).status_code == 304
    (assignment,) = live_service.ask("bowl")
    live_service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(1.0,)))
    first = http.get(f"{STUDY}/best", headers={"If-None-Match": none.headers["etag"]})
    assert (first.status_code, first.json()["trial"]["value"]) == (200, 1.0)
    assert "sampler_attributes" not in first.json()["trial"]


def _later(action: Any) -> threading.Thread:
    thread = threading.Timer(0.3, action)
    thread.start()
    return thread


def test_a_long_poll_answers_when_the_best_changes(http: httpx.Client, live_service: Service) -> None:
    http.post("/api/v1/studies", json=loop_study())
    first, second, third = live_service.ask("bowl", 3)

    def tell(assignment: Any, value: float) -> None:
        live_service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))

    tell(first, 1.0)

    def worse_then_better() -> None:
        tell(second, 2.0)
        tell(third, 0.5)

    thread, began = _later(worse_then_better), time.monotonic()
    answer = http.get(f"{STUDY}/best?wait=30", timeout=40)
    assert answer.json()["trial"]["value"] == 0.5
    assert time.monotonic() - began < 20
    thread.join()


def test_a_long_poll_answers_when_the_study_ends_or_goes(http: httpx.Client, live_service: Service) -> None:
    http.post("/api/v1/studies", json=loop_study())
    tag = http.get(f"{STUDY}/best").headers["etag"]
    thread = _later(lambda: live_service.stop_study("bowl"))
    answer = http.get(f"{STUDY}/best?wait=30", headers={"If-None-Match": tag}, timeout=40)
    assert (answer.status_code, answer.json()["state"]) == (200, "stopped")
    thread.join()
    http.post("/api/v1/studies", json=loop_study(name="other"))
    thread = _later(lambda: live_service.delete_study("other"))
    gone = http.get("/api/v1/studies/other/best?wait=30", timeout=40)
    assert gone.status_code == 404
    thread.join()


def test_a_long_poll_without_news_says_so_in_time(http: httpx.Client) -> None:
    http.post("/api/v1/studies", json=loop_study())
    tag = http.get(f"{STUDY}/best").headers["etag"]
    assert http.get(f"{STUDY}/best?wait=0.3", headers={"If-None-Match": tag}).status_code == 304
    assert http.get(f"{STUDY}/best?wait=9999").status_code == 422


def test_trials_are_paged_filtered_and_exported(http: httpx.Client, live_service: Service) -> None:
    http.post("/api/v1/studies", json=loop_study())
    for number in range(5):
        (assignment,) = live_service.ask("bowl")
        state = TrialState.COMPLETE if number % 2 else TrialState.FAILED
        values = (1.0,) if number % 2 else None
        live_service.tell_one(Result(lease=assignment.lease, state=state, values=values, reason=f'say "{number}", ok'))
    page = http.get(f"{STUDY}/trials?limit=2").json()
    assert [trial["number"] for trial in page["items"]] == [0, 1]
    rest = http.get(f"{STUDY}/trials", params={"cursor": page["next"], "state": ["failed", "waiting"]}).json()
    assert [trial["number"] for trial in rest["items"]] == [2, 4]
    lines = http.get(f"{STUDY}/export").text.splitlines()
    assert len(lines) == 5
    table = http.get(f"{STUDY}/export?format=csv").text.splitlines()
    assert len(table) == 6
    assert table[0].startswith("number,state,value")
    assert http.get("/api/v1/studies/none/export").status_code == 404


def test_an_artifact_goes_up_checked_and_comes_down(http: httpx.Client) -> None:
    http.post("/api/v1/studies", json=loop_study())
    (trial,) = ask(http)
    url, lease = f"{STUDY}/trials/0/artifacts/model.bin", {"Hpsearch-Lease": trial["lease"]["token"]}
    assert http.put(url, content=b"weights", headers=lease | {"Hpsearch-SHA256": "0" * 64}).status_code == 422
    assert http.put(url, content=b"weights", headers={"Hpsearch-Lease": "guess"}).status_code == 409
    assert http.put(f"{STUDY}/trials/0/artifacts/..%2Fx", content=b"", headers=lease).status_code in (404, 422)
    record = http.put(url, content=b"weights", headers=lease).json()
    found = http.get(url)
    assert (found.content, found.headers["etag"]) == (b"weights", f'"{record["sha256"]}"')
    assert http.get(f"{STUDY}/trials/0/artifacts").json() == [record]


def test_objectives_publish_their_parameters(http: httpx.Client) -> None:
    (toy,) = http.get("/api/v1/objectives").json()
    assert http.get("/api/v1/objectives/toy").json() == toy
    assert {"name", "type", "default", "meaning", "low", "high"} <= toy["parameters"][0].keys()
    missing = http.get("/api/v1/objectives/toyy")
    assert (missing.status_code, "'toy'" in missing.json()["detail"]) == (404, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
ROUTES = [
    ("POST", "/api/v1/studies"),
    ("POST", f"{STUDY}/ask"),
    ("POST", f"{STUDY}/trials"),
    ("POST", f"{STUDY}/retry"),
    ("POST", f"{STUDY}/trials/0/report"),
    ("POST", f"{STUDY}/trials/0/tell"),
    ("POST", "/api/v1/workers"),
    ("POST", "/api/v1/workers/w/claim"),
    ("POST", "/api/v1/leases/renew"),
    ("POST", "/api/v1/reports"),
    ("POST", "/api/v1/results"),
    ("POST", "/api/v1/releases"),
]
LEASE = {"study": "bowl", "number": 0, "token": "t", "attempt": 1}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), value=json_values, field=st.sampled_from([*LEASE, "step", "value", "state"]))
def test_no_body_makes_the_server_fail(http: httpx.Client, route: Any, value: Any, field: str) -> None:
    full = {"lease": LEASE, "step": 1, "value": 1.0, "state": "failed", "reason": "r", "name": "w", "session": "s"}
    mixed = full | ({field: value} if field not in LEASE else {"lease": LEASE | {field: value}})
    for body in (value, [value], mixed, [mixed]):
        answer = http.request(*route, json=body)
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "%F0%9F%92%A9", "..%2F..", "a" * 5000, "%20"])
def test_no_name_makes_the_server_fail(http: httpx.Client, text: str) -> None:
    for path in ("studies/{}", "studies/{}/best", "studies/{}/trials/{}", "objectives/{}"):
        assert 400 <= http.get("/api/v1/" + path.replace("{}", text)).status_code < 500


@pytest.mark.parametrize("call", ["report", "tell"])
def test_a_value_that_is_not_finite_is_refused_with_how_to_say_it(http: httpx.Client, call: str) -> None:
    http.post("/api/v1/studies", json=loop_study()).raise_for_status()
    (assignment,) = http.post("/api/v1/studies/bowl/ask", json={}).json()
    path, token = f"/api/v1/studies/bowl/trials/0/{call}", assignment["lease"]["token"]
    for value in ("NaN", "-Infinity"):
        answer = http.post(path, content=f'{{"token": "{token}", "step": 1, "value": {value}}}'.encode())
        faults = {fault["path"]: fault["problem"] for fault in answer.json()["faults"]}
        assert answer.status_code == 422
        assert "told as failed, with the reason 'diverged'" in faults["value"]
    told = http.post(
        "/api/v1/studies/bowl/trials/0/tell", json={"token": token, "state": "failed", "reason": "diverged: nan"}
    )
    assert (told.status_code, told.json()["state"], told.json()["diverged"]) == (200, "failed", True)


def test_best_says_which_of_the_two_it_means_and_its_tag_changes(http: httpx.Client) -> None:
    http.post("/api/v1/studies", json=loop_study(budget={"trials": 2}, confirm={"top": 1, "seeds": 2}))
    tags, states = [], []
    for value in (1.0, 2.0, 5.0, 7.0):
        (trial,) = ask(http)
        lease = {"token": trial["lease"]["token"], "attempt": 1}
        told = {"value": value, "metrics": {"test_depth": value}}
        http.post(f"{STUDY}/trials/{trial['lease']['number']}/tell", json=lease | told)
        answer = http.get(f"{STUDY}/best")
        tags.append(answer.headers["ETag"])
        states.append((answer.json()["state"], answer.json()["trial"]["value"], answer.json()["confirmed"] is None))
    assert states == [
        ("running", 1.0, True), ("confirming", 1.0, True), ("confirming", 1.0, True), ("complete", 1.0, False)
    ]  # fmt: skip
    assert len(set(tags)) == 3
    confirmed = answer.json()["confirmed"]
    assert (confirmed["trial"], confirmed["mean"], confirmed["optimism"], confirmed["best_run"]) == (0, 6.0, 5.0, 2)
    assert confirmed["metrics"]["test_depth"]["mean"] == 6.0
    whole = http.get(f"{STUDY}/confirmation").json()
    assert (whole["planned"], whole["finished"], whole["configurations"]) == (2, 2, [confirmed])
    kinds = {kind: http.get(f"{STUDY}/trials", params={"kind": kind}).json()["items"] for kind in ("search", "confirm")}
    assert [[item["confirms"] for item in items] for items in kinds.values()] == [[None, None], [0, 0]]
    assert len(http.get(f"{STUDY}/export").text.splitlines()) == 2
    assert len(http.get(f"{STUDY}/export", params={"kind": "all"}).text.splitlines()) == 4
    assert http.get(f"{STUDY}/trials", params={"kind": "both"}).status_code == 422


@pytest.mark.parametrize(
    ("confirm", "fault"),
    [
        ("nnoe", ("confirm", None)),
        (5, ("confirm", None)),
        ({"top": 0}, ("confirm.top", None)),
        ({"seeds": 1}, ("confirm.seeds", None)),
        ({"seeds": 1e999}, ("confirm.seeds", None)),
        ({"tpo": 3}, ("confirm.tpo", "top")),
        ({"top": True}, ("confirm.top", None)),
    ],
)
def test_a_wrong_wish_to_confirm_is_refused(confirm: Any, fault: Any) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_study(loop_study(confirm=confirm))
    assert [(item.path, item.suggestion) for item in error.value.faults] == [fault]
