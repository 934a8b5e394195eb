"""Every way a task or a pool can fail."""

from __future__ import annotations

import pickle
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any


class Error(Exception):
    """The root of every exception that retinue itself makes."""


class WorkerDied(Error, BrokenProcessPool):
    """The worker that ran this task died: of a signal, or by leaving through ``os._exit``.

    Only this task is lost; the worker has been replaced and the pool goes on. Ask for
    ``executor.options(retries=1)`` to have such a task run again.

    Attributes: ``signal`` that ended the worker, or 0; its ``exit_code`` if it left by itself, else -1; ``pid``;
    ``task_index``: the place in its map, or the number of the submit; ``stack`` of a crash, one line a frame.
    """

    def __init__(
        self, message: str, signal: int = 0, exit_code: int = -1, pid: int = 0, task_index: int = 0, stack: str = ""
    ) -> None:
        super().__init__(message)
        self.signal = signal
        self.exit_code = exit_code
        self.pid = pid
        self.task_index = task_index
        self.stack = stack

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.signal, self.exit_code, self.pid, self.task_index, self.stack)


class TaskTimeout(Error, TimeoutError):
    """A task ran longer than the ``timeout`` it was given with ``options``. Its worker was killed and replaced."""


class Cancelled(Error, CancelledError):
    """The task was cancelled by ``cancel`` or by a shutdown that cancels what has not started."""


class PoolClosed(Error, BrokenProcessPool):
    """The pool takes no more work: it was shut down, its initializer failed, its processes were killed, or it
    belongs to the parent of this process."""


class ResourceExhausted(Error, OSError):
    """The machine or a limit gave out: shared memory, file descriptors, processes."""


class MemoryOverwritten(Error):
    """The record of this task in shared memory was overwritten by a stray write of some task, such as a C extension that
    writes out of bounds. The task may have run. Ask for ``executor.options(retries=1)`` to have such a task run again."""


class PicklingError(Error, pickle.PicklingError):
    """An argument, a function or a result cannot be pickled, and so cannot travel. Names its type."""


class UnpicklingError(Error, pickle.UnpicklingError):
    """An argument, a function or a result was pickled, but that cannot be loaded on the other side."""


class ForkWarning(RuntimeWarning):
    """Workers are being forked from a process in which a library has threads that it will wait for in the workers, too.
    It names the library, and comes once for each."""


class RemoteError(Error):
    """A task raised an exception that cannot travel itself. Its text is kept.

    Attributes: ``type_name``, ``message`` and ``traceback`` of the original.
    """

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> Any:
        return type(self), (self.type_name, self.message, self.traceback)


_OF_ENGINE = (Error, TaskTimeout, Cancelled, PoolClosed, ResourceExhausted, MemoryOverwritten, PicklingError)
_BY_NAME = {c.__name__: c for c in _OF_ENGINE}


_OF_PARENTS = "a worker's parent is the pool's fork server ("


def make_error(name: str, message: str, error_number: int) -> Exception:
    """The Python side of an exception of the engine."""
    message = message.replace(_OF_PARENTS, _OF_PARENTS + "multiprocessing.parent_process() is the program; ")
    message = message.replace("give TaskOptions::retries", "ask for options(retries=1)")
    if error_number:
        return _BY_NAME[name](error_number, message)
    return _BY_NAME[name](message)


def make_worker_died(message: str, signal: int, exit_code: int, pid: int, task_index: int, stack: str) -> WorkerDied:
    message = message.replace("give TaskOptions::retries", "ask for options(retries=1)")
    return WorkerDied(message, signal, exit_code, pid, task_index, stack)
