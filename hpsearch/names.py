"""The names that studies and workers may have; parameters' names are with the parameters."""

from typing import Annotated

from pydantic import Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
WORKER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"
NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, Field(strict=True, pattern=NAME, max_length=100)]
