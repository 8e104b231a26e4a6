"""The use cases: what hpsearch does, without HTTP."""

from hpsearch.service.service import Service

__all__ = ["Service"]
