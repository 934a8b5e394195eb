"""Imports in the middle of things, which a fork by another thread waits for.

A module that is being imported when the process is forked stays locked in the child, where nobody goes on importing it: the
child waits for ever when it wants it too. So what this package imports later than at its own import, and in threads that are
not the caller's alone, is imported under a lock that is held over forks."""

from __future__ import annotations

import os
from _thread import RLock, _local  # type: ignore[attr-defined]  # threading takes longer to import than this package

_lock = RLock()  # for a fork within an import
_forking = _local()
_LONGEST = 10.0  # seconds; an import that waits for the thread that forks would never end


class importing:
    """A `with` around such imports. Any thread."""

    def __enter__(self) -> None:
        _lock.acquire()

    def __exit__(self, *error: object) -> None:
        _lock.release()


def _before() -> None:
    _forking.holds = _lock.acquire(timeout=_LONGEST)


def _after() -> None:
    if _forking.holds:
        _lock.release()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
