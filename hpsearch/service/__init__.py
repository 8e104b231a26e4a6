"""The use cases: what hpsearch does, without HTTP."""

from hpsearch.service.claims import Claim
from hpsearch.service.service import Service
from hpsearch.store.studies import Marker

__all__ = ["Claim", "Marker", "Service"]
