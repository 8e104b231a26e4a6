"""The use cases: what hpsearch does, without HTTP."""

from hpsearch.figures import KINDS
from hpsearch.service.checks import of_one
from hpsearch.service.claims import Claim, Later
from hpsearch.service.service import PATIENCE, Service
from hpsearch.store.studies import Marker

__all__ = ["KINDS", "PATIENCE", "Claim", "Later", "Marker", "Service", "of_one"]
