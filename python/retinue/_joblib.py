"""The joblib backend "retinue": ``Parallel`` on a pool that stays warm between calls. For joblib 1.2 and newer."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, Callable, Optional

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, register_parallel_backend

from retinue._engine import cpu_count
from retinue._errors import PoolClosed, TaskTimeout
from retinue._internal import arguments, joblib_pools
from retinue._internal.joblib_arrays import Sharing
from retinue._internal.options import TaskOptions

try:
    from joblib._parallel_backends import FallbackToBackend, SequentialBackend
except ImportError as error:  # pragma: no cover
    raise ImportError("this version of joblib has no FallbackToBackend, which retinue's backend needs") from error

Callback = Callable[[Any], Any]


class JoblibTimeout(TaskTimeout, multiprocessing.TimeoutError):
    """A task did not end within ``Parallel(timeout=...)``. Both joblib's older and its newer TimeoutError."""


class Job:
    """What joblib holds of a batch of tasks."""

    __slots__ = ("future", "error", "done")

    def __init__(self, future: Future[Any]) -> None:
        self.future = future
        self.error: Optional[BaseException] = None
        self.done = threading.Event()

    def get(self, timeout: Optional[float] = None) -> Any:
        """Waits for joblib's callback to have run as well: joblib polls, with pauses of 10 ms, for what is not there
        when it comes to look."""
        if not self.done.wait(timeout):
            raise JoblibTimeout(f"a task of joblib's did not end within {timeout} s")
        if self.error is not None:
            raise self.error
        return self.future.result()

    def end(self, error: Optional[BaseException]) -> None:
        self.error = error
        self.done.set()


class Call:
    """The jobs of one call of a ``Parallel`` that have not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._failure: Optional[BaseException] = None

    def add(self, job: Job) -> None:
        with self._lock:
            self._jobs.add(job)
            failure = self._failure
        if failure is not None:
            self.fail(failure)

    def remove(self, job: Job) -> bool:
        """False if the job was given up with its call."""
        with self._lock:
            if job not in self._jobs:
                return False
            self._jobs.remove(job)
            return True

    def fail(self, error: BaseException) -> None:
        """Ends all jobs, running ones too, so that the first failure is raised at once and not in its turn."""
        with self._lock:
            self._failure = self._failure or error
            jobs, self._jobs = self._jobs, set()
        for job in jobs:
            job.end(self._failure)
            if not job.future.done():
                job.future.cancel(force=True)  # type: ignore[call-arg]


_here = threading.local()


def _in_turn(step: Callable[[], None]) -> None:
    """Runs `step`, but after the one that this thread is in: a task can be done before its callback is attached, and
    the callback submits the next task, whose callback ..."""
    steps: Optional[deque[Callable[[], None]]] = getattr(_here, "steps", None)
    if steps is not None:
        steps.append(step)
        return
    _here.steps = steps = deque([step])
    try:
        while steps:
            steps.popleft()()
    finally:
        _here.steps = None


_SETTINGS = {"initializer", "initargs", "idle_worker_timeout", "maxtasksperchild"}
# joblib itself looks at these, or they are about files, which there are none of here.
_OF_NO_CONCERN = {"prefer", "require", "verbose", "temp_folder"}


def _refuse_unknown(given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise TypeError(f"the joblib backend 'retinue' has no parameter {', '.join(map(repr, unknown))}")


def _run(batch: Callable[[], Any]) -> Any:
    return batch()


class RetinueBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """What ``parallel_backend("retinue")`` names.

    retries: how often a batch of tasks is run again after its worker died.
    initializer, initargs: called as ``initializer(*initargs)`` in each worker before its first task.
    idle_worker_timeout: seconds after which the workers leave when no call needs them; None: they stay.
    maxtasksperchild: a worker is replaced after so many batches.

    All but `retries` may also be given to ``Parallel`` itself, from joblib 1.5 on. What is not known raises TypeError.

    An instance serves one ``Parallel``; the one that a context holds serves none and makes one for each, so that a
    failure ends the tasks of its own call and no others.
    """

    supports_timeout = True
    supports_inner_max_num_threads = True
    supports_return_generator = True
    # joblib reads results when it is notified that they are there, rather than polling for them
    supports_retrieve_callback = False

    # Seconds; a tenth of joblib's, which are for processes that are dearer to reach
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.2

    def __init__(
        self,
        retries: int = 0,
        serves: Any = None,
        *,
        nesting_level: Optional[int] = None,
        inner_max_num_threads: Optional[int] = None,
        **settings: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        retries = arguments.whole("retries", retries)
        if retries < 0:
            raise ValueError("retries must not be negative")
        _refuse_unknown(settings, _SETTINGS)
        if "initargs" in settings:
            settings["initargs"] = arguments.arguments("initargs", settings["initargs"])
        joblib_pools.Settings(**settings)  # refuses what cannot be
        self._settings = settings
        self._retries = retries
        self._task_options = TaskOptions(retries=retries).read()
        self._serves = serves
        self._pool: Any = None
        self._call = Call()
        self._sharing = Sharing(None)
        self.parallel: Any = None

    def effective_n_jobs(self, n_jobs: Optional[int]) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        n_jobs = arguments.whole("n_jobs", n_jobs, "a whole number or None")
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        max_nbytes: Optional[int] = None,
        mmap_mode: Optional[str] = "r",
        context: Any = None,
        **options: Any,
    ) -> int:
        _refuse_unknown(options, _SETTINGS | _OF_NO_CONCERN)
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if parallel is not self._serves:
            unordered = getattr(parallel, "return_as", "list") == "generator_unordered"
            kind = UnorderedRetinueBackend if unordered else RetinueBackend
            raise FallbackToBackend(
                kind(
                    self._retries,
                    parallel,
                    nesting_level=self.nesting_level,
                    inner_max_num_threads=self.inner_max_num_threads,
                    **self._settings,
                )
            )
        self.parallel = parallel
        self._sharing = Sharing(max_nbytes, mmap_mode)
        if self._pool is None:
            given = {name: it for name, it in options.items() if name in _SETTINGS and it is not None}
            settings = joblib_pools.Settings(**{**self._settings, **given}, context=context)
            self._pool = joblib_pools.acquire_pool(n_jobs, self._prepare_worker_env(n_jobs=n_jobs), settings)
        return n_jobs

    def start_call(self) -> None:
        self._call = Call()
        # What joblib had cut into batches when an earlier call failed; it would run them as tasks of this one.
        left_over: Any = getattr(self.parallel, "_ready_batches", None)
        while left_over is not None and not left_over.empty():
            left_over.get_nowait()

    def submit(self, func: Callable[[], Any], callback: Optional[Callback] = None) -> Job:
        future: Future[Any]
        try:
            self._sharing.share_arguments(func)
            # As an argument, the batch's other arrays travel beside its pickle.
            future = self._pool._submit_with(self._task_options, _run, func)
        except Exception as error:  # joblib does not expect one here, and would wait for ever
            future = Future()
            future.set_exception(error)
        call, job = self._call, Job(future)
        call.add(job)
        future.add_done_callback(lambda _: _in_turn(partial(self._finish, call, job, callback)))
        return job

    apply_async = submit  # before joblib 1.5

    def _finish(self, call: Call, job: Job, callback: Optional[Callback]) -> None:
        if not call.remove(job):
            return
        error: Optional[BaseException]
        try:
            error = job.future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if isinstance(error, PoolClosed):
            joblib_pools.drop(self._pool)
        if error is None or self.supports_retrieve_callback:
            try:
                if callback is not None:
                    callback(job)
            except BaseException as raised:  # by the inputs, which joblib 1.2 reads in this thread
                error = raised
        job.end(error)
        if error is not None:
            call.fail(error)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        self._call.fail(CancelledError())

    def stop_call(self) -> None:
        self._call.fail(CancelledError())
        self._sharing.clear()

    def terminate(self) -> None:
        """The pool is kept for the next call."""
        self._call.fail(CancelledError())
        pool, self._pool = self._pool, None
        if pool is not None:
            joblib_pools.release_pool(pool)
        self.reset_batch_stats()


class UnorderedRetinueBackend(RetinueBackend):
    """For ``return_as="generator_unordered"``, which joblib can only do by callbacks."""

    supports_retrieve_callback = True

    def retrieve_result_callback(self, out: Job) -> Any:
        return out.future.result()


def register(make_default: bool) -> None:
    register_parallel_backend("retinue", RetinueBackend, make_default=arguments.flag("make_default", make_default))
