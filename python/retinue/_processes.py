"""The workers of a pool, for code that looks at processes or ends them as it does with those of multiprocessing."""

from __future__ import annotations

import os
import select
import signal

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
        except ProcessLookupError:
            pass

    def is_alive(self) -> bool:
        return not self._wait(0)

    def join(self, timeout: Optional[float] = None) -> None:
        """Waits until the worker has ended, or for so many seconds."""
        self._wait(timeout)

    def terminate(self) -> None:
        """Ends it by SIGTERM. For a task's worker see ``Future.cancel(force=True)``."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self._send(signal.SIGKILL)

    def _wait(self, timeout: Optional[float]) -> bool:
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(timeout, 0) * 1000))

    def _send(self, number: int) -> None:
        if self._descriptor >= 0:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                pass

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} pid={self.pid} {'alive' if self.is_alive() else 'ended'}>"


def processes_of(pids: Iterable[int]) -> dict[int, WorkerProcess]:
    return {pid: WorkerProcess(pid) for pid in pids}
