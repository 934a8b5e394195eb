"""``concurrent.futures`` with another engine: change the import, keep the code."""

from __future__ import annotations

import concurrent.futures as _standard
import importlib
from concurrent.futures import (
    ALL_COMPLETED as ALL_COMPLETED,
    FIRST_COMPLETED as FIRST_COMPLETED,
    FIRST_EXCEPTION as FIRST_EXCEPTION,
    BrokenExecutor as BrokenExecutor,
    CancelledError as CancelledError,
    Executor as Executor,
    Future as Future,
    InvalidStateError as InvalidStateError,
    TimeoutError as TimeoutError,
    as_completed as as_completed,
    wait as wait,
)

from retinue.futures._executor import ProcessPoolExecutor as ProcessPoolExecutor

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor as ThreadPoolExecutor
    from typing import Any

__all__ = list(dict.fromkeys([*_standard.__all__, "ProcessPoolExecutor"]))


def __getattr__(name: str) -> Any:
    """What is left of concurrent.futures, such as ThreadPoolExecutor, is imported when it is asked for."""
    if name in ("_base", "process", "thread"):
        return importlib.import_module(f"{__name__}.{name}")
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
