"""The pools behind the joblib backend: one for each size that is in use, and the last one is kept warm."""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.context import DefaultContext
from typing import Any, Callable, Mapping, Optional

from retinue._internal import arguments
from retinue.futures import ProcessPoolExecutor

_Key = tuple[Any, ...]


class _Executor(ProcessPoolExecutor):
    """Of which the program does not know that it goes on from call to call."""

    _follows_modules = True


class Settings:
    """What else a call wants of its workers. Equal ones can use the same pool."""

    def __init__(
        self,
        initializer: Optional[Callable[..., object]] = None,
        initargs: tuple[Any, ...] = (),
        idle_worker_timeout: Optional[float] = None,
        maxtasksperchild: Optional[int] = None,
        context: Any = None,
    ) -> None:
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if maxtasksperchild is not None and arguments.whole("maxtasksperchild", maxtasksperchild) <= 0:
            raise ValueError(f"maxtasksperchild must be a whole number above zero or None, not {maxtasksperchild}")
        context = arguments.context("context", context)
        self.initializer = initializer
        self.initargs = arguments.arguments("initargs", initargs)
        self.idle_worker_timeout = arguments.seconds("idle_worker_timeout", idle_worker_timeout)
        self.maxtasksperchild = maxtasksperchild
        # joblib passes the default context when it was not asked for another: to look into that would settle it.
        self.context = None if isinstance(context, DefaultContext) else context

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return (
            (self.initializer, self.maxtasksperchild) == (other.initializer, other.maxtasksperchild)
            and self.context is other.context
            and len(self.initargs) == len(other.initargs)
            and all(_is_same(a, b) for a, b in zip(self.initargs, other.initargs))
        )

    def __hash__(self) -> int:
        return hash((self.initializer, self.maxtasksperchild, len(self.initargs)))


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, (int, float, complex, str, bytes)) and a == b)


class _SharedPool:
    """A pool and how many calls use it now: a nested or concurrent one of the same size shares it."""

    def __init__(self, key: _Key, pool: ProcessPoolExecutor) -> None:
        self.key = key
        self.pool = pool
        self.users = 0
        self.calls = 0  # so far
        self.idle_timeout: Optional[float] = None  # as the last of them wants it


_lock = threading.Lock()
_pools: dict[_Key, _SharedPool] = {}


def _forget() -> None:
    """In the child of a fork: the parent's pools are the parent's."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_forget)


def _begin_worker(
    environment: Mapping[str, str], initializer: Optional[Callable[..., object]], initargs: tuple[Any, ...]
) -> None:
    _limit_threads(environment)
    if initializer is not None:
        initializer(*initargs)


def _limit_threads(environment: Mapping[str, str]) -> None:
    """Limits the threads that numerical libraries run beneath each worker. Those not loaded yet read the
    environment; those that were there when the worker was forked have to be set."""
    os.environ.update(environment)
    if "numpy" not in sys.modules:
        return
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    threadpool_limits({"openmp": int(environment["OMP_NUM_THREADS"]), "blas": int(environment["OPENBLAS_NUM_THREADS"])})


def acquire_pool(workers: int, environment: Mapping[str, str], settings: Settings) -> ProcessPoolExecutor:
    """A pool of that size whose workers have that environment; to be released."""
    key = (workers, settings, *sorted(environment.items()))
    with _lock:
        shared = _pools.get(key)
        if shared is None or shared.pool._shutdown:
            pool = _Executor(
                workers,
                settings.context,
                _begin_worker,
                (dict(environment), settings.initializer, settings.initargs),
                max_tasks_per_child=settings.maxtasksperchild,
            )
            shared = _pools[key] = _SharedPool(key, pool)
        shared.users += 1
        shared.calls += 1
        shared.idle_timeout = settings.idle_worker_timeout
        idle = [other for other in _pools.values() if other.users == 0]
        for other in idle:
            del _pools[other.key]
    for other in idle:
        other.pool.shutdown(wait=False)
    return shared.pool


def _find(pool: ProcessPoolExecutor) -> Any:
    return next((shared for shared in _pools.values() if shared.pool is pool), None)


def release_pool(pool: ProcessPoolExecutor) -> None:
    with _lock:
        shared = _find(pool)
        if shared is None:
            return
        shared.users -= 1
        if shared.users == 0 and shared.idle_timeout is not None:
            timer = threading.Timer(max(shared.idle_timeout, 0), _end_if_idle, (shared, shared.calls))
            timer.daemon = True
            timer.start()


def _end_if_idle(shared: _SharedPool, calls: int) -> None:
    with _lock:
        if shared.users != 0 or shared.calls != calls or _pools.get(shared.key) is not shared:
            return
        del _pools[shared.key]
    shared.pool.shutdown(wait=False)


def drop(pool: ProcessPoolExecutor) -> None:
    """Takes no more calls to a pool that is over."""
    with _lock:
        shared = _find(pool)
        if shared is not None:
            del _pools[shared.key]
