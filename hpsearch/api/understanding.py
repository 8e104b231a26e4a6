"""Routes of what is understood of a study. Found on threads of their own: they may take a second."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response, status
from pydantic import TypeAdapter

from hpsearch.api.calls import INTERNAL
from hpsearch.api.dependencies import DOCUMENTED, CallsOf, ServiceOf, StudyName
from hpsearch.insights import METHODS, Front, Importances, Summary, weights_of
from hpsearch.service import KINDS, Marker

router = APIRouter(prefix="/api/v1/studies/{study}", tags=["understanding"], dependencies=DOCUMENTED)

_IMPORTANCES: TypeAdapter[Importances] = TypeAdapter(Importances)
_SUMMARY: TypeAdapter[Summary] = TypeAdapter(Summary)
_FRONT: TypeAdapter[Front] = TypeAdapter(Front)
_JSON: TypeAdapter[Any] = TypeAdapter(Any)

IfNoneMatch = Annotated[str | None, Header()]
Metric = Annotated[str | None, Query(description="Which of the metrics that the study searches; the first without.")]


@router.get("/importances", response_model=Importances)
async def importances(
    service: ServiceOf,
    calls: CallsOf,
    study: StudyName,
    method: Annotated[
        str, Query(description=f"One of {', '.join(METHODS)}; the others than the first need scikit-learn.")
    ] = METHODS[0],
    metric: Metric = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Which parameters mattered, with an `ETag`: `ped_anova` by what leads to the best tenth of the trials, `fanova` by
    shares of the variance, with those of pairs, `shapley` with what several have together parted between them. Of a
    large study a random sample of some thousand trials is looked at; the answer says how many of how many."""

    def find() -> tuple[int, bytes]:
        found = service.understanding.importances(study, method, metric)
        return found.revision, _IMPORTANCES.dump_json(found)

    return await tagged(calls, study, if_none_match, find)


@router.get("/summary", response_model=Summary, response_model_exclude={"top": {"__all__": INTERNAL}})
async def summary(
    service: ServiceOf,
    calls: CallsOf,
    study: StudyName,
    count: Annotated[int, Query(ge=1, le=100, description="Best trials.")] = 10,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The best trials, how the others ended and how well earlier studies agree, with an `ETag`."""

    def find() -> tuple[int, bytes]:
        found = service.understanding.summary(study, count)
        return found.revision, _SUMMARY.dump_json(found, exclude={"top": {"__all__": INTERNAL}})

    return await tagged(calls, study, if_none_match, find)


@router.get("/pareto", response_model=Front, response_model_exclude={"trials": {"__all__": INTERNAL}})
async def pareto(
    service: ServiceOf,
    calls: CallsOf,
    study: StudyName,
    weight: Annotated[
        list[str] | None,
        Query(
            description="How much a metric counts for `chosen`: `validation_accuracy:2`. Repeat for more; 1 without."
        ),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The Pareto front: the trials that no other one beats in every metric, and which of them to take by weights; with
    an `ETag`. Of one metric alone it is the best trials."""
    weights = weights_of(weight or (), ":")

    def find() -> tuple[int, bytes]:
        found = service.understanding.front(study, weights)
        return found.revision, _FRONT.dump_json(found, exclude={"trials": {"__all__": INTERNAL}})

    return await tagged(calls, study, if_none_match, find)


@router.get("/plots")
async def list_plots() -> dict[str, str]:
    """The kinds of figures, and what each shows."""
    return {name: kind.about for name, kind in KINDS.items()}


@router.get("/plots/{kind}", response_model=dict[str, Any])
async def plot(
    service: ServiceOf,
    calls: CallsOf,
    study: StudyName,
    kind: Annotated[str, Path(description=f"One of {', '.join(KINDS)}.")],
    parameter: Annotated[
        list[str] | None, Query(description="A parameter to show; repeat for more. The most important ones without.")
    ] = None,
    form: Annotated[
        str, Query(description="figure: a Plotly figure (data, layout); data: the numbers in it.")
    ] = "figure",
    metric: Metric = None,
    method: Annotated[
        str | None,
        Query(description=f"By what parameters are important: one of {', '.join(METHODS)}; the first without."),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A figure as JSON that Plotly draws in any language, with an `ETag`. Of a large study the best trials and an even
    sample of the others are shown; the figure says so. What users wrote stands in it as text, never as markup."""

    def find() -> tuple[int | None, bytes]:
        found = service.understanding.figure(study, kind, parameter or (), form, metric, method)
        return found.revision if found.keeps else None, _JSON.dump_json(found.content)

    follows = kind.replace("-", "_") in KINDS and KINDS[kind.replace("-", "_")].follows_reports
    return await tagged(calls, study, None if follows else if_none_match, find)


async def tagged(
    calls: CallsOf, study: str, known: str | None, find: Callable[[], tuple[int | None, bytes]]
) -> Response:
    """What `find` finds (a study's revision, JSON), under that revision's entity tag, if it has one; 304 where it is
    `known`.

    Raises `StudyNotFound`, and what `find` raises.
    """
    marker = await calls.marker(study)
    headers: dict[str, Any] = {"ETag": revision_tag(marker, marker.revision), "Cache-Control": "no-cache"}
    if known == headers["ETag"]:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    revision, content = await calls.understand(find)
    if revision is None:
        del headers["ETag"]
    else:
        headers["ETag"] = revision_tag(marker, revision)
    return Response(content, media_type="application/json", headers=headers)


def revision_tag(marker: Marker, revision: int) -> str:
    """Changes when anything in the study does; no two studies have the same."""
    return f'"{marker.id}.r{revision}"'
