"""What executors and pools have in common: one start, whatever comes in between, and what becomes of them in a fork."""

from __future__ import annotations

import threading

import retinue
from retinue import _engine
from retinue._internal import at_exit, start
from retinue._internal.imports import importing

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Iterable, Optional


def kept_descriptors(close: bool, keep: Iterable[Any]) -> Optional[tuple[int, ...]]:
    """The options `close_descriptors` and `keep_descriptors` of a pool as the engine wants them."""
    if close is False and keep == ():
        return None
    with importing():
        from retinue._internal.kept_descriptors import numbers
    return numbers(close, keep)


class ProcessesOnce(_engine.Pool):  # type: ignore[misc]
    """A pool whose processes are started once.

    A signal handler may end it at any moment, so ending takes no lock: `_refuse` notes the wish, and a start that is
    under way ends what it has made and raises PoolClosed. Only other threads wait for that (`_wait_for_start`).

    In the child of a fork a pool that has not been started is as good as new, and one that has been is the parent's.
    One that is being started by the thread that forks is in its own worker, where nobody could ever answer it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # of the thread that starts it, which may call again in a signal handler
        self._starting_in = 0  # that thread
        self._in_own_worker = False
        at_exit.register(self)

    def _start_processes(self, *arguments: Any, **options: Any) -> None:
        with self._lock:
            if self._in_own_worker:
                raise retinue.PoolClosed(
                    "a task cannot use the pool that it runs in: submit the work from the process that made the pool, "
                    "or make another pool in the task"
                )
            if self._starting_in:
                raise RuntimeError("this pool is just being started, by what this code (a signal handler?) has interrupted")
            if self._started:
                return
            try:
                self._starting_in = threading.get_ident()
                start.start(self, *arguments, **options)
            finally:
                self._starting_in = 0
            at_exit.register(self)  # again: it may have been made before a fork

    def _wait_for_start(self) -> None:
        """Of another thread; that is short, once the pool is refused."""
        with self._lock:
            pass

    def _forked(self) -> None:
        """Called in the child of a fork. Threads that do not exist here may have been starting it."""
        self._lock = threading.RLock()
        self._in_own_worker = self._in_own_worker or self._starting_in == threading.get_ident()
        self._starting_in = 0
