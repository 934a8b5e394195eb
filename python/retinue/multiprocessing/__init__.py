"""``multiprocessing`` with another ``Pool``: change the import, keep the code.

All other names are the standard library's own objects, in its submodules too.
"""

from __future__ import annotations

import importlib
import multiprocessing as _standard
from multiprocessing import *  # noqa: F403

from retinue._engine import cpu_count
from retinue._internal.frozen import freeze_support
from retinue._internal.processes import active_children
from retinue.multiprocessing import pool as _pool  # noqa: F401 (bound here as the standard one is)
from retinue.multiprocessing.context import get_context
from retinue.multiprocessing.pool import Pool  # type: ignore[assignment]

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any

__all__ = list(
    dict.fromkeys([*_standard.__all__, "Pool", "active_children", "cpu_count", "freeze_support", "get_context"])
)


def __getattr__(name: str) -> Any:
    if not name.startswith("__"):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError:
            pass
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
