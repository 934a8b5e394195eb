"""How the processes of a pool are started."""

from __future__ import annotations

import sys
from typing import Any, Callable, Optional

from retinue import _futures, _openmp, _pickling, _worker  # noqa: F401


def start(
    pool: Any,
    workers: int,
    context: Any,
    initializer: Optional[Callable[..., object]],
    initargs: tuple[Any, ...],
    max_tasks: int,
    break_on_death: bool = False,
) -> None:
    """Forks the pool's processes. `context`: a context of multiprocessing, or None for the fork it is by default."""
    for stream in (sys.stdout, sys.stderr):  # what is not flushed now would be printed by every worker
        try:
            stream.flush()
        except Exception:
            pass
    _worker.set_owner()
    _openmp.let_threads_go()
    pool._start_engine(workers, _pickling.Scope(), initializer, initargs, max_tasks, 0, break_on_death)
