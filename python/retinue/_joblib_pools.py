"""The pools behind the joblib backend: one for each size that is in use, and the last one is kept warm."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Mapping

from retinue.futures import ProcessPoolExecutor

_Key = tuple[Any, ...]


class _Lent:
    """A pool and how many calls use it now: a nested or concurrent one of the same size shares it."""

    def __init__(self, key: _Key, pool: ProcessPoolExecutor) -> None:
        self.key = key
        self.pool = pool
        self.users = 0


_lock = threading.Lock()
_pools: dict[_Key, _Lent] = {}


def _forget() -> None:
    """In the child of a fork: the parent's pools are the parent's."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_forget)


def _begin_worker(environment: Mapping[str, str]) -> None:
    """Limits the threads that numerical libraries run beneath each worker. Those not loaded yet read the
    environment; those that were there when the worker was forked have to be told."""
    os.environ.update(environment)
    if "numpy" not in sys.modules:
        return
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    threadpool_limits({"openmp": int(environment["OMP_NUM_THREADS"]), "blas": int(environment["OPENBLAS_NUM_THREADS"])})


def lend(workers: int, environment: Mapping[str, str]) -> ProcessPoolExecutor:
    """A pool of that size whose workers have that environment; to be given back."""
    key = (workers, *sorted(environment.items()))
    with _lock:
        lent = _pools.get(key)
        if lent is None or lent.pool._shutdown:
            pool = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(dict(environment),))
            lent = _pools[key] = _Lent(key, pool)
        lent.users += 1
        idle = [other for other in _pools.values() if other.users == 0]
        for other in idle:
            del _pools[other.key]
    for other in idle:
        other.pool.shutdown(wait=False)
    return lent.pool


def _find(pool: ProcessPoolExecutor) -> Any:
    return next((lent for lent in _pools.values() if lent.pool is pool), None)


def give_back(pool: ProcessPoolExecutor) -> None:
    with _lock:
        lent = _find(pool)
        if lent is not None:
            lent.users -= 1


def drop(pool: ProcessPoolExecutor) -> None:
    """Takes no more calls to a pool that is over."""
    with _lock:
        lent = _find(pool)
        if lent is not None:
            del _pools[lent.key]
