"""Errors as RFC 9457 problem details: one table from the error tree to HTTP, in one place."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from hpsearch.errors import (
    PROBLEM_PREFIX,
    BudgetExceeded,
    ConfigurationError,
    Conflict,
    Fault,
    HpsearchError,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    problem_type,
)
from hpsearch.pydantic_faults import fault_of

logger = logging.getLogger(__name__)

STATUS: Mapping[type[HpsearchError], int] = {
    HpsearchError: 500,
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    BudgetExceeded: 409,
    TooLarge: 413,
    Unauthorized: 401,
    Unavailable: 503,
    ConfigurationError: 500,
}
"""A class that is not here has its parent's status."""

MEDIA_TYPE = "application/problem+json"


def status_of(error: type[HpsearchError]) -> int:
    """The HTTP status of an error."""
    return next(STATUS[parent] for parent in error.__mro__ if parent in STATUS)


def problem_of(error: HpsearchError, instance: str) -> dict[str, Any]:
    """An error as problem details (RFC 9457, section 3); `faults` is our extension member."""
    kind = type(error)
    problem: dict[str, Any] = {
        "type": PROBLEM_PREFIX + problem_type(kind),
        "title": (kind.__doc__ or "").strip().splitlines()[0],
        "status": status_of(kind),
        "detail": str(error),
        "instance": instance,
    }
    if isinstance(error, InvalidInput):
        problem["faults"] = [
            {"path": fault.path, "problem": fault.problem, "suggestion": fault.suggestion} for fault in error.faults
        ]
    return problem


def respond(request: Request, error: HpsearchError) -> JSONResponse:
    """The response that says what went wrong."""
    problem = problem_of(error, request.url.path)
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="hpsearch"'
    if isinstance(error, Unavailable):
        headers["Retry-After"] = "1"
    return JSONResponse(problem, problem["status"], headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.add_exception_handler(HpsearchError, _ours)
    app.add_exception_handler(RequestValidationError, _wrong_body)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(Exception, respond_to_fault)


def _ours(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HpsearchError):
        raise error
    return respond(request, error)


def _wrong_body(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI finds wrong with a body, a query or a path: faults, like our own."""
    details = error.errors() if isinstance(error, RequestValidationError) else ()
    return respond_to_body(request, details, _body_model(request))


def respond_to_body(request: Request, details: Sequence[Any], model: type[BaseModel] | None = None) -> JSONResponse:
    """The response to a body with these validation errors of pydantic's; `model` is what was wanted."""
    faults = []
    for detail in details:
        if detail["type"] == "json_invalid":
            faults.append(Fault("", f"the body is not JSON: {detail.get('ctx', {}).get('error', 'it cannot be read')}"))
        else:
            where = list(detail["loc"])
            # the first part says where it was looked for; only for the body that goes without saying
            faults.append(fault_of(detail, where[1:] if where[:1] == ["body"] and len(where) > 1 else where, model))
    return respond(request, InvalidInput(faults=faults))


def _body_model(request: Request) -> type[BaseModel] | None:
    """The model of the body that the route wanted, for near names."""
    field = getattr(request.scope.get("route"), "body_field", None)
    annotation = getattr(getattr(field, "field_info", None), "annotation", None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    """404 and 405 for what is no route of ours, and the like."""
    if not isinstance(error, HTTPException):
        raise error
    problem = {
        "type": "about:blank",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
        "instance": request.url.path,
    }
    return JSONResponse(problem, error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


def respond_to_fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours: logged whole, told without its insides."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return respond(request, HpsearchError("an unexpected error; the server's log has it"))
