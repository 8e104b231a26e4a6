"""One frozen settings object; the only reader of the environment (`HPSEARCH_…`)."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_PORT = 8421


class Settings(BaseSettings):
    """Each field is read from `HPSEARCH_` and its name in capitals; a command's flag goes before it."""

    model_config = SettingsConfigDict(env_prefix="HPSEARCH_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path("~/.hpsearch"), description="Folder for the SQLite database and the artifacts.")
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL of PostgreSQL (`postgresql://user:password@host/name`); SQLite in `home` without.",
    )
    host: str = Field("127.0.0.1", description="Address to serve on; anything but loopback needs a token.")
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="Port to serve on; 0 takes a free one.")
    token: SecretStr | None = Field(None, description="The bearer token that the server wants and clients send.")
    server: str = Field(
        f"http://127.0.0.1:{DEFAULT_PORT}", description="Where the commands and workers find the server."
    )
    data: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders below which a worker may read data files, joined by `:`; `home`/data without."
    )
    lease_seconds: float = Field(
        30.0, gt=0.1, le=86_400, description="A worker that is silent for so long loses its trials (server)."
    )
    hang_seconds: float = Field(
        900.0, gt=0, description="A trial that reports nothing for so long is killed and tried again (worker)."
    )
    grace_seconds: float = Field(
        8.0, ge=0, description="How long a worker told to stop lets its trials finish before it hands them back."
    )
    max_body_mb: int = Field(32, ge=1, le=1024, description="Largest JSON body that the server takes, in MiB.")
    max_artifact_mb: int = Field(512, ge=1, description="Largest artifact that the server takes, in MiB.")

    @field_validator("data", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @property
    def home_folder(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().absolute()

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL with its driver named."""
        if self.database_url is None:
            return f"sqlite:///{self.home_folder / 'hpsearch.db'}"
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    @property
    def data_roots(self) -> tuple[Path, ...]:
        """The data folders, absolute."""
        return tuple(root.expanduser().absolute() for root in self.data or (self.home / "data",))
