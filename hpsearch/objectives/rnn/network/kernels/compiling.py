"""How functions are compiled, and kept on disk."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

Array = np.ndarray[Any, np.dtype[Any]]
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
"""A product and a sum may become one operation, and nothing else: a NaN stays one, and each sum keeps its order."""


def part(function: Callable[..., Any]) -> Any:
    """Compiled by numba into what calls it."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compiled by numba at the first call; and kept on disk, where there is a folder to write to.

    numba's cache looks at no other file than the kernel's to see whether it is out of date. Its files are named after
    the function: the name says what all of this folder's files are.
    """
    function.__qualname__ += f"_{_SOURCES.hexdigest()[:16]}"
    try:
        return njit(cache=True, nogil=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's own: once a process
        return njit(nogil=True, **OPTIONS)(function)
