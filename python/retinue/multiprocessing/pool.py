"""``multiprocessing.Pool`` on retinue's engine."""

from __future__ import annotations

import multiprocessing.pool as _standard
import threading
import warnings
import weakref
from multiprocessing import TimeoutError  # noqa: F401 (found here in the standard module)

import retinue
from retinue import _engine, _limits
from retinue._internal import arguments
from retinue._internal.faces import stands_in_for
from retinue._internal.options import MapOptions, PoolOptions
from retinue._internal.processes import WorkerProcess, context_of, processes_of, unfinished
from retinue._internal.remote import is_of_task
from retinue._pool import ProcessesOnce, kept_descriptors as _kept_descriptors
from retinue.multiprocessing._results import (
    ApplyResult as ApplyResult,
    AsyncResult as AsyncResult,
    IMapIterator as IMapIterator,
    IMapUnorderedIterator as IMapUnorderedIterator,
    MapResult as MapResult,
)

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Mapping, Optional

    from retinue._limits import WorkerLimits
    from retinue.multiprocessing._results import Callback

ThreadPool = _standard.ThreadPool

_RUN = "RUN"
_CLOSE = "CLOSE"
_TERMINATE = "TERMINATE"


@stands_in_for(
    _standard.Pool,
    *("_change_notifier", "_inqueue", "_outqueue", "_quick_get", "_quick_put", "_result_handler", "_task_handler"),
    *("_taskqueue", "_worker_handler"),
)
class Pool(ProcessesOnce, _standard.Pool):  # type: ignore[misc]
    """A pool of worker processes. The signature of ``multiprocessing.Pool``, on retinue.

    Parameters
    ----------
    processes: worker processes; by default one for each CPU that this process may use.
    initializer, initargs: called as ``initializer(*initargs)`` in each worker before its first task.
    maxtasksperchild: a worker is replaced after so many tasks.
    context: the start method: a context of ``multiprocessing``, or its name (``"spawn"``).
    limits: a ``retinue.WorkerLimits``: CPU time, memory and descriptors of workers, and whether they may use the network.
    close_descriptors: workers close what they inherit of this process's descriptors, but for the standard streams and
        ``keep_descriptors`` (numbers, or objects with a ``fileno()``): then no pool keeps a port taken, or the reader of a
        pipe waiting for its end, once this process has closed it. Objects in workers whose descriptors are closed raise
        ``OSError`` (EBADF).

    Workers are not daemons: tasks may make pools and processes of their own. A worker that dies fails the task it
    ran, with ``retinue.WorkerDied``, and is replaced. ``chunksize`` is accepted everywhere and not needed.
    """

    _follows_modules = False  # see Scope
    _initializer: Any = None  # the workers have them, and nobody keeps them here
    _initargs: tuple[Any, ...] = ()

    def __init__(
        self,
        processes: Optional[int] = None,
        initializer: Optional[Callable[..., object]] = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: Optional[int] = None,
        context: Any = None,
        *,
        limits: Optional[WorkerLimits] = None,
        close_descriptors: bool = False,
        keep_descriptors: Iterable[Any] = (),
    ) -> None:
        self._state = _TERMINATE
        if processes is None:
            processes = _engine.cpu_count()
        processes = arguments.whole("processes", processes)
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        context = arguments.context("context", context)
        initargs = arguments.arguments("initargs", initargs)
        options = PoolOptions(
            workers=processes,
            initializer=None if initializer is None else (initializer, initargs),
            max_tasks_per_worker=maxtasksperchild or 0,
            limits=_limits.as_tuple(limits),
            kept_descriptors=_kept_descriptors(close_descriptors, keep_descriptors),
        )
        self._processes = processes
        self._maxtasksperchild = maxtasksperchild
        self._given_context = context
        self._callback_threads: "weakref.WeakSet[threading.Thread]" = weakref.WeakSet()
        self._readers_changed = threading.Condition()
        self._readers = 0  # threads that read the inputs of an imap
        self._refused = False  # nothing more is taken, and the last reader to end may shut the pool down
        super().__init__()
        self._state = _RUN
        try:
            self._start_processes(options, context)
        except BaseException as error:
            ended = self._state != _RUN  # by a signal handler: then this is a pool that has ended
            self._state = _TERMINATE
            if not (ended and isinstance(error, retinue.PoolClosed)):
                raise

    def _start(self) -> None:
        """Called by the engine when it is handed work before the start is over, or after the end."""
        if self._state == _RUN:
            self._start_processes()  # which says why not
        raise ValueError("Pool not running")

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        """``func(*args, **kwds)`` in a worker; waits for the result."""
        return self._submit(func, args, kwds).result()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> AsyncResult:
        """Starts ``func(*args, **kwds)`` in a worker. A callback is called with the result, or the other one with the
        exception, in a thread of the pool's."""
        _check_callbacks(callback, error_callback)
        return AsyncResult(self, self._submit(func, args, kwds), callback, error_callback)

    def _submit(self, func: Callable[..., Any], args: Iterable[Any], kwds: Mapping[str, Any]) -> Any:
        if type(args) is not tuple:
            args = arguments.arguments("args", args)
        try:
            return self.submit(func, *args, **kwds)
        except TypeError:
            if hasattr(kwds, "keys"):
                raise
            raise TypeError(f"kwds must be a dict of named arguments, not {arguments.shown(kwds)}") from None

    def map(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: Optional[int] = None) -> list[Any]:
        """``[func(x) for x in iterable]``. All items are run; then the first exception among them is raised."""
        _check_chunksize(chunksize)
        return _all_of(self._map(func, (iterable,), MapOptions()))

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: Optional[int] = None
    ) -> list[Any]:
        """``[func(*x) for x in iterable]``."""
        _check_chunksize(chunksize)
        return _all_of(self._map(func, (iterable,), MapOptions(star=True)))

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: Optional[int] = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> MapResult:
        """Starts a ``map``. A callback is called with the list of results, or the other one with the first exception."""
        _check_chunksize(chunksize)
        _check_callbacks(callback, error_callback)
        results = self._map(func, (iterable,), MapOptions(reading=_engine.READ_LATER))
        return MapResult(self, results, callback, error_callback, iterable)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: Optional[int] = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> MapResult:
        """Starts a ``starmap``."""
        _check_chunksize(chunksize)
        _check_callbacks(callback, error_callback)
        results = self._map(func, (iterable,), MapOptions(star=True, reading=_engine.READ_LATER))
        return MapResult(self, results, callback, error_callback, iterable)

    def imap(  # type: ignore[override]
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> Iterator[Any]:
        """Results in order, as they are asked for. Inputs are read in a thread, but for those that cannot change (tuples,
        ranges, ``itertools.count``) and lists, and only as far ahead as workers need, a thousand at the most."""
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(  # type: ignore[override]
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> Iterator[Any]:
        """Results as soon as they are there; inputs as for ``imap``."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def _imap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, ordered: bool
    ) -> Iterator[Any]:
        if arguments.whole("chunksize", chunksize) < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        iterator = IMapIterator if ordered else IMapUnorderedIterator
        options = MapOptions(ordered=ordered, reading=_engine.READ_IN_THREAD, iterator=iterator)
        results = self._map(func, (iterable,), options)
        read = results._reader()
        if read is not None and not self._start_reader(read):
            results._read_lazily()
        return results

    def _start_reader(self, read: Callable[[], None]) -> bool:
        with self._readers_changed:
            self._readers += 1
        try:  # a daemon: the end of the interpreter does not wait for inputs
            threading.Thread(target=_read, args=(weakref.ref(self), read), name="retinue-inputs", daemon=True).start()
        except RuntimeError:  # no more threads can be had, or the interpreter is ending
            self._reader_ended()
            return False
        return True

    def _reader_ended(self) -> None:
        with self._readers_changed:
            self._readers -= 1
            self._readers_changed.notify_all()
            last = self._refused and self._readers == 0
        if last and self._state == _CLOSE:
            self._shut_down_later(False)

    def _call_in_thread(self, call: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=call, args=args, name="retinue-callback", daemon=True)
        self._callback_threads.add(thread)
        thread.start()

    def close(self) -> None:
        """Takes no more tasks; those submitted, with all inputs of an ``imap``, are finished, and then the workers
        end."""
        if self._state == _RUN:
            self._state = _CLOSE
            try:
                self._read_maps()
            finally:
                self._refuse()
                with self._readers_changed:
                    self._refused = True
                    idle = self._readers == 0
                if idle:
                    self._shut_down_later(False)

    def terminate(self) -> None:
        """Ends the pool at once; what was not finished is lost. Workers that run a task are killed, the others leave in
        order, for which they have 100 ms."""
        if self._state != _TERMINATE:
            self._state = _TERMINATE
            self._terminate()
            with self._readers_changed:
                self._readers_changed.notify_all()

    def join(self) -> None:
        """Waits until the workers have ended. To be called after ``close`` or ``terminate``."""
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        if self._state == _CLOSE:
            try:
                self._read_without_bound()
                with self._readers_changed:
                    self._readers_changed.wait_for(lambda: self._readers == 0 or self._state == _TERMINATE)
                self._wait_until_idle(None)
            except KeyboardInterrupt:
                self.terminate()
                raise
        self._shut_down(False)
        for thread in list(self._callback_threads):  # whoever has joined the pool finds all callbacks done
            if thread is not threading.current_thread():
                thread.join()

    @property
    def _pool(self) -> list[WorkerProcess]:
        """The workers now alive: there is code that looks for them here in the standard class."""
        return list(processes_of(self.worker_pids()).values())

    @property
    def _ctx(self) -> Any:
        return context_of(self._given_context)

    @property
    def _cache(self) -> range:
        """As long as there are tasks that have not ended, which is what code reads off the standard class's."""
        return unfinished(self)

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    def _end(self, at_once: bool) -> None:
        """Called when the interpreter ends."""
        self.terminate()

    def __enter__(self) -> "Pool":
        if self._state != _RUN:
            raise ValueError("Pool not running")
        return self

    def __exit__(self, *_: Any) -> None:
        self.terminate()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_state", _TERMINATE) == _RUN:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
            self._shut_down_later(True)

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={self._processes}>"


def _check_chunksize(chunksize: Optional[int]) -> None:
    """It is not needed, so any number will do, as for the standard."""
    if chunksize is not None:
        arguments.whole("chunksize", chunksize, "a whole number or None")


def _check_callbacks(callback: Callback, error_callback: Callback) -> None:
    """Where the standard would wait for ever: one that cannot be called ends its thread."""
    arguments.function("callback", callback)
    arguments.function("error_callback", error_callback)


def __getattr__(name: str) -> Any:
    return getattr(_standard, name)


def _read(pool: "weakref.ref[Pool]", read: Callable[[], None]) -> None:
    try:
        read()
    finally:
        living = pool()
        if living is not None:
            living._reader_ended()


def _all_of(results: Any) -> list[Any]:
    values: list[Any] = []
    first: Optional[BaseException] = None
    while True:
        try:
            results._gather(values, None)
            break
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not is_of_task(error):
                results.close()
                raise
            if first is None:
                first = error
    if first is not None:
        try:
            raise first
        finally:  # it leads to this frame, by its traceback
            first = None
            values.clear()
    return values
