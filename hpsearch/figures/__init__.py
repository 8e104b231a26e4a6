"""Figures of studies: first the numbers, as plain JSON, then Plotly figures of them, as plain dictionaries. Nobody here
needs Plotly itself."""

from hpsearch.figures.kinds import KINDS, Kind
from hpsearch.figures.look import Look

__all__ = ["KINDS", "Kind", "Look"]
