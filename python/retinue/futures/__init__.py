"""``concurrent.futures`` with another engine: change the import, keep the code."""

from __future__ import annotations

import concurrent.futures as _standard
from concurrent.futures import *  # noqa: F403
from typing import Any

from retinue.futures._executor import ProcessPoolExecutor

__all__ = list(dict.fromkeys([*_standard.__all__, "ProcessPoolExecutor"]))


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
