"""What travels between owner and workers, and in which form.

Plain pickle where it serves, because it is fast. cloudpickle, by value, for what only lives here: lambdas, closures,
what was defined in ``__main__`` after the workers were forked.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import threading
from functools import lru_cache, partial
from types import BuiltinFunctionType, FunctionType, ModuleType

from retinue._scope import Scope, is_constant, named

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Union

    Kept = Optional[list[Any]]
    Pickled = Union[bytes, tuple[bytes, list[pickle.PickleBuffer], Kept]]

_dumps = pickle.dumps
_loads = pickle.loads


class _Travelling(threading.local):
    """What the reductions of shared arrays and values need to know of the pickling they are part of."""

    kept: Kept = None  # shared memory that is only named, and must live until the task has run; None: not for a task
    to_owner = False  # it is the result of a task
    inherits = True  # the workers see what this process sees, also shared memory of its owner


travelling = _Travelling()


class ForTask:
    """While it lives, what is pickled in this thread is for a task or from one."""

    def __init__(self, scope: Optional[Scope]) -> None:
        self.kept: list[Any] = []
        self._before = travelling.kept, travelling.to_owner, travelling.inherits
        travelling.kept, travelling.to_owner = self.kept, scope is None
        travelling.inherits = scope is None or scope.inherits

    def __enter__(self) -> list[Any]:
        return self.kept

    def __exit__(self, *_: Any) -> None:
        travelling.kept, travelling.to_owner, travelling.inherits = self._before


def _is_importable(it: Any, scope: Optional[Scope]) -> bool:
    """True if the other side finds this function or class by its module and name."""
    module = getattr(it, "__module__", None)
    if module == "__main__" and scope is not None:
        return scope.knows(it)
    found = sys.modules.get(module) if module is not None else None
    return found is not None and named(vars(found), it.__qualname__) is it


class _Names:
    """The globals of functions that travel by value together: in the worker, a namespace of their own, made of what
    ``__main__`` is there when they are loaded. Not that itself, where functions sent earlier have their globals."""

    def __reduce__(self) -> Any:
        return _copy_of_main, ()


def _copy_of_main() -> dict[str, Any]:
    return dict(vars(sys.modules["__main__"]))


# Marks classes in a worker that came from its owner by value. They return by their number, as the very class they are
# there: their state would overwrite its.
_OF_OWNER = "__retinue_of_owner__"


def _class_of_owner(number: Any) -> Any:
    from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_ID as classes

    return classes[number]


def _make_function(names: Any, code: Any, *rest: Any) -> FunctionType:
    """A function that travelled by value, in a namespace or in that of the module of this name."""
    if isinstance(names, str):
        names = vars(importlib.import_module(names))
    return FunctionType(code, names, *rest)


def dump_by_value(
    it: Any, scope: Optional[Scope], buffer_callback: Optional[Callable[[Any], Any]] = None
) -> tuple[bytes, bool]:
    """The pickle, and whether functions in it hold something that a call could change."""
    from cloudpickle import CloudPickler
    from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_CLASS as trackers

    class ByValue(CloudPickler):  # type: ignore[misc]
        """Functions go without the globals of their module, which they find in the worker. Of ``__main__``, what has
        changed since the fork goes with them."""

        carries_state = False
        names = _Names()

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, _CachedFunction) and scope is not None and not _is_importable(obj, scope):
                return _cache_again, (obj.__wrapped__, obj.cache_parameters())  # type: ignore[attr-defined]
            if not isinstance(obj, (FunctionType, type)):
                return super().reducer_override(obj)
            if scope is not None and obj.__module__ == "__main__" and scope.knows(obj):
                return NotImplemented
            if scope is None and _OF_OWNER in getattr(obj, "__dict__", ()):
                return _class_of_owner, (trackers.get(obj),)
            reduced = super().reducer_override(obj)
            if scope is not None and isinstance(obj, type) and type(reduced) is tuple and len(reduced) > 2:
                reduced[2][0][_OF_OWNER] = True
            return reduced

        def _dynamic_function_reduce(self, func: Any) -> Any:
            reduced = super()._dynamic_function_reduce(func)
            module = func.__module__
            (code, _, *rest), (state, slots) = reduced[1:3]
            if scope is not None and isinstance(module, str) and scope.has_module(module):
                if func.__globals__ is getattr(sys.modules.get(module), "__dict__", None):
                    in_main = module == "__main__"
                    slots["__globals__"] = scope.changed(slots["__globals__"]) if in_main else {}
                    reduced = (
                        _make_function,
                        (self.names if in_main else module, code, *rest),
                        (state, slots),
                        *reduced[3:],
                    )
            held = [cell.cell_contents for cell in func.__closure__ or () if not _is_empty(cell)]
            held += [*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values(), *slots["__globals__"].values()]
            if func.__dict__ or not all(is_constant(part) for part in held):
                self.carries_state = True
            return reduced

    file = io.BytesIO()
    pickler = ByValue(file, protocol=5, buffer_callback=buffer_callback)
    pickler.dump(it)
    return file.getvalue(), pickler.carries_state


_CachedFunction = type(lru_cache(len))


def _cache_again(function: Any, parameters: dict[str, Any]) -> Any:
    return lru_cache(**parameters)(function)


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents
    except ValueError:
        return True
    return False


def type_name(cls: type) -> str:
    """As tracebacks name it: without the module for built-in types."""
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _refuse(it: Any, error: BaseException) -> Exception:
    from retinue._errors import PicklingError

    return PicklingError(f"a value of type {type_name(type(it))} cannot be pickled: {error}")


def dumps(it: Any, scope: Optional[Scope]) -> Pickled:
    """The pickle of a value; with its large buffers and the shared memory it names, if it has some."""
    buffers: list[pickle.PickleBuffer] = []
    with ForTask(scope) as kept:
        try:
            data = _dumps(it, 5, buffer_callback=buffers.append)
            by_value = scope is not None and b"__main__" in data and not scope.is_current()
        except Exception:
            by_value = True
        if by_value:
            buffers = []
            kept.clear()
            try:
                data, _ = dump_by_value(it, scope, buffers.append)
            except Exception as error:
                raise _refuse(it, error) from error
    return (data, buffers, kept or None) if buffers or kept else data


def dumps_in_band(it: Any, scope: Optional[Scope]) -> tuple[bytes, bool, Kept]:
    """The same in one piece; and whether it holds something that could be changed in the functions that it is."""
    with ForTask(scope) as kept:
        try:
            data = _dumps(it, 5)
            if scope is None or b"__main__" not in data or scope.is_current():
                return data, True, kept or None
        except Exception:
            pass
        kept.clear()
        try:
            data, carries_state = dump_by_value(it, scope)
        except Exception as error:
            raise _refuse(it, error) from error
        return data, carries_state, kept or None


def _not_loaded(what: str, error: BaseException) -> Exception:
    from retinue._errors import UnpicklingError

    return UnpicklingError(f"{what}: {type_name(type(error))}: {error}")


def _is_ctrl_c(error: BaseException) -> bool:
    """Which only the main thread is told of. All else that is raised while a value is loaded is the value's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def loads(data: Any, buffers: Any = ()) -> Any:
    try:
        return _loads(data, buffers=buffers)
    except BaseException as error:
        if _is_ctrl_c(error):
            raise
        raise _not_loaded("a value that travelled cannot be loaded", error) from error


def load_function(data: Any) -> Any:
    try:
        return _loads(data)
    except BaseException as error:
        if _is_ctrl_c(error):
            raise
        raise _not_loaded("the function of a task cannot be loaded in the worker", error) from error


_ASIDE = 64 * 1024  # buffers of this size go beside a pickle


def split_partial(it: Any, scope: Optional[Scope]) -> Any:
    """For a partial that binds large arrays: its function, the pickle of its arguments, their buffers, and what must be
    kept. So each task gets arrays of its own, which are stored once. None for all else, which travels as one function."""
    if type(it) is not partial or it.__dict__ or (is_constant(it.args) and not it.keywords):
        return None
    if any(type(argument).__name__ == "_PlaceholderType" for argument in it.args):  # since Python 3.14
        return None
    buffers: list[pickle.PickleBuffer] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _ASIDE:
            return True
        buffers.append(buffer)
        return False

    with ForTask(scope) as kept:
        try:
            data = _dumps((it.args, it.keywords), 5, buffer_callback=in_band)
        except Exception:
            return None
    if not buffers or len(data) > 3000 or b"__main__" in data:
        return None
    return it.func, data, buffers, kept


# What stands for a function that is sent a second time.
_CARRIED = 0  # nothing: it may carry state that has changed, so it travels anew
_IDENTITY = 1  # the object itself: it travels as a name
_CONTENT = 2  # its pickle


def function_bytes(function: Any, scope: Optional[Scope]) -> tuple[bytes, int, Kept]:
    """How a function travels, what stands for it from then on, and what must live until it was called."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    is_function = isinstance(function, (FunctionType, type))
    if is_function or (
        type(function) is BuiltinFunctionType and isinstance(function.__self__, (ModuleType, type(None)))
    ):
        if _is_importable(function, scope):
            return _dumps(function, 5), _IDENTITY, None
    data, carries_state, kept = dumps_in_band(function, scope)
    if type(function) is partial and is_constant(function.func):
        carries_state = not is_constant(function.args) or bool(function.keywords)
    elif not is_function:
        carries_state = True
    return data, _CARRIED if carries_state or kept else _CONTENT, kept
