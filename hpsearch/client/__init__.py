"""The Python client: `Client(url, token)`, the handles that it gives, and the gateway over HTTP."""

from hpsearch.client.client import Client
from hpsearch.client.studies import AskedTrial, StudyHandle, TrialList

__all__ = ["AskedTrial", "Client", "StudyHandle", "TrialList"]
