"""``concurrent.futures.process`` with another ``ProcessPoolExecutor``."""

from __future__ import annotations

from concurrent.futures import process as _standard
from concurrent.futures.process import BrokenProcessPool as BrokenProcessPool

from retinue.futures._executor import ProcessPoolExecutor as ProcessPoolExecutor

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
