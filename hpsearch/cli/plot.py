"""`hpsearch study plot`: figures written to files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.errors import ConfigurationError, Fault, HpsearchError, InvalidInput, near

IMAGES = ("png", "svg", "pdf", "jpg", "webp")
FORMS = ("html", "json", *IMAGES)
WIDTH, HEIGHT, SCALE = 960, 540, 2
_TO_PLOT = "pip install 'hpsearch[plot]'"


def form_of(path: Path) -> str:
    """What a file's name says that it is to be. Raises `InvalidInput`."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        problem = f"must end in one of {', '.join(f'.{known}' for known in FORMS)}, not {path.name!r}"
        raise InvalidInput(faults=[Fault("--to", problem, near(form, FORMS))])
    return form


def write_figure(figure: Mapping[str, Any], path: Path) -> None:
    """A figure as the file's name says: a page that needs no internet, JSON, or an image.

    Raises `InvalidInput` for another ending, `ConfigurationError` where Plotly, or a browser for an image, is missing,
    `HpsearchError` where the file cannot be written.
    """
    form = form_of(path)
    if form == "json":
        content = json.dumps(figure, ensure_ascii=False).encode()
    else:
        objects = plotly().Figure(dict(figure))
        objects.update_layout(paper_bgcolor="white", plot_bgcolor="white")
        # not a name drawn at random: the same figure is the same file
        content = (
            objects.to_html(include_plotlyjs=True, div_id="figure").encode()
            if form == "html"
            else _image(objects, form)
        )
    write_whole(path, content)


def write_whole(path: Path, content: bytes) -> None:
    """Raises `HpsearchError` where the file cannot be written."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HpsearchError(f"{path} cannot be written: {error.strerror or error}") from error


def plotly() -> Any:
    """`plotly.graph_objects`. Raises `ConfigurationError`."""
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise ConfigurationError(f"this needs plotly: {_TO_PLOT}; --to file.json does without") from error
    return plotly.graph_objects


def _image(figure: Any, form: str) -> bytes:
    """Drawn by a browser, through kaleido: Plotly has no other way to images."""
    instead = "; --to file.html needs neither"
    try:
        import kaleido
    except ImportError as error:
        raise ConfigurationError(f"an image needs kaleido: {_TO_PLOT}, and Chrome or Chromium{instead}") from error
    try:
        height = figure.layout.height or HEIGHT
        options = {"format": form, "width": WIDTH, "height": height, "scale": SCALE}
        image: bytes = kaleido.calc_fig_sync(figure, opts=options)
    except Exception as error:  # of kaleido, of choreographer below it, of the browser
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        problem = f"an image needs Chrome or Chromium, which could not be used ({first})"
        raise ConfigurationError(f"{problem}; BROWSER_PATH names one{instead}") from error
    return image
