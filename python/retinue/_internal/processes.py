"""The workers of a pool, for code that looks at processes or ends them as it does with those of multiprocessing."""

from __future__ import annotations

import errno
import multiprocessing
import os
import select
import signal
import time
from multiprocessing import process

from retinue._internal import at_exit
from retinue._internal.faces import stands_in_for

from retinue._internal import arguments

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Iterable, NoReturn, Optional

_UNKNOWN = 255  # as in multiprocessing's forkserver, where nobody can say how a process ended


@stands_in_for(process.BaseProcess)
class WorkerProcess(process.BaseProcess):
    """A worker as it was when somebody asked for it; it may have ended and been replaced meanwhile.

    Held by a descriptor, so that nothing here reaches another process that was given the same pid later.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._closed = False
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:  # it has gone, or the system has no such descriptors
            pass

    @property
    def pid(self) -> int:  # type: ignore[override]
        return self._pid

    ident = pid  # type: ignore[assignment]

    @property
    def name(self) -> str:
        return f"retinue-worker-{self._pid}"

    @name.setter
    def name(self, name: str) -> NoReturn:
        raise AttributeError("a worker's name cannot be changed")

    @property
    def daemon(self) -> bool:
        """False: tasks may have processes of their own."""
        return False

    @daemon.setter
    def daemon(self, daemonic: bool) -> NoReturn:
        raise AssertionError("process has already started")

    @property
    def exitcode(self) -> Optional[int]:
        """None while it lives; then 255, for what it was only the pool knows."""
        return None if self.is_alive() else _UNKNOWN

    @property
    def sentinel(self) -> int:
        """A descriptor that is ready once the worker has ended, as ``multiprocessing.connection.wait`` wants it."""
        if not self._is_held():
            raise ValueError(f"process {self._pid} has ended, or nothing holds it")
        return self._descriptor

    def start(self) -> NoReturn:
        raise AssertionError("cannot start a process twice")

    def run(self) -> NoReturn:
        raise NotImplementedError("a worker runs what its pool is given")

    def close(self) -> None:
        """Gives the descriptor up. ValueError while the worker lives."""
        if not self._closed and self.is_alive():
            raise ValueError("Cannot close a process while it is still running. Its pool ends it.")
        self._give_up()
        self._closed = True

    def _is_held(self) -> bool:
        """False also if the program has closed the descriptor, and perhaps opened another file since."""
        try:
            with open(f"/proc/self/fdinfo/{self._descriptor}") as info:
                return self._descriptor >= 0 and f"Pid:\t{self.pid}" in info.read().splitlines()
        except OSError:
            return False

    def is_alive(self) -> bool:
        return not self._wait(0)

    def join(self, timeout: Optional[float] = None) -> None:
        """Waits until the worker has ended, or for so many seconds."""
        self._wait(arguments.seconds("timeout", timeout))

    def terminate(self) -> None:
        """Ends it by SIGTERM. For a task's worker see ``Future.cancel(force=True)``."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self._send(signal.SIGKILL)

    def _wait(self, timeout: Optional[float]) -> bool:
        if self._is_held():
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            return bool(poll.poll(None if timeout is None else max(timeout, 0) * 1000))
        deadline = None if timeout is None else time.monotonic() + timeout
        while _is_alive(self.pid):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def _send(self, number: int) -> None:
        if self._is_held():
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                pass
        elif _is_alive(self.pid):
            raise OSError(errno.EBADF, f"process {self.pid} cannot be signalled: nothing holds it, so it may be another by now")

    def _give_up(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0 and self._is_held():
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        try:
            self._give_up()
        except NameError:  # the interpreter is at its end, where `open` may be gone
            pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} pid={self.pid} {'alive' if self.is_alive() else 'ended'}>"


def processes_of(pids: Iterable[int]) -> dict[int, WorkerProcess]:
    return {pid: WorkerProcess(pid) for pid in pids}


def active_children() -> list[process.BaseProcess]:
    """The living children of this process, as ``multiprocessing.active_children`` has them, and the workers of its pools,
    which the standard's pools have among these."""
    children = multiprocessing.active_children()
    for pool in at_exit.pools():
        children.extend(processes_of(pool.worker_pids()).values())
    return children


def context_of(given: Any) -> Any:
    """The context that a pool's workers are of; `given`: what its maker has named, or None."""
    return given or multiprocessing.get_context(multiprocessing.get_start_method(allow_none=True) or "fork")


def unfinished(pool: Any) -> range:
    """Of the length of what `pool` was given and has not ended."""
    stats = pool.stats()
    return range(stats["waiting"] + stats["in_slots"])


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
