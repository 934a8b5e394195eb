"""How objects are taken apart that plain pickle refuses, or would get wrong: multiprocessing's reducers, and ours.

One plain dict by type, for pickle's C code. It is made anew when one of the tables that it comes of has changed.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
from multiprocessing.reduction import ForkingPickler

from retinue._internal import descriptors

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable

    Table = dict[type, Callable[[Any], Any]]

_forking: Table = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
_forking_then: Table = {}
_copyreg_then: Table = {}
_table: Table = {}


def table() -> Table:
    if _forking != _forking_then or copyreg.dispatch_table != _copyreg_then:
        _make_table()
    return _table


def _make_table() -> None:
    global _forking_then, _copyreg_then, _table
    before = dict(_forking)
    connection = sys.modules.get("multiprocessing.connection")
    made: Table = {**_own, **copyreg.dispatch_table}  # type: ignore[dict-item]
    for cls, reduce in before.items():
        where = getattr(reduce, "__module__", ""), getattr(reduce, "__name__", "")
        if where in _better_by_pickle:
            continue
        ours = _for_standard.get(where)
        if ours is None:  # it may duplicate descriptors, by an object that _reduce_duplicate must know
            from multiprocessing import resource_sharer

            made.setdefault(resource_sharer.DupFd, _reduce_duplicate)
        made[cls] = ours or reduce
    _forking_then, _copyreg_then = before, dict(copyreg.dispatch_table)  # type: ignore[arg-type]
    _table = made
    if connection is not None:
        _connection_bases.append(connection._ConnectionBase)
        del _connection_bases[:-1]


_connection_bases: list[type] = []


def may_hold_connections() -> bool:
    return bool(_connection_bases)


def is_unknown_connection(it: Any) -> bool:
    """Of a class derived from multiprocessing's that nobody has registered: pickle would send its descriptor's number."""
    return bool(_connection_bases) and isinstance(it, _connection_bases[0]) and type(it) not in _table


def _reduce_connection(it: Any) -> Any:
    from multiprocessing import connection

    return connection.rebuild_connection, (descriptors.reduced(it.fileno()), it.readable, it.writable)  # type: ignore


def _reduce_socket(it: Any) -> Any:
    from multiprocessing import reduction

    rebuild = reduction._rebuild_socket  # type: ignore[attr-defined]
    return rebuild, (descriptors.reduced(it.fileno()), it.family, it.type, it.proto)


def _reduce_arena(it: Any) -> Any:
    from multiprocessing import heap

    if it.fd == -1:
        raise TypeError("memory that children of a fork inherit cannot travel otherwise")
    return heap.rebuild_arena, (it.size, descriptors.reduced(it.fd))  # type: ignore[attr-defined]


def _reduce_duplicate(it: Any) -> Any:
    """A ``DupFd`` that somebody else's reducer has made. What it holds passes to us, so that it can be fetched again, and is
    closed when the task ends without."""
    from multiprocessing import resource_sharer

    sharer: Any = resource_sharer._resource_sharer  # type: ignore[attr-defined]
    kept = sharer._cache.pop(it._id[1], None)
    if kept is None:
        raise TypeError("the descriptor was sent already")
    _, close = kept
    try:
        return Duplicate, (descriptors.reduced(close.__closure__[0].cell_contents),)
    finally:
        close()


class Duplicate:
    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def detach(self) -> int:
        fd: int = self._descriptor.detach()
        return fd


def _reduce_ctype(it: Any) -> Any:
    """The standard's refuses all values of a type once one of them lies in shared memory."""
    if not hasattr(it, "_wrapper"):
        return it.__reduce__()
    from multiprocessing import sharedctypes

    return sharedctypes.reduce_ctype(it)  # type: ignore[attr-defined]


_for_standard = {
    ("multiprocessing.sharedctypes", "reduce_ctype"): _reduce_ctype,
    ("multiprocessing.connection", "reduce_connection"): _reduce_connection,
    ("multiprocessing.reduction", "_reduce_socket"): _reduce_socket,
    ("multiprocessing.heap", "reduce_arena"): _reduce_arena,
}
# What pickle does in C, and keeps more of.
_better_by_pickle = {
    ("multiprocessing.reduction", "_reduce_method"),
    ("multiprocessing.reduction", "_reduce_method_descriptor"),
    ("multiprocessing.reduction", "_reduce_partial"),
}


def _reduce_memoryview(it: memoryview) -> Any:
    if not it.contiguous or not it.c_contiguous:
        content: Any = it.tobytes()
    else:
        content = pickle.PickleBuffer(it)
    return _make_memoryview, (content, it.format, it.shape, it.readonly)


def _make_memoryview(content: Any, letters: str, shape: tuple[int, ...], readonly: bool) -> memoryview:
    view = memoryview(content if readonly or not isinstance(content, bytes) else bytearray(content)).cast("B")
    if letters != "B" or len(shape) != 1:
        view = view.cast("B").cast(letters, shape) if 0 not in shape else view.cast(letters)  # type: ignore[call-overload]
    return view.toreadonly() if readonly else view


def _reduce_text_file(it: io.TextIOWrapper) -> Any:
    for name in ("stdin", "stdout", "stderr"):
        if it is getattr(sys, name):
            return getattr, (sys, name)
    raise TypeError(f"an open file ({getattr(it, 'name', '?')!r}) cannot travel: send its path, and open it in the task")


def _reduce_cached_property(it: Any) -> Any:
    """Without its lock, which it has in Python 3.11. In two steps, since its function may lead back to it."""
    state = {name: value for name, value in vars(it).items() if name != "lock"}
    return _new_cached_property, (type(it),), state


def _new_cached_property(cls: type) -> Any:
    return cls(_nothing)


def _nothing(it: Any) -> None:
    """Stands in for a function that is about to be set."""


_own: Table = {
    memoryview: _reduce_memoryview,
    io.TextIOWrapper: _reduce_text_file,
    functools.cached_property: _reduce_cached_property,
}
