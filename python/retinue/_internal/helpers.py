"""What the engine calls in this package, handed to it by name: here what pools need, by an import before the first of them.

The engine has the list (python/src/registration.cpp) and refuses a name too few or too many with ImportError. Two more
groups wait for modules that are slow to import: ``errors`` (raising.py, by ``import retinue``) and ``arrays`` (_arrays.py).
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing

from retinue import _engine, _futures
from retinue._internal import pickling, remote, scope, worker
from retinue._internal.options import MapOptions, PoolOptions, TaskOptions
from retinue._limits import WorkerLimits


def import_arrays() -> None:
    """For a worker that is given shared arrays and has not imported them: they register themselves."""
    from retinue import _arrays  # noqa: F401


HELPERS: dict[str, object] = {
    # Values on their way
    "dumps": pickling.dumps,
    "loads": pickling.loads,
    "function_bytes": pickling.function_bytes,
    "load_function": pickling.load_function,
    "split_partial": pickling.split_partial,
    "release_deleted": scope.release_deleted,
    "import_arrays": import_arrays,
    # Exceptions on theirs
    "describe_error": remote.describe,
    "rebuild_error": remote.rebuild,
    "note_item": remote.note_item,
    "text_of_initializer": remote.text_of_initializer,
    # Futures
    "future_class": _futures.ProcessFuture,
    "make_condition": _futures.make_condition,
    "notify_waiters": _futures.notify,
    "notify_in_thread": _futures.notify_in_thread,
    "run_callback": _futures.run_callback,
    # Workers
    "run_worker": worker.run,
    "idle_worker": worker.idle,
    "freeze_garbage": gc.freeze,
    # Classes of the standard library
    "repeat_class": itertools.repeat,
    "count_class": itertools.count,
    "timeout_class": multiprocessing.TimeoutError,
    # Options
    "PoolOptions": PoolOptions,
    "WorkerLimits": WorkerLimits,
    "TaskOptions": TaskOptions,
    "MapOptions": MapOptions,
}
_engine._register("pools", HELPERS)
