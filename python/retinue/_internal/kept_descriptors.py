"""Which descriptors the workers of a pool inherit."""

from __future__ import annotations

import sys
from multiprocessing import resource_tracker

from retinue._internal import worker

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Iterable, Optional


def numbers(close: bool, keep: Iterable[Any]) -> Optional[tuple[int, ...]]:
    """The options `close_descriptors` and `keep_descriptors` of a pool as one: None, or what is kept."""
    if not isinstance(close, bool):
        raise TypeError(f"close_descriptors must be True or False, not {close!r}")
    kept = tuple(_number(it) for it in keep)
    if kept and not close:
        raise ValueError("keep_descriptors has a meaning only with close_descriptors=True: without it workers keep all")
    return kept if close else None


def _number(it: Any) -> int:
    if isinstance(it, bool) or not (isinstance(it, int) or hasattr(it, "fileno")):
        raise TypeError(f"keep_descriptors must be numbers of descriptors, or objects that have a fileno(), not {it!r}")
    fd: int = it if isinstance(it, int) else it.fileno()
    if fd < 0:
        raise ValueError(f"keep_descriptors names {fd}, which is no descriptor")
    return fd


def needed() -> tuple[int, ...]:
    """Those that this interpreter needs in its workers: of its standard streams, which need not be 0, 1 and 2, and of
    what watches over ``multiprocessing.shared_memory``."""
    found = [getattr(resource_tracker._resource_tracker, "_fd", None)]  # type: ignore[attr-defined]
    for stream in (worker._no_input, sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__):
        try:
            found.append(stream.fileno())
        except Exception:  # None, closed, or no file
            pass
    return tuple(fd for fd in found if isinstance(fd, int) and fd >= 0)
