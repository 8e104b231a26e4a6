"""The use cases: what hpsearch does, without HTTP."""

from hpsearch.figures import KINDS
from hpsearch.service.claims import Claim
from hpsearch.service.service import Service
from hpsearch.store.studies import Marker

__all__ = ["KINDS", "Claim", "Marker", "Service"]
