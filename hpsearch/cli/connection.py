"""A client as the flags and settings say."""

from hpsearch.cli.options import settings_of
from hpsearch.client import Client


def address(server: str | None, token: str | None) -> tuple[str, str | None]:
    """The server's URL and the token that the flags or the settings name."""
    settings = settings_of(server=server, token=token)
    return settings.server, settings.token.get_secret_value() if settings.token else None


def connect(server: str | None, token: str | None, *, retries: int = 2) -> Client:
    """A client of the server that the flags or the settings name."""
    return Client(*address(server, token), retries=retries)
