"""The part of a future that is written in Python: what concurrent.futures keeps in each."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from threading import Condition, Thread

from retinue import _engine

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable

make_condition = Condition


class ProcessFuture(_engine.Future, Future):  # type: ignore[misc, type-arg]
    """A ``concurrent.futures.Future`` of a task in a worker process.

    All of ``wait``, ``as_completed``, ``asyncio.wrap_future`` and callbacks work on it. Beyond the standard,
    ``cancel(force=True)`` also stops a task that is running.
    """

    def __repr__(self) -> str:
        state = self._state.partition("_")[0].lower()
        if state == "finished" and self.done():
            error = self._exception
            how = f"raised {type(error).__name__}" if error is not None else f"returned {type(self.result()).__name__}"
            return f"<{type(self).__name__} at {id(self):#x} state={state} {how}>"
        return f"<{type(self).__name__} at {id(self):#x} state={state}>"


_PATIENCE = 0.2


def notify(future: Any, cancelled: bool, failed: bool, again: bool, patience: float = _PATIENCE) -> bool:
    """Notifies those who wait in functions of concurrent.futures; ``again``: after a try that Ctrl-C has cut short.
    False if the condition was held for so long: perhaps beneath a signal handler that waits for the pool's end, and so
    for this."""
    if not future._condition.acquire(timeout=patience):
        return False
    try:
        future._note_notified()
        for waiter in future._waiters:
            if again and future in waiter.finished_futures:
                waiter.event.set()
            elif cancelled:
                waiter.add_cancelled(future)
            elif failed:
                waiter.add_exception(future)
            else:
                waiter.add_result(future)
        future._condition.notify_all()
    finally:
        future._condition.release()
    return True


def notify_in_thread(future: Any, cancelled: bool, failed: bool) -> None:
    """The rest of a future's end, when ``notify`` has lost its patience."""

    def run() -> None:
        notify(future, cancelled, failed, True, -1)
        for callback in future._done_callbacks:
            run_callback(callback, future)

    Thread(target=run, name="retinue-callback", daemon=True).start()


def run_callback(callback: Callable[[Any], Any], future: Any) -> None:
    try:
        callback(future)
    except Exception:
        logging.getLogger("concurrent.futures").exception("exception calling callback for %r", future)
