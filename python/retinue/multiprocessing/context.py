"""``multiprocessing.context`` with another ``Pool`` in its contexts."""

from __future__ import annotations

import multiprocessing as _multiprocessing
from multiprocessing import context as _standard

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from multiprocessing.context import (
        AuthenticationError as AuthenticationError,
        BufferTooShort as BufferTooShort,
        ProcessError as ProcessError,
        TimeoutError as TimeoutError,
    )
    from typing import Any, Iterable, Optional

    from retinue.multiprocessing.pool import Pool


class _WithPool:
    """What retinue's contexts have instead of multiprocessing's."""

    def Pool(
        self,
        processes: Optional[int] = None,
        initializer: Any = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: Optional[int] = None,
    ) -> Pool:
        """A pool of retinue's, of this start method."""
        from retinue.multiprocessing.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self)

    def get_context(self, method: Optional[str] = None) -> Any:
        return self if method is None else get_context(method)


class ForkContext(_WithPool, _standard.ForkContext):  # type: ignore[misc]
    """Of the start method ``fork``."""


class SpawnContext(_WithPool, _standard.SpawnContext):  # type: ignore[misc]
    """Of the start method ``spawn``."""


class ForkServerContext(_WithPool, _standard.ForkServerContext):  # type: ignore[misc]
    """Of the start method ``forkserver``."""


_contexts: dict[str, Any] = {"fork": ForkContext(), "spawn": SpawnContext(), "forkserver": ForkServerContext()}


def get_context(method: Optional[str] = None) -> Any:
    """The context of a start method: ``fork``, ``spawn`` or ``forkserver``; without one, of that which is set."""
    return _contexts[_multiprocessing.get_context(method).get_start_method()]


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)
