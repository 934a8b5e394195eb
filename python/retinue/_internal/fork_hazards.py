"""Libraries whose threads do not survive a fork, and that wait for them in the child: a warning instead of a hang.

A thread is a library's by the name that the library gave it, or by what its modules say of themselves. Only what is loaded
is looked at, and only in a process that has more than one thread. docs/forks.md says what was tried.
"""

from __future__ import annotations

import os
import sys
import warnings

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Optional

_warned: set[str] = set()  # libraries, once a process


def warn(unreleased: Iterable[str]) -> None:
    """To be called before workers are forked. `unreleased`: copies of GNU OpenMP that could not be asked to let their threads
    go (openmp.py)."""
    for library in [name for name in _running(unreleased) if name not in _warned]:
        _warned.add(library)
        _warn_of(library)


def _warn_of(library: str) -> None:
    from retinue._errors import ForkWarning

    warnings.warn(
        f"{library} has threads running in this process, which workers that are forked from it will not have: a task that "
        f'uses {library} may wait for ever. Start the workers afresh, by mp_context="spawn" (of a Pool: context="spawn"), or '
        f"make the pool and give it a first task before {library} is first used. This is said once.",
        ForkWarning,
        stacklevel=_level(),
    )


def _level() -> int:
    """That of the program's line that has started the pool."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "retinue":
        frame, level = frame.f_back, level + 1
    return level


def _running(unreleased: Iterable[str]) -> list[str]:
    found = []
    names: Optional[list[str]] = None
    for library, module, prefixes in _BY_THREADS:
        if module not in sys.modules:
            continue
        if names is None:
            names = _names_of_threads()
        if any(name.startswith(prefixes) for name in names):
            found.append(library)
    for library, has_threads in _BY_STATE:
        try:
            if has_threads():
                found.append(library)
        except Exception:  # it keeps its threads in another way than the versions that were looked at
            pass
    if _waits_in(unreleased):
        found.append("GNU OpenMP")
    return found


def _names_of_threads() -> list[str]:
    names = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                names.append(file.read().rstrip("\n"))
        except OSError:  # it has just ended
            pass
    return names


# Library, its module, what the names of its threads begin with (the kernel keeps 15 characters of them).
_BY_THREADS: list[tuple[str, str, tuple[str, ...]]] = [
    ("polars", "polars", tuple(f"polars-{digit}" for digit in range(10))),  # its import alone starts another one
    ("gRPC", "grpc", ("grpc_", "event_engine", "default-executo", "resolver-execut")),
]


def _state(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _dask_has_threads() -> bool:
    pools = [_state("dask.threaded", "default_pool")]
    for by_size in list((_state("dask.threaded", "pools") or {}).values()):
        pools += by_size.values()
    return any(thread.is_alive() for pool in pools for thread in list(getattr(pool, "_threads", None) or ()))


def _loky_has_workers() -> bool:
    for module in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        thread = getattr(_state(module, "_executor"), "_executor_manager_thread", None)
        if thread is not None and thread.is_alive():
            return True
    return False


_BY_STATE: list[tuple[str, Callable[[], bool]]] = [
    ("dask's threaded scheduler", _dask_has_threads),
    ("joblib's loky", _loky_has_workers),
]


def _waits_in(libraries: Iterable[str]) -> bool:
    """True if a thread sleeps in the code of one of these files: what GNU OpenMP's do between parallel regions, whose names are
    those of the program."""
    paths = set(libraries)
    if not paths:
        return False
    try:
        with open("/proc/self/maps") as file:
            places = [line.split(None, 5) for line in file]
        ranges = [
            tuple(int(end, 16) for end in place[0].split("-")) for place in places if place[-1].rstrip("\n") in paths
        ]
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/syscall") as file:
                at = file.read().split()[-1]
            if at.startswith("0x") and any(first <= int(at, 16) < last for first, last in ranges):
                return True
    except (OSError, ValueError):  # a system that does not say
        pass
    return False
