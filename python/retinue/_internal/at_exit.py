"""The end of the interpreter: pools finish their work and leave no process behind."""

from __future__ import annotations

import os
import sys
import threading
import weakref

from retinue import _engine

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any

over = False
_pools: "weakref.WeakSet[Any]" = weakref.WeakSet()


def register(pool: Any) -> None:
    """`pool` is shut down when the interpreter ends: what was submitted is finished first, but for a Ctrl-C."""
    if over:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")
    _pools.add(pool)


def pools() -> list[Any]:
    """Those that live, and are this process's own."""
    return list(_pools)


def _interrupted() -> bool:
    """Whether the program ends because of a Ctrl-C; one at a prompt ended a command and not the session."""
    if hasattr(sys, "ps1"):
        return False
    last = getattr(sys, "last_type", None)
    return last is not None and issubclass(last, KeyboardInterrupt)


def _end(at_once: bool = False) -> None:
    global over
    over = True
    at_once = at_once or _interrupted()
    for pool in list(_pools):
        try:
            pool._end(at_once)
        except Exception:  # from the inputs of a map; others must end all the same
            sys.excepthook(*sys.exc_info())
    _engine._wait_for_closing()


def _forget() -> None:
    """In the child of a fork: the parent's pools are the parent's to end. Those that start here register again."""
    global over, _pools
    over = False
    pools, _pools = list(_pools), weakref.WeakSet()
    for pool in pools:
        pool._forked()


os.register_at_fork(after_in_child=_forget)
# Before the interpreter joins its threads, as concurrent.futures does it: callbacks still run.
threading._register_atexit(_engine._run_end, _end)  # type: ignore[attr-defined]
