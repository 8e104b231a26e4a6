"""Optuna and hpsearch: a storage for plain Optuna scripts, and whole studies moved to and from Optuna's databases.

storage = hpsearch.optuna.Storage("http://server:8421", token="…")
study = optuna.create_study(study_name="mine", storage=storage, load_if_exists=True)
"""

from hpsearch.client.optuna_port import HttpPort
from hpsearch.search import storage


class Storage(storage.Storage):
    """The studies of the server at `url` as an Optuna storage. Can be pickled.

    `timeout` is in seconds, for each call; `retries` is how often a call is repeated while the server is away.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 60.0, retries: int = 8) -> None:
        super().__init__(HttpPort(url, token, timeout=timeout, retries=retries))
