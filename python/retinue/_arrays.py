"""Arrays that owner and workers see, and values that are written once for all of them."""

from __future__ import annotations

import itertools
import math
import operator
import os
import pickle
import struct
import weakref
from typing import Any, Union

import numpy as np

from retinue import _engine
from retinue._internal import arguments
from retinue._internal.pickling import dump_shared, travelling


# The memory that this process has made, by address. What a task made goes with its worker, so it returns by value.
_made_here: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
os.register_at_fork(after_in_child=_made_here.clear)


class SharedArray(np.ndarray):  # type: ignore[type-arg]
    """A NumPy array in shared memory. It and its views travel to workers by name; copies are ordinary arrays, and so is
    what is pickled for other purposes than a task."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        memory = _memory_of(self)
        kept = travelling.kept
        if (
            memory is None
            or kept is None
            or (travelling.to_owner and memory.address in _made_here)
            or not (travelling.inherits or memory.is_own)
        ):
            return np.asarray(self).__reduce_ex__(protocol)
        kept.append(memory)
        low = self.__array_interface__["data"][0]
        return _attach, (memory.address, len(memory), low - memory.address, self.shape, self.strides, self.dtype)

    def __array_wrap__(self, array: Any, *rest: Any) -> Any:
        """Results of arithmetic are ordinary arrays."""
        made = super().__array_wrap__(array, *rest)
        if isinstance(made, SharedArray) and _memory_of(made) is None:
            made = made.view(np.ndarray)
        return made[()] if getattr(made, "ndim", 1) == 0 else made


def _memory_of(array: Any) -> Any:
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, _engine.SharedMemory) else None


def attach_named(address: int, size: int, offset: int, shape: Any, strides: Any, letters: str) -> SharedArray:
    """For the engine, which names arrays by the letters of their buffers."""
    return _attach(address, size, offset, shape, strides, np.dtype(_COMPLEX.get(letters, letters)))


_COMPLEX = {"Zf": "F", "Zd": "D", "Zg": "G"}


def _attach(address: int, size: int, offset: int, shape: Any, strides: Any, dtype: Any) -> SharedArray:
    memory: Any = _made_here.get(address) or _engine.SharedMemory(size, address)
    return SharedArray(shape, dtype, buffer=memory, offset=offset, strides=strides)


def _extents(shape: Any) -> tuple[int, ...]:
    what = "a whole number or a tuple of them, as for numpy.zeros,"
    if isinstance(shape, (str, bytes)) or not (hasattr(shape, "__index__") or hasattr(shape, "__iter__")):
        raise TypeError(f"shape must be {what} not {arguments.shown(shape)}")
    extents: tuple[int, ...]
    try:
        extents = (operator.index(shape),)
    except TypeError:  # arrays of several numbers have an __index__ that refuses
        extents = tuple(arguments.whole("each number of the shape", it) for it in shape)
    if any(extent < 0 for extent in extents):
        raise ValueError(f"shape must not be negative, and is {arguments.shown(shape)}")
    return extents


def shared_array(shape: Union[int, tuple[int, ...]], dtype: Any = float) -> SharedArray:
    """A NumPy array of zeros in memory that this process and all its workers read and write.

    Parameters
    ----------
    shape, dtype: as for ``numpy.zeros``. Objects cannot be shared.

    It travels to tasks by name: passing it costs what passing an ``int`` costs, whatever its size. What the owner wrote
    before a submit is seen by the task; what a task wrote is seen once its result was taken; who writes where at the
    same time is for the tasks to agree. The memory is freed when the array and its views are gone in the owner, and no
    task is under way that was given it. Raises ResourceExhausted when the machine does not have the memory.

        table = retinue.shared_array((1000, 1000))
        list(pool.map(fill_row, [table] * 1000, range(1000)))
    """
    shape = _extents(shape)
    wanted = np.dtype(dtype)
    if wanted.hasobject:
        raise TypeError(f"an array of dtype {wanted} holds Python objects, which cannot be shared")
    memory: Any = _engine.SharedMemory(max(math.prod(shape) * wanted.itemsize, 1))
    _made_here[memory.address] = memory
    return SharedArray(shape, wanted, buffer=memory)


# A shared value's block: its number, bytes of the pickle, how many buffers, then (offset, bytes) of each, the pickle
# and the buffers. The number is there to see that the block is still the value's.
_HEAD = struct.Struct("=QQQ")
_SPAN = struct.Struct("=QQ")
_TOKEN = struct.Struct("=QQQ")
_numbers = itertools.count(1)


class Shared:
    """What ``share`` gives: pass it to tasks, which receive the value itself. Here it is in ``value``, read-only as there;
    pickled for other purposes, it is that value too."""

    def __init__(self, value: Any) -> None:
        data, buffers, self._lent = dump_shared(value)
        raws = [b.raw() for b in buffers]
        at = _aligned(_HEAD.size + len(raws) * _SPAN.size + len(data))
        spans = []
        for raw in raws:
            spans.append((at, raw.nbytes))
            at = _aligned(at + raw.nbytes)
        self._owner = os.getpid()
        self._number = (self._owner << 32) + next(_numbers)
        self._memory: Any = _engine.SharedMemory(at, zeroed=False)
        view = memoryview(self._memory)
        _HEAD.pack_into(view, 0, self._number, len(data), len(raws))
        for i, (span, raw) in enumerate(zip(spans, raws)):
            _SPAN.pack_into(view, _HEAD.size + i * _SPAN.size, *span)
            view[span[0] : span[0] + span[1]] = raw
        begin = _HEAD.size + len(raws) * _SPAN.size
        view[begin : begin + len(data)] = data
        self._token = _TOKEN.pack(self._number, self._memory.address, at)  # how it travels by itself

    @property
    def value(self) -> Any:
        """The value, loaded from shared memory when it is first asked for. Arrays in it are not copied."""
        if not hasattr(self, "_value"):
            self._value = _read(self._memory if os.getpid() == self._owner else self._copy())
        return self._value

    def _copy(self) -> bytes:
        """In a child of the owner's, which the owner does not know of, and so may free the memory at any time."""
        copy = bytes(self._memory)
        if not (_is_current(self._number, copy) and _is_current(self._number, self._memory)):
            raise ValueError("this shared value is gone: its owner has dropped it. Pass it to tasks as an argument")
        return copy

    def __reduce__(self) -> Any:
        if travelling.kept is None or travelling.to_owner or not (travelling.inherits or self._memory.is_own):
            return _as_it_is, (self.value,)
        travelling.kept.append(self)
        return load, (self._number, self._memory.address, len(self._memory))


def _as_it_is(value: Any) -> Any:
    return value


def _aligned(n: int) -> int:
    return (n + 63) // 64 * 64


_loaded: dict[int, tuple[Any, Any]] = {}  # in a worker: values by number


def _is_current(number: int, memory: Any) -> bool:
    return bool(_HEAD.unpack_from(memory)[0] == number)


def load(number: int, address: int, size: int) -> Any:
    known = _loaded.get(number)
    if known is not None:
        return known[0]
    for old in [n for n, (_, memory) in _loaded.items() if not _is_current(n, memory)]:
        del _loaded[old]  # the owner has dropped it
    memory: Any = _engine.SharedMemory(size, address, True)
    value = _read(memory)
    _loaded[number] = (value, memory)
    return value


def _read(memory: Any) -> Any:
    view = memoryview(memory).toreadonly()
    _, length, count = _HEAD.unpack_from(view)
    spans = [_SPAN.unpack_from(view, _HEAD.size + i * _SPAN.size) for i in range(count)]
    begin = _HEAD.size + count * _SPAN.size
    return pickle.loads(view[begin : begin + length], buffers=[view[at : at + n] for at, n in spans])


HELPERS: dict[str, object] = {
    "shared_array_class": SharedArray,
    "shared_value_class": Shared,
    "attach_array": attach_named,
    "load_shared": load,
}
_engine._register("arrays", HELPERS)


def share(value: Any) -> Shared:
    """A value written to shared memory once, for any number of tasks.

    Pass what this gives to tasks: each receives the value itself, loaded once in each worker. Arrays in it are read in
    place, so they cost no copy, and are read-only there. The memory is freed when the object is dropped in the owner and
    no task is under way that was given it. The value must be picklable; later changes to it are not seen by workers. Drop
    the original, and it is in memory once.

        table = retinue.share(big)
        results = list(pool.map(look_up, [table] * 1000, range(1000)))
    """
    return Shared(value)
