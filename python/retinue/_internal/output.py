"""What workers print arrives in whole lines: a line is handed on at once, not piece by piece between those of others."""

from __future__ import annotations

import io
import os
import sys
import threading

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any


def keep_lines_whole() -> None:
    """In a worker, before its first task. ``print`` writes a text, and then its end, to a stream that in a notebook sends
    each on by itself, and in a file cuts where its buffer is full."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            try:
                stream.reconfigure(line_buffering=True, write_through=False)
            except Exception:  # closed
                pass
        elif stream is not None and not isinstance(stream, WholeLines):
            setattr(sys, name, WholeLines(stream))


class WholeLines:
    """A text stream of another kind, which gets each line in one piece. What is begun waits for its end, or for ``flush``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun: list[str] = []
        self._lock = threading.RLock()
        os.register_at_fork(after_in_child=self._lock._at_fork_reinit)  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            whole, newline, rest = text.rpartition("\n")
            if newline:
                self._begun.append(whole + newline)
                self._hand_on()
            if rest:
                self._begun.append(rest)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._lock:
            self._hand_on()
            self._stream.flush()

    def _hand_on(self) -> None:
        text, self._begun = "".join(self._begun), []
        if text:
            self._stream.write(text)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
