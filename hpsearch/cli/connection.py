"""A client as the flags and settings say."""

from hpsearch.cli.options import settings_of
from hpsearch.client import Client


def connect(server: str | None, token: str | None, *, retries: int = 2) -> Client:
    """A client of the server that the flags or the settings name."""
    settings = settings_of(server=server, token=token)
    secret = settings.token.get_secret_value() if settings.token else None
    return Client(settings.server, secret, retries=retries)
