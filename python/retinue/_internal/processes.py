"""The workers of a pool, for code that looks at processes or ends them as it does with those of multiprocessing."""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from retinue._internal import arguments

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Iterable, Optional


class WorkerProcess:
    """A worker as it was when somebody asked for it; it may have ended and been replaced meanwhile.

    Held by a descriptor, so that nothing here reaches another process that was given the same pid later.
    """

    def __init__(self, pid: int) -> None:
        self.pid = self.ident = pid
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:  # it has gone, or the system has no such descriptors
            pass

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

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0 and self._is_held():
            os.close(self._descriptor)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} pid={self.pid} {'alive' if self.is_alive() else 'ended'}>"


def processes_of(pids: Iterable[int]) -> dict[int, WorkerProcess]:
    return {pid: WorkerProcess(pid) for pid in pids}


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
