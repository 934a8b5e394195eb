"""What a Pool gives for work it does in the background."""

from __future__ import annotations

import multiprocessing.pool as _standard
import os
import threading
import time
from concurrent.futures import CancelledError
from multiprocessing import TimeoutError

from retinue import _engine
from retinue._internal import arguments
from retinue._internal.faces import stands_in_for
from retinue._internal.remote import is_of_task

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from retinue.multiprocessing.pool import Pool

    Callback = Optional[Callable[[Any], object]]


class _Callbacks:
    """Calls the callback for a result. The result is ready only then: who has waited for it finds the callback done."""

    def __init__(self, callback: Callback, error_callback: Callback) -> None:
        self._callback = callback
        self._error_callback = error_callback
        self._over = threading.Event()
        self._thread = 0
        self._process = os.getpid()

    def run(self, value: Any, error: Optional[BaseException]) -> None:
        self._thread = threading.get_ident()
        try:
            if isinstance(error, CancelledError):  # by the pool's end
                return
            if error is None and self._callback is not None:
                self._callback(value)
            if error is not None and self._error_callback is not None:
                self._error_callback(error)
        finally:
            self._over.set()

    def wait(self, timeout: Optional[float]) -> bool:
        """False if the time is over first. A callback that looks at its own result does not wait for itself."""
        if self._over.is_set() or self._thread == threading.get_ident() or self._process != os.getpid():
            return True  # in the child of a fork nobody would call it
        return self._over.wait(timeout)


@stands_in_for(_standard.ApplyResult, "_cache", "_callback", "_error_callback", "_event", "_job")
class AsyncResult(_standard.ApplyResult):  # type: ignore[type-arg]
    """What ``apply_async`` gives: one task's outcome."""

    def __init__(self, pool: "Pool", future: Any, callback: Callback, error_callback: Callback) -> None:
        self._pool = pool  # kept alive until the result is
        self._future = future
        self._callbacks: Optional[_Callbacks] = None
        if callback is not None or error_callback is not None:
            self._callbacks = _Callbacks(callback, error_callback)
            self._caller = threading.get_ident()
            future.add_done_callback(self._run_callbacks)
            self._caller = 0

    def _run_callbacks(self, future: Any) -> None:
        if threading.get_ident() == self._caller:  # done so soon; the caller may hold a lock that the callback wants
            self._pool._call_in_thread(self._run_callbacks, future)
        elif self._callbacks is not None:
            error = CancelledError() if future.cancelled() else future.exception()
            self._callbacks.run(None if error is not None else future.result(), error)

    def _wait(self, timeout: Optional[float]) -> bool:
        if self._callbacks is None:
            done: bool = self._future._wait(timeout)
            return done
        end = _end_of(timeout)
        return self._future._wait(timeout) and self._callbacks.wait(_left_until(end))

    def ready(self) -> bool:
        """True once the task has ended, in whichever way, and its callback has been called."""
        return self._wait(0)

    def successful(self) -> bool:
        """True if the task ended without an exception. Raises ValueError while it runs."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._future.exception() is None

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until the task has ended, or for so many seconds."""
        self._wait(timeout)

    def get(self, timeout: Optional[float] = None) -> Any:
        """Waits, then gives the value or raises the task's exception; TimeoutError after so many seconds."""
        if not self._wait(timeout):
            raise TimeoutError(f"get(timeout={timeout}): {self._what_is_missing()}")
        return self._future.result()

    def _what_is_missing(self) -> str:
        if self._future.done():
            return "the task has ended, but its callback is still running"
        return f"the task {'is still running' if self._future.running() else 'has not started yet'}"

    def __getattr__(self, name: str) -> Any:
        """``_success`` and ``_value``, which a result has once it is ready."""
        if name not in ("_success", "_value") or not self.ready():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.successful() if name == "_success" else self._outcome()

    def _outcome(self) -> Any:
        error = self._future.exception()
        return self._future.result() if error is None else error


ApplyResult = AsyncResult


def _end_of(timeout: Optional[float]) -> Optional[float]:
    return None if timeout is None else time.monotonic() + (arguments.seconds("timeout", timeout) or 0)


def _left_until(end: Optional[float]) -> Optional[float]:
    return None if end is None else max(end - time.monotonic(), 0)


@stands_in_for(_standard.MapResult)
class MapResult(AsyncResult, _standard.MapResult):  # type: ignore[type-arg]
    """What ``map_async`` and ``starmap_async`` give: the outcomes of all items, as one list."""

    _chunksize = 1

    def __init__(
        self, pool: "Pool", results: Any, callback: Callback, error_callback: Callback, iterable: Any
    ) -> None:
        self._pool = pool
        self._results = results
        self._values: list[Any] = []
        self._error: Optional[BaseException] = None
        self._done = False
        self._failed = 0
        self._length: Optional[int] = len(iterable) if hasattr(iterable, "__len__") else None
        self._lock = threading.Lock()
        self._callbacks = None
        results._read_all_in_call()
        if callback is not None or error_callback is not None:
            self._callbacks = _Callbacks(callback, error_callback)
            pool._call_in_thread(self._gather_and_call)

    def _gather_and_call(self) -> None:
        self._gather(None)
        if self._callbacks is not None:
            self._callbacks.run(self._values, self._error)

    def _wait(self, timeout: Optional[float]) -> bool:
        end = _end_of(timeout)
        return self._gather(timeout) and (self._callbacks is None or self._callbacks.wait(_left_until(end)))

    def _gather(self, timeout: Optional[float]) -> bool:
        end = _end_of(timeout)
        if self._done:
            return True
        if not self._lock.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            return self._done
        try:
            while not self._done:
                try:
                    if not self._results._gather(self._values, _left_until(end)):
                        return False
                    self._done = True
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt) and not is_of_task(error):
                        raise
                    self._failed += 1
                    if self._error is None:
                        self._error = error
            return True
        finally:
            self._lock.release()

    def _what_is_missing(self) -> str:
        if self._done:
            return "all items have ended, but the callback is still running"
        return f"only {len(self._values)} results of the map have been there in time"

    def successful(self) -> bool:
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def get(self, timeout: Optional[float] = None) -> Any:
        if not self._wait(timeout):
            raise TimeoutError(f"get(timeout={timeout}): {self._what_is_missing()}")
        if self._error is not None:
            raise self._error
        return self._values

    def __getattr__(self, name: str) -> Any:
        """``_number_left``: how many items have no outcome yet, by which people show progress. Of inputs that have a length."""
        if name != "_number_left" or self._length is None:
            return super().__getattr__(name)
        self._gather(0)
        return 0 if self._done else max(self._length - len(self._values) - self._failed, 0)

    def _outcome(self) -> Any:
        return self._values if self._error is None else self._error


_OF_ITERATORS = ("_cache", "_cond", "_index", "_items", "_job", "_length", "_pool", "_unsorted")


@stands_in_for(_standard.IMapIterator, *_OF_ITERATORS)
class IMapIterator(_engine.MapIterator, _standard.IMapIterator):  # type: ignore[misc, type-arg]
    """What ``imap`` gives: results in the order of inputs."""

    def __new__(cls, *_: Any, **__: Any) -> "IMapIterator":
        raise TypeError(f"a {cls.__name__} is made by a pool")

    def __init__(self) -> None:
        raise TypeError("this is made already")


@stands_in_for(_standard.IMapUnorderedIterator)
class IMapUnorderedIterator(IMapIterator, _standard.IMapUnorderedIterator):  # type: ignore[misc, type-arg]
    """What ``imap_unordered`` gives: results as they are there."""
