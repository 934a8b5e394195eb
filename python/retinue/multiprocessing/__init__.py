"""``multiprocessing`` with another ``Pool``: change the import, keep the code.

All other names are the standard library's own objects.
"""

from __future__ import annotations

import importlib
import multiprocessing as _standard
from multiprocessing import *  # noqa: F403

from retinue._engine import cpu_count
from retinue.multiprocessing import pool as _pool
from retinue.multiprocessing.pool import Pool  # type: ignore[assignment]

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional

__all__ = list(dict.fromkeys([*_standard.__all__, "Pool", "cpu_count"]))


class _Context:
    """A context of multiprocessing whose ``Pool`` is retinue's."""

    def __init__(self, standard: Any) -> None:
        self._standard = standard

    def Pool(
        self,
        processes: Optional[int] = None,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        maxtasksperchild: Optional[int] = None,
    ) -> _pool.Pool:
        return _pool.Pool(processes, initializer, initargs, maxtasksperchild, context=self._standard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._standard, name)


def get_context(method: Optional[str] = None) -> Any:  # type: ignore[no-redef]
    """The context of a start method: ``fork``, ``spawn`` or ``forkserver``."""
    return _Context(_standard.get_context(method))


def __getattr__(name: str) -> Any:
    try:
        return getattr(_standard, name)
    except AttributeError:
        pass
    try:
        return importlib.import_module(f"multiprocessing.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
