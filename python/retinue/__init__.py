"""Functions in worker processes, results back: a process pool for Python and C++.

    from retinue.futures import ProcessPoolExecutor         # for concurrent.futures
    from retinue.multiprocessing import Pool                # for multiprocessing

Both are what the standard library calls by these names, on an engine of shared memory: a task costs about a
microsecond, lambdas and closures travel, a worker that dies costs one task, and nothing hangs.
"""

from __future__ import annotations

import sys as _sys

try:
    from retinue import _engine
except ImportError as error:
    from retinue._missing import explain

    raise explain(error) from None
from retinue._engine import (
    cpu_count,
    keep_shared_memory,
    limit_shared_memory,
    shared_memory_usage,
    trim_shared_memory,
    use_huge_pages,
)
from retinue._internal import raising as _raising  # noqa: F401 (for the engine)
from retinue._internal.imports import importing as _importing

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from retinue._arrays import share, shared_array
    from retinue._limits import WorkerLimits
    from retinue._errors import (
        Cancelled,
        Error,
        ForkWarning,
        MemoryOverwritten,
        PicklingError,
        PoolClosed,
        RemoteError,
        ResourceExhausted,
        TaskTimeout,
        UnpicklingError,
        WorkerDied,
    )
    from typing import Any

__version__ = _engine.__version__  # the number in include/retinue/version.hpp

__all__ = [
    "Cancelled",
    "Error",
    "ForkWarning",
    "MemoryOverwritten",
    "PicklingError",
    "PoolClosed",
    "RemoteError",
    "ResourceExhausted",
    "TaskTimeout",
    "UnpicklingError",
    "WorkerDied",
    "WorkerLimits",
    "cpu_count",
    "keep_shared_memory",
    "limit_shared_memory",
    "register_joblib_backend",
    "share",
    "shared_array",
    "shared_memory_usage",
    "trim_shared_memory",
    "use_huge_pages",
]


def register_joblib_backend(make_default: bool = False) -> None:
    """Makes ``joblib.parallel_backend("retinue")`` known to joblib: its ``Parallel``, and with it scikit-learn, on
    retinue's workers. With `make_default`, also where no backend is named."""
    with _importing():
        from retinue import _joblib  # here, because joblib is slow to import

    _joblib.register(make_default)


def __getattr__(name: str) -> Any:
    """Errors, arrays: imported when they are asked for, because what they build on is slow to import."""
    with _importing():
        if name in ("share", "shared_array"):
            from retinue import _arrays

            return getattr(_arrays, name)
        if name == "WorkerLimits":
            from retinue._limits import WorkerLimits

            return WorkerLimits
        if name in __all__:
            from retinue import _errors

            return getattr(_errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if getattr(_sys, "argv", [])[1:2] == ["--multiprocessing-fork"]:  # of a frozen program
    from retinue._internal import frozen as _frozen

    _frozen.serve_if_started_for_workers()
