"""What travels between owner and workers, and in which form.

Plain pickle where it serves, because it is fast. cloudpickle, by value, for what only lives here: lambdas, closures,
what was defined in ``__main__`` after the workers were forked.
"""

from __future__ import annotations

import pickle
import sys
import threading
import traceback
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType

from retinue._internal.descriptors import Parcel, close_all
from retinue._internal.imports import importing
from retinue._internal.reducers import may_hold_connections, table
from retinue._internal.scope import Scope, is_constant, named

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Union

    Kept = Optional[list[Any]]
    Pickled = Union[bytes, list[bytes], tuple[Union[bytes, list[bytes]], list[pickle.PickleBuffer], Kept]]

_loads = pickle.loads


class _Travelling(threading.local):
    """What reductions need to know of the pickling that they are part of, and the picklers of this thread."""

    kept: Kept = None  # shared memory that is only named, and must live until the task has run; None: not for a task
    lent: Kept = None  # the same for descriptors, which must live until it has ended
    fds: Optional[list[int]] = None  # of a result: those that it holds
    to_owner = False  # it is the result of a task
    inherits = True  # the workers see what this process sees, also shared memory of its owner
    again = False  # it may be loaded more than once
    plain: Optional[_Plain] = None
    plain_in_band: Optional[_Plain] = None


travelling = _Travelling()


class ForTask:
    """While it lives, what is pickled in this thread is for a task or from one; ``again``: may be loaded more than once."""

    def __init__(self, scope: Optional[Scope], again: bool = False) -> None:
        here = travelling
        self.kept: list[Any] = []
        self._before = here.kept, here.lent, here.fds, here.to_owner, here.inherits, here.again
        here.kept, here.to_owner, here.again = self.kept, scope is None, again
        here.lent, here.fds = (None, []) if scope is None else ([], None)
        here.inherits = scope is None or scope.inherits

    def __enter__(self) -> list[Any]:
        return self.kept

    def __exit__(self, *_: Any) -> None:
        here = travelling
        if here.fds:
            close_all(here.fds)
        here.kept, here.lent, here.fds, here.to_owner, here.inherits, here.again = self._before


class KeptToTheEnd(list):  # type: ignore[type-arg]
    """What must live until a task has ended, and go then, even if nobody asks for the result."""


def _all_kept() -> Kept:
    """What the pickling at hand has named."""
    here = travelling
    if here.lent:
        return KeptToTheEnd([*(here.kept or ()), *here.lent])
    return here.kept or None


def _start_anew() -> None:
    """Forgets what an attempt has named that came to nothing."""
    here = travelling
    for names in (here.kept, here.lent):
        if names:
            names.clear()
    if here.fds:
        close_all(here.fds)
        here.fds.clear()


class _Plain:
    """A pickler that is used again, for objects that plain pickle can do."""

    def __init__(self, beside: bool) -> None:
        self.parts: list[bytes] = []
        self.buffers: list[pickle.PickleBuffer] = []
        self.write = self.parts.append
        self.pickler = pickle.Pickler(self, 5, buffer_callback=self.buffers.append if beside else None)


class _Doubtful(pickle.PicklingError):
    """It must be pickled with a look at each object."""


_LARGE = 64 * 1024  # a pickle of which it is not worth while to keep the pickler: what it remembers has grown


def _dumps(it: Any, buffers: Optional[list[pickle.PickleBuffer]] = None) -> bytes:
    """As ``pickle.dumps``, with the reducers of multiprocessing and ours. In one piece, or with buffers beside it."""
    parts = _dump_parts(it, buffers)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _dump_parts(it: Any, buffers: Optional[list[pickle.PickleBuffer]]) -> list[bytes]:
    """The same as the pieces that a pickler writes. It divides no name or other short text among them."""
    here = travelling
    if buffers is None:
        plain, here.plain_in_band = here.plain_in_band, None  # ours alone: what is pickled may pickle something itself
    else:
        plain, here.plain = here.plain, None
    if plain is None:
        plain = _Plain(buffers is not None)
    pickler = plain.pickler
    pickler.dispatch_table = table()
    pickler.dump(it)
    parts = [part if type(part) is bytes else bytes(part) for part in plain.parts]  # a long bytearray comes as it is
    if buffers is not None and plain.buffers:
        buffers.extend(plain.buffers)
        plain.buffers.clear()
    if len(parts) == 1 and len(parts[0]) < _LARGE:
        plain.parts.clear()
        pickler.clear_memo()
        if buffers is None:
            here.plain_in_band = plain
        else:
            here.plain = plain
    if any(b"_handle" in part for part in parts) and may_hold_connections():
        raise _Doubtful("a connection of an unknown class may be in it")  # by value, each object is looked at
    return parts


def is_importable(it: Any, scope: Optional[Scope]) -> bool:
    """True if the other side finds this function or class by its module and name."""
    module = getattr(it, "__module__", None)
    if module == "__main__" and scope is not None:
        return scope.knows(it)
    found = sys.modules.get(module) if module is not None else None
    return found is not None and named(vars(found), it.__qualname__) is it


def type_name(cls: type) -> str:
    """As tracebacks name it: without the module for built-in types."""
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _refuse(it: Any, error: BaseException, scope: Optional[Scope], explain: bool = True) -> Exception:
    with importing():
        from retinue._errors import PicklingError

    what = f"a value of type {type_name(type(it))} cannot be pickled: {error}"
    if explain:
        try:
            with importing():
                from retinue._internal import culprit
            what += culprit.described(it, lambda part: dump_by_value(part, scope, lambda _: None))
        except Exception:  # by code of the value's, or in a worker that can import nothing more
            pass
    refusal = PicklingError(what)
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not any(part in frames[-1].filename for part in ("retinue", "cloudpickle")):
        refusal.add_note("It failed here:\n" + "".join(traceback.format_list(frames[-1:])))
    chain: Optional[BaseException] = error
    while chain is not None and chain.__traceback__ is not None:  # what was to be pickled lives in the frames
        chain.__traceback__ = None
        chain = chain.__cause__ or chain.__context__
    return refusal


def dump_by_value(
    it: Any, scope: Optional[Scope], buffer_callback: Optional[Callable[[Any], Any]] = None
) -> tuple[bytes, bool]:
    """The pickle, and whether functions in it hold something that a call could change."""
    with importing():
        from retinue._internal import by_value  # here, since cloudpickle takes long to import

    return by_value.dump(it, scope, buffer_callback)


def dumps(it: Any, scope: Optional[Scope], again: bool = False) -> Pickled:
    """The pickle of a value; with its large buffers and what it names that must be kept, if it has some.

    A large one in pieces: to put them together would be to copy them once more."""
    buffers: list[pickle.PickleBuffer] = []
    with ForTask(scope, again):
        try:
            parts = _dump_parts(it, buffers)
            data: Union[bytes, list[bytes]] = parts[0] if len(parts) == 1 else parts
            by_value = scope is not None and any(b"__main__" in part for part in parts) and not scope.is_current()
        except Exception:
            by_value = True
        if by_value:
            buffers = []
            _start_anew()
            try:
                data, _ = dump_by_value(it, scope, buffers.append)
            except Exception as error:
                raise _refuse(it, error, scope) from error
        if travelling.fds:
            return _parcel(it)
        kept = _all_kept()
    return (data, buffers, kept) if buffers or kept else data


def _parcel(it: Any) -> bytes:
    """A result that holds descriptors, in one piece: they go to the owner ahead of it."""
    data, _, _ = _in_band(it, None)
    try:
        return pickle.dumps(Parcel(data, travelling.fds or []), 5)
    except Exception as error:
        raise _refuse(it, error, None) from error


def dumps_in_band(it: Any, scope: Optional[Scope], again: bool = False) -> tuple[bytes, bool, Kept]:
    """The same in one piece; and whether it holds something that could be changed in the functions that it is."""
    with ForTask(scope, again):
        return _in_band(it, scope)


def _in_band(it: Any, scope: Optional[Scope], explain: bool = True) -> tuple[bytes, bool, Kept]:
    _start_anew()
    try:
        data = _dumps(it)
        if scope is None or b"__main__" not in data or scope.is_current():
            return data, True, _all_kept()
    except Exception:
        pass
    _start_anew()
    try:
        data, carries_state = dump_by_value(it, scope)
    except Exception as error:
        raise _refuse(it, error, scope, explain) from error
    return data, carries_state, _all_kept()


def dump_error(error: BaseException) -> bytes:
    """The pickle of an exception, which holds no descriptor: nobody may ever look at it."""
    with ForTask(None):
        travelling.fds = None
        return _in_band(error, None, explain=False)[0]


def dump_shared(value: Any) -> tuple[bytes, list[pickle.PickleBuffer], list[Any]]:
    """The pickle of what many tasks will load, its buffers, and descriptors that must live as long."""
    here = travelling
    buffers: list[pickle.PickleBuffer] = []
    before, here.lent, here.again = (here.lent, here.again), [], True
    try:
        try:
            data = _dumps(value, buffers)
        except _Doubtful:
            buffers = []
            here.lent.clear()
            data, _ = dump_by_value(value, None, buffers.append)
        return data, buffers, here.lent
    finally:
        here.lent, here.again = before


def _not_loaded(what: str, error: BaseException) -> Exception:
    from retinue._errors import UnpicklingError

    return UnpicklingError(f"{what}: {type_name(type(error))}: {error}")


def is_ctrl_c(error: BaseException) -> bool:
    """Which only the main thread gets. All else that is raised while a value is loaded is the value's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def loads(data: Any, buffers: Any = ()) -> Any:
    try:
        return _loads(data, buffers=buffers)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise _not_loaded("a value that travelled cannot be loaded", error) from error


def load_function(data: Any) -> Any:
    try:
        return _loads(data)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise _not_loaded("the function of a task cannot be loaded in the worker", error) from error


_OUT_OF_BAND_BYTES = 64 * 1024  # buffers of this size go beside a pickle


def split_partial(it: Any, scope: Optional[Scope]) -> Any:
    """For a partial that binds large arrays: its function, the pickle of its arguments, their buffers, and what must be
    kept. So each task gets arrays of its own, which are stored once. None for all else, which travels as one function."""
    if type(it) is not partial or it.__dict__ or (is_constant(it.args) and not it.keywords):
        return None
    if any(type(argument).__name__ == "_PlaceholderType" for argument in it.args):  # since Python 3.14
        return None
    buffers: list[pickle.PickleBuffer] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _OUT_OF_BAND_BYTES:
            return True
        buffers.append(buffer)
        return False

    with ForTask(scope, again=True) as kept:
        try:
            pickler = _Plain(False)
            pickler.pickler = pickle.Pickler(pickler, 5, buffer_callback=in_band)
            pickler.pickler.dispatch_table = table()
            pickler.pickler.dump((it.args, it.keywords))
            data = b"".join(pickler.parts)
        except Exception:
            return None
        if travelling.lent or not buffers or len(data) > 3000 or b"__main__" in data or b"_handle" in data:
            return None
    return it.func, data, buffers, kept


# What stands for a function that is sent a second time.
_CARRIED = 0  # nothing: it may carry state that has changed, so it travels anew
_IDENTITY = 1  # the object itself: it travels as a name
_CONTENT = 2  # its pickle


def function_bytes(function: Any, scope: Optional[Scope], again: bool) -> tuple[bytes, int, Kept]:
    """How a function travels, what stands for it from then on, and what must live until it was called."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    is_function = isinstance(function, (FunctionType, type))
    if is_function or (
        type(function) is BuiltinFunctionType and isinstance(function.__self__, (ModuleType, type(None)))
    ):
        if is_importable(function, scope):
            return pickle.dumps(function, 5), _IDENTITY, None
    data, carries_state, kept = dumps_in_band(function, scope, again)
    if type(function) is partial and is_constant(function.func):
        carries_state = not is_constant(function.args) or bool(function.keywords)
    elif not is_function:
        carries_state = True
    return data, _CARRIED if carries_state or kept else _CONTENT, kept
