"""Errors on the wire: one table, total, and inverted by the client."""

import httpx
import pytest

from hpsearch.api.problems import STATUS, problem_of, status_of
from hpsearch.client.transport import BY_TYPE, raise_for_problem
from hpsearch.errors import Fault, HpsearchError, InvalidInput, LeaseLost, error_tree, problem_type

TREE = [error for error in error_tree() if error.__module__ == "hpsearch.errors"]


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_every_error_comes_back_as_itself(error: type[HpsearchError]) -> None:
    raised = error("because", [Fault("a.b", "is wrong", "c")]) if issubclass(error, InvalidInput) else error("because")
    problem = problem_of(raised, "/here")
    assert problem["status"] == status_of(error)
    response = httpx.Response(problem["status"], json=problem)
    with pytest.raises(error, match="because") as caught:
        raise_for_problem(response)
    assert type(caught.value) is error
    if isinstance(caught.value, InvalidInput):
        assert caught.value.faults == (Fault("a.b", "is wrong", "c"),)


def test_names_on_the_wire_are_told_apart() -> None:
    assert len(BY_TYPE) == len(error_tree())
    assert problem_type(LeaseLost) == "lease-lost"


def test_every_branch_has_a_status_of_its_own_choice() -> None:
    """A direct child of the root would silently become a 500."""
    for error in TREE:
        if HpsearchError in error.__bases__:
            assert error in STATUS


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(502, "<html>bad gateway", "Unavailable"), (404, "[]", "NotFound"), (418, "{}", "HpsearchError")],
)
def test_an_answer_of_a_proxy_is_an_error_of_ours_too(status: int, body: str, error: str) -> None:
    with pytest.raises(HpsearchError) as caught:
        raise_for_problem(httpx.Response(status, text=body))
    assert type(caught.value).__name__ == error
