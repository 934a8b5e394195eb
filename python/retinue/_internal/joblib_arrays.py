"""Large arrays among the arguments of joblib's tasks: written to shared memory once, however many tasks get them.

joblib's own backends do so through files. As there, a task gets such an array as `mmap_mode` says, and what is written to it
while it is alive and tasks are still being submitted may go unseen.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any, Optional


class Sharing:
    """What one ``Parallel`` has shared. An array that is dropped by all others is dropped here."""

    def __init__(self, least_bytes: Optional[int], mode: Optional[str] = "r") -> None:
        """``mode``: joblib's mmap_mode. "r": tasks see one array, read-only; "r+" and "w+": one array that they all write to;
        None and "c": each has its own."""
        if mode not in (None, "r", "r+", "w+", "c"):
            raise ValueError(f"mmap_mode must be None, 'r', 'r+', 'w+' or 'c', not {mode!r}")
        self._least_bytes = least_bytes if mode not in (None, "c") else None
        self._writable = mode != "r"
        self._shared: dict[int, tuple[Any, Any]] = {}

    def share_arguments(self, batch: Any) -> None:
        """Replaces large arrays that are arguments of the tasks in `batch`, a ``BatchedCalls``."""
        numpy = sys.modules.get("numpy")
        tasks = getattr(batch, "items", None)
        if numpy is None or self._least_bytes is None or not isinstance(tasks, list):
            return
        for i, (function, arguments, named) in enumerate(tasks):
            if any(self._is_large(numpy, it) for it in (*arguments, *named.values())):
                arguments = tuple(self._stand_in(numpy, it) for it in arguments)
                named = {name: self._stand_in(numpy, it) for name, it in named.items()}
                tasks[i] = function, arguments, named

    def _is_large(self, numpy: Any, it: Any) -> bool:
        if type(it) is not numpy.ndarray or self._least_bytes is None:
            return False
        return bool(it.nbytes >= self._least_bytes and not it.dtype.hasobject)

    def _stand_in(self, numpy: Any, it: Any) -> Any:
        if not self._is_large(numpy, it):
            return it
        found = self._shared.get(id(it))
        if found is not None and found[0]() is it:
            return found[1]
        from retinue._arrays import share, shared_array

        shared: Any
        if self._writable:
            shared = shared_array(it.shape, it.dtype)
            shared[...] = it
        else:
            shared = share(it)
        key = id(it)
        self._shared[key] = weakref.ref(it, lambda dead: self._drop(key, dead)), shared
        return shared

    def _drop(self, key: int, dead: Any) -> None:
        found = self._shared.get(key)
        if found is not None and found[0] is dead:
            del self._shared[key]

    def clear(self) -> None:
        self._shared.clear()
