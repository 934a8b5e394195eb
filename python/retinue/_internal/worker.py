"""What a worker process does in Python besides its tasks."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import weakref
from multiprocessing import process, util

from retinue import _engine

from retinue._internal import output

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or None
            pass


def idle() -> None:
    """What tasks have printed is seen before the worker goes to sleep."""
    flush()


class _Worker(process.BaseProcess):
    """A worker as multiprocessing's process that it is. It begins and ends by ``_bootstrap``, as each of those does, so
    that what wraps that, such as coverage, has workers too."""

    _start_method = None  # as the owner has it
    _serve: Callable[[], None]
    _has_begun = False

    def run(self) -> None:
        self._has_begun = True
        sys.stdin = _no_input
        if _is_copy:
            _start_coverage()
        self._serve()


def run(worker: int, serve: Callable[[], None]) -> None:
    """The life of a worker: `serve` runs the initializer and the tasks. Little is made here: each page that a worker writes
    to is copied for it."""
    me = _me
    me._identity = (worker + 1,)  # people choose devices and ports by it
    me._name = f"RetinueWorker-{worker + 1}"
    me._serve = serve
    sentinel: Optional[int] = None
    try:
        sentinel = os.pidfd_open(me._parent_pid)
    except ProcessLookupError:
        sentinel = _no_input.fileno()  # ready at any time, as that of a process that has ended
    except OSError:  # too few descriptors
        pass
    signal.set_wakeup_fd(-1)  # that of the owner's asyncio loop, which would take a signal here for one of its own
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # For Python too, not only for the kernel: asyncio.run would put its default back.
        signal.signal(signal.SIGINT, _leave_to_owner)
        signal.siginterrupt(signal.SIGINT, False)
    os.dup2(_no_input.fileno(), 0)  # what comes in is the owner's to read
    sys.stdin = None  # type: ignore[assignment]  # or multiprocessing would close it, and open another
    output.keep_lines_whole()
    if _is_copy:
        _leave_handlers_to_owner()
    atexit.register(util._exit_function)  # type: ignore[attr-defined]  # up to Python 3.12 _bootstrap has called it before
    me._bootstrap(parent_sentinel=sentinel)
    if me._has_begun:
        atexit._run_exitfuncs()
    flush()


def _leave_to_owner(number: int, frame: Any) -> None:
    """Ctrl-C is the owner's to handle."""


def _leave_handlers_to_owner() -> None:
    """What the owner has registered with atexit is kept, since what only that refers to may undo things when it goes, such as a
    temporary directory; but it is not run: this handler is above all of it, and ends the process."""
    atexit.register(_end)
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _end() -> None:
    flush()
    _engine._leave_worker()


def _start_coverage() -> None:
    """Coverage that began in the owner because of COVERAGE_PROCESS_START begins anew in its copies, or what they run would
    be noted in files of the owner's. Where it has patched multiprocessing, it has seen to that."""
    coverage = sys.modules.get("coverage")
    start = getattr(coverage, "process_startup", None)
    if start is None or process.BaseProcess._bootstrap.__module__ != process.__name__:  # type: ignore[attr-defined]
        return
    if vars(start).pop("coverage", None) is not None:
        start()


_me: Any = None
_is_copy = False  # of the owner, rather than of an interpreter that was started for the workers
_no_input: Any = None


def prepare(owner: Optional[tuple[int, str]] = None) -> None:
    """Called before workers are forked: in the owner, or in a fresh interpreter with the owner's pid and name."""
    global _me, _is_copy, _no_input
    _is_copy = owner is None
    pid, name = owner or (os.getpid(), process.current_process().name)
    if _me is None or _me._parent_pid != pid:
        _me = _Worker()
        _me._parent_pid = pid
    _me._parent_name = name
    if _no_input is None:
        _no_input = open(os.devnull)
