"""What a worker process does in Python besides its tasks."""

from __future__ import annotations

import os
import sys
from multiprocessing import process, util

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or None
            pass


def begin(seat: int) -> None:
    """Makes this process what multiprocessing calls a child of the owner."""
    old: Any = process.current_process()
    owner = _owner
    me: Any = process.BaseProcess(name=f"RetinueWorker-{seat + 1}")
    me._parent_pid = owner
    me._identity = (seat + 1,)  # people choose devices and ports by it
    process._current_process = me  # type: ignore[attr-defined]
    process._children = set()  # type: ignore[attr-defined]
    try:
        sentinel = os.pidfd_open(owner)
        process._parent_process = process._ParentProcess(old.name, owner, sentinel)  # type: ignore[attr-defined]
    except Exception:
        pass
    util._close_stdin()  # type: ignore[attr-defined]  # the owner's to read
    util._finalizer_registry.clear()  # type: ignore[attr-defined]
    util._run_after_forkers()  # type: ignore[attr-defined]


def idle() -> None:
    """What tasks have printed is seen before the worker goes to sleep."""
    flush()


def end() -> None:
    """As a child of multiprocessing leaves: finalizers, threads, output."""
    import threading

    try:
        util._exit_function()  # type: ignore[attr-defined]
        threading._shutdown()  # type: ignore[attr-defined]
    finally:
        flush()


_owner = os.getpid()


def set_owner(pid: Optional[int] = None) -> None:
    """Called in the owner before it makes a pool, and in a fresh interpreter with the owner's pid."""
    global _owner
    _owner = pid or os.getpid()
