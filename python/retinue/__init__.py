"""Functions in worker processes, results back: a process pool for Python and C++.

    from retinue.futures import ProcessPoolExecutor         # for concurrent.futures
    from retinue.multiprocessing import Pool                # for multiprocessing

Both are what the standard library calls by these names, on an engine of shared memory: a task costs about a
microsecond, lambdas and closures travel, a worker that dies costs one task, and nothing hangs.
"""

from typing import Any

from retinue._engine import cpu_count
from retinue._errors import (
    Cancelled,
    Error,
    PicklingError,
    PoolClosed,
    RemoteError,
    ResourceExhausted,
    TaskTimeout,
    UnpicklingError,
    WorkerDied,
)

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Error",
    "PicklingError",
    "PoolClosed",
    "RemoteError",
    "ResourceExhausted",
    "TaskTimeout",
    "UnpicklingError",
    "WorkerDied",
    "cpu_count",
    "register_joblib_backend",
    "share",
    "shared_array",
]


def register_joblib_backend(make_default: bool = False) -> None:
    """Makes ``joblib.parallel_backend("retinue")`` known to joblib: its ``Parallel``, and with it scikit-learn, on
    retinue's workers. With `make_default`, also where no backend is named."""
    from retinue import _joblib  # here, because joblib is slow to import

    _joblib.register(make_default)


def __getattr__(name: str) -> Any:
    if name in ("share", "shared_array"):  # they need NumPy, which is slow to import
        from retinue import _arrays

        return getattr(_arrays, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
