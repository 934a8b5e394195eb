"""What a worker process does in Python besides its tasks."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing import process, util

from retinue._internal import output

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or None
            pass


def _leave_to_owner(number: int, frame: Any) -> None:
    """Ctrl-C is the owner's to handle."""


def begin(worker: int) -> None:
    """Makes this process what multiprocessing calls a child of the owner. Little is made here: each page that a worker
    writes to is copied for it."""
    me = _me
    me._identity = (worker + 1,)  # people choose devices and ports by it
    me._name = f"RetinueWorker-{worker + 1}"
    process._current_process = me  # type: ignore[attr-defined]
    process._children = set()  # type: ignore[attr-defined]
    try:
        _parent._sentinel = os.pidfd_open(_parent._pid)
    except Exception:  # too few descriptors, or it has just gone
        pass
    process._parent_process = _parent  # type: ignore[attr-defined]
    signal.set_wakeup_fd(-1)  # that of the owner's asyncio loop, which would take a signal here for one of its own
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # For Python too, not only for the kernel: asyncio.run would put its default back.
        signal.signal(signal.SIGINT, _leave_to_owner)
        signal.siginterrupt(signal.SIGINT, False)
    os.dup2(_no_input.fileno(), 0)  # what comes in is the owner's to read
    sys.stdin = _no_input
    output.keep_lines_whole()
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


_me: Any = None
_parent: Any = None
_no_input: Any = None


def prepare(owner: Optional[int] = None) -> None:
    """Called before workers are forked: in the owner, or in a fresh interpreter with the owner's pid."""
    global _me, _parent, _no_input
    owner = owner or os.getpid()
    if _parent is None or _parent._pid != owner:
        _me = process.BaseProcess()
        _me._parent_pid = owner
        _parent = process._ParentProcess(process.current_process().name, owner, None)  # type: ignore[attr-defined]
    if _no_input is None:
        _no_input = open(os.devnull)
