"""ProcessPoolExecutor."""

from __future__ import annotations

from concurrent.futures import Future, process as _standard

import retinue
from retinue import _engine, _limits
from retinue._internal import arguments, at_exit
from retinue._internal.faces import stands_in_for
from retinue._internal.options import MapOptions, PoolOptions, TaskOptions
from retinue._internal.processes import WorkerProcess, context_of, processes_of, unfinished
from retinue._pool import ProcessesOnce, kept_descriptors as _kept_descriptors

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Optional

_MOST_WORKERS = 1024
_AS_IT_WAS = object()  # an option that was not given


_ABSENT = (
    *("_call_queue", "_executor_manager_thread", "_executor_manager_thread_wakeup", "_idle_worker_semaphore"),
    *("_result_queue", "_shutdown_lock", "_work_ids"),
)


@stands_in_for(_standard.ProcessPoolExecutor, *_ABSENT)
class ProcessPoolExecutor(ProcessesOnce, _standard.ProcessPoolExecutor):  # type: ignore[misc]
    """Runs functions in worker processes. The signature of ``concurrent.futures.ProcessPoolExecutor``, on retinue.

    Parameters
    ----------
    max_workers: worker processes; by default one for each CPU that this process may use.
    mp_context: the start method: its name (``"spawn"``), or a context of ``multiprocessing``.
    initializer, initargs: called as ``initializer(*initargs)`` in each worker before its first task, also in
        replacements. If it raises, the pool ends with ``PoolClosed`` saying what was raised.
    max_tasks_per_child: a worker is replaced after so many tasks.
    on_worker_death: "task", the default: the death of a worker fails the task it ran, with ``WorkerDied``, and the
        worker is replaced. "break": it ends the whole pool, as in the standard library.
    limits: a ``retinue.WorkerLimits``: CPU time, memory and descriptors of workers, and whether they may use the network.
    close_descriptors: workers close what they inherit of this process's descriptors, but for the standard streams and
        ``keep_descriptors`` (numbers, or objects with a ``fileno()``): then no pool keeps a port taken, or the reader of a
        pipe waiting for its end, once this process has closed it. Objects in workers whose descriptors are closed raise
        ``OSError`` (EBADF).

    The workers are forked when the first task is submitted, so they see all that existed then. Thread-safe.
    ``shutdown`` may be called by a signal handler at any moment.

    In a child of ``os.fork`` or ``multiprocessing``, an executor that was not used before the fork works as if it were
    made there. One that was used stays with the parent: in the child it raises ``PoolClosed``. So does a task that uses
    the executor it runs in.
    """

    _follows_modules = False  # see Scope

    def __init__(
        self,
        max_workers: Optional[int] = None,
        mp_context: Any = None,
        initializer: Optional[Callable[..., object]] = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: Optional[int] = None,
        on_worker_death: str = "task",
        limits: Optional[retinue.WorkerLimits] = None,
        close_descriptors: bool = False,
        keep_descriptors: Iterable[Any] = (),
    ) -> None:
        if max_workers is None:
            max_workers = _engine.cpu_count()
        max_workers = arguments.whole("max_workers", max_workers)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if max_workers > _MOST_WORKERS:
            raise ValueError(f"max_workers must be <= {_MOST_WORKERS}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        if on_worker_death not in ("task", "break"):
            raise ValueError(f"on_worker_death must be 'task' or 'break', not {arguments.shown(on_worker_death)}")
        self._on_worker_death = on_worker_death
        self._limits = _limits.as_tuple(limits)
        self._kept_descriptors = _kept_descriptors(close_descriptors, keep_descriptors)
        self._max_workers = max_workers
        self._given_context = arguments.context("mp_context", mp_context)
        self._initializer = initializer  # type: ignore[assignment]
        self._initargs = arguments.arguments("initargs", initargs)
        self._max_tasks_per_child = max_tasks_per_child
        self._shutdown = False
        self._cancel_pending_futures = False
        super().__init__()

    def _start(self) -> None:
        """Makes the pool, or says that it is over. Called by the engine before the first task."""
        with self._lock:
            if at_exit.over:  # first, because the end of the interpreter has shut it down
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if self._shutdown:
                raise retinue.PoolClosed("cannot schedule new futures after shutdown")
            options = PoolOptions(
                workers=self._max_workers,
                initializer=None if self._initializer is None else (self._initializer, self._initargs),
                max_tasks_per_worker=self._max_tasks_per_child or 0,
                break_on_worker_death=self._on_worker_death == "break",
                limits=self._limits,
                kept_descriptors=self._kept_descriptors,
            )
            self._start_processes(options, self._given_context)
            self._initializer, self._initargs = None, ()  # the workers have them

    @property
    def _processes(self) -> dict[int, WorkerProcess]:  # type: ignore[override]
        """The workers now alive, by pid: there is code that looks for them here in the standard class."""
        return processes_of(self.worker_pids())

    @property
    def _mp_context(self) -> Any:  # type: ignore[override]
        return context_of(self._given_context)

    @property
    def _safe_to_dynamically_spawn_children(self) -> bool:
        return bool(self._mp_context.get_start_method() != "fork")

    @property
    def _pending_work_items(self) -> range:  # type: ignore[override]
        """As long as there are tasks that have not ended, which is what code reads off the standard class's."""
        return unfinished(self)

    @property
    def _queue_count(self) -> int:  # type: ignore[override]
        return self.stats()["submitted"]

    @property
    def _shutdown_thread(self) -> bool:  # type: ignore[override]
        return self._shutdown

    def map(  # type: ignore[override]
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
        progress: bool = False,
    ) -> Iterator[Any]:
        """Runs ``fn`` on each element, several iterables walked together, and gives the results in order.

        Inputs are read in this call, and workers begin with them meanwhile; what they raise, this call raises. Only what
        cannot change is read later, as results are taken: tuples, ranges, ``itertools.count`` and ``repeat``, and lists,
        as they are now. Beyond 64 MB of inputs, such as an endless generator's, the rest is read so too, with a warning.
        ``buffersize`` has all inputs read as results are taken, so many ahead at most.
        An item that fails raises where it is looked at, and the rest goes on. ``timeout``: seconds from now
        after which ``next`` raises TimeoutError. ``chunksize`` is accepted and not needed: a task costs little.
        ``progress`` shows a bar of tqdm's, or where that is missing a count on the terminal.
        """
        return _map(self, fn, iterables, timeout, chunksize, buffersize, progress)

    def options(
        self, *, timeout: Optional[float] = None, retries: int = 0, ordered: bool = True
    ) -> "ExecutorWithOptions":
        """This executor with options for what is submitted through it. They add up: ``options(retries=2).options(timeout=1)``
        has both.

        timeout: seconds a task may run, from when its function is called; then it ends with ``TaskTimeout`` and its
            worker is replaced. Importing its module and loading its arguments may take as long, but a minute at least.
        retries: how often a task is run again after its worker died.
        ordered: False lets ``map`` give each result as soon as it is there.
        """
        return ExecutorWithOptions(self, timeout, retries, ordered)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks. Finishes those submitted, or with ``cancel_futures`` cancels what has not started."""
        first, self._shutdown = not self._shutdown, True
        self._cancel_pending_futures = cancel_futures
        self._refuse()
        if wait:
            self._wait_for_start()
        if not self._started:
            return
        failure = None
        try:
            if first and not cancel_futures:
                try:
                    self._read_maps()
                except Exception as error:  # the pool ends all the same
                    failure = error
            if not wait:
                self._shut_down_later(cancel_futures)
            else:
                if not cancel_futures:
                    self._wait_until_idle(None)
                self._shut_down(cancel_futures)
        except KeyboardInterrupt:
            self._terminate()
            raise
        if failure is not None:
            raise failure

    def terminate_workers(self) -> None:
        """Ends the pool at once: running tasks end with ``WorkerDied``, others are cancelled. Workers that run none leave in
        order, for which they have 100 ms."""
        self._kill()

    def kill_workers(self) -> None:
        """The same as ``terminate_workers``."""
        self._kill()

    def _kill(self) -> None:
        self._shutdown = True
        self._refuse()
        self._wait_for_start()
        if self._started:
            self._terminate()

    def _end(self, at_once: bool) -> None:
        """Called when the interpreter ends."""
        if at_once:
            self._kill()
        else:
            self.shutdown(wait=True)

    def __reduce__(self) -> Any:
        raise TypeError(
            f"cannot pickle {type(self).__name__!r} object: a pool stays in the process that made it. A task that needs "
            "one makes its own"
        )

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        if kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._kill()
        else:
            self.shutdown(wait=True)


def _map(
    pool: ProcessPoolExecutor,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    timeout: Optional[float],
    chunksize: int,
    buffersize: Optional[int],
    progress: bool,
    task: Optional[_engine.TaskOptions] = None,
    ordered: bool = True,
) -> Iterator[Any]:
    if arguments.whole("chunksize", chunksize) < 1:
        raise ValueError("chunksize must be >= 1.")
    progress = arguments.flag("progress", progress)
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    if not iterables:
        return iter(())
    options = MapOptions(
        ordered=ordered,
        look_ahead=buffersize or 0,
        timeout=timeout,
        reading=_engine.READ_LAZILY if buffersize else _engine.READ_IN_CALL,
        task=task,
    )
    results: Iterator[Any] = pool._map(fn, iterables, options)
    if progress:
        from retinue._internal.progress import with_progress

        return with_progress(results, iterables)
    return results


@stands_in_for(_standard.ProcessPoolExecutor)
class ExecutorWithOptions(_standard.ProcessPoolExecutor):
    """What ``ProcessPoolExecutor.options`` gives: use it as the executor it came from."""

    def __init__(self, pool: ProcessPoolExecutor, timeout: Optional[float], retries: int, ordered: bool) -> None:
        timeout = arguments.seconds("timeout", timeout, " above zero, or None")
        if timeout is not None and not timeout > 0:
            raise ValueError("timeout must be a number of seconds above zero, or None")
        retries = arguments.whole("retries", retries)
        if retries < 0:
            raise ValueError("retries must not be negative")
        self._pool = pool
        self._timeout = timeout
        self._retries = retries
        self._ordered = arguments.flag("ordered", ordered)
        self._task = TaskOptions(timeout, retries).read()

    def options(self, *, timeout: Any = _AS_IT_WAS, retries: Any = _AS_IT_WAS, ordered: Any = _AS_IT_WAS) -> "ExecutorWithOptions":
        """With these options, and those it has already where they are not given."""
        return ExecutorWithOptions(
            self._pool,
            self._timeout if timeout is _AS_IT_WAS else timeout,
            self._retries if retries is _AS_IT_WAS else retries,
            self._ordered if ordered is _AS_IT_WAS else ordered,
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = self._pool._submit_with(self._task, fn, *args, **kwargs)
        return future

    def map(  # type: ignore[override]
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
        progress: bool = False,
    ) -> Iterator[Any]:
        return _map(
            self._pool,
            fn,
            iterables,
            timeout,
            chunksize,
            buffersize,
            progress,
            self._task,
            self._ordered,
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def terminate_workers(self) -> None:
        self._pool.terminate_workers()

    def kill_workers(self) -> None:
        self._pool.kill_workers()

    def __getattr__(self, name: str) -> Any:
        """What is not here is the executor's: `_max_workers`, `_processes`, `stats` ..."""
        if name == "_pool":  # while this is being made
            raise AttributeError(name)
        return getattr(self._pool, name)
