"""The main program of a fresh interpreter that becomes the fork server of a pool (start methods spawn, forkserver)."""

from __future__ import annotations

import os
import pickle
import sys
from multiprocessing import process, resource_tracker, spawn

from retinue import _engine
from retinue._internal import descriptors, frozen, start, worker  # noqa: F401
from retinue._internal.scope import fingerprint

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, NoReturn, Optional


def main(data: int, names: int, tracker: Optional[int]) -> None:
    """Imports what the owner's main module defines, and serves. Never returns."""
    for fd in (data, names):
        os.set_inheritable(fd, False)
    if tracker is not None:
        resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]
    _engine._attach(sys.argv[1])  # before anything that is imported or loaded can want memory at the same addresses
    with open(data, "rb") as file:
        me: Any = process.current_process()
        me._inheriting = True
        try:
            spawn.prepare(pickle.load(file))
            given = pickle.load(file)
        finally:
            del me._inheriting
    serve(names, given)


def serve(names: int, given: bytes) -> NoReturn:
    """Says which names the main module has given, and makes workers. `given` is what ``start`` has written."""
    me: Any = process.current_process()
    me._inheriting = True
    try:
        owner, home, by_name, by_value = pickle.loads(given)
        descriptors.set_home(home)
        initializer = _load(by_name, by_value)
    finally:
        del me._inheriting
    main_module = sys.modules.get("__mp_main__", sys.modules["__main__"] if frozen.is_frozen() else None)
    found = {} if main_module is None else {
        name: fingerprint(it) for name, it in vars(main_module).items() if not name.startswith("__")
    }  # fmt: skip
    with open(names, "wb") as file:
        pickle.dump(found, file)
    worker.prepare(owner)
    worker.flush()
    _engine._serve(initializer)


def _load(by_name: Optional[bytes], by_value: Optional[bytes]) -> Any:
    if by_name is not None:
        try:
            return pickle.loads(by_name)
        except Exception:
            if by_value is None:
                raise
    assert by_value is not None
    return pickle.loads(by_value)
