"""What travels between owner and workers, and in which form.

Plain pickle where it serves, because it is fast. cloudpickle, by value, for what only lives here: lambdas, closures,
what was defined in ``__main__`` after the workers were forked.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType


TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Union

    Pickled = Union[bytes, tuple[bytes, list[pickle.PickleBuffer], Optional[list[Any]]]]

_dumps = pickle.dumps
_loads = pickle.loads


# Shared memory named by what was pickled last: it must live until the task has run. Filled by the reductions of
# shared arrays and objects.
kept: list[Any] = []
to_owner = False  # what is being pickled is the result of a task


class Scope:
    """What the workers of a pool have of this process because they were forked from it: the names of ``__main__`` as
    they were then, and the modules. Functions and classes of these go by name, others by value."""

    def __init__(self) -> None:
        main = sys.modules.get("__main__")
        self.modules = frozenset(sys.modules)
        self.names = dict(vars(main)) if main is not None else {}

    def knows(self, it: Any) -> bool:
        """True if this function or class of ``__main__`` is what workers find under its name."""
        first, *rest = it.__qualname__.split(".")
        found = self.names.get(first)
        for name in rest:
            found = getattr(found, name, None)
        return found is it

    def is_current(self) -> bool:
        """True if workers know every function and class that is now in ``__main__`` under its name."""
        main = sys.modules.get("__main__")
        for name, it in list(vars(main).items()) if main is not None else ():
            if isinstance(it, (FunctionType, type)) and self.names.get(name) is not it:
                return False
        return True

    def has_module(self, name: str) -> bool:
        return name in self.modules or getattr(sys.modules.get(name), "__spec__", None) is not None

    def changed(self, names: dict[str, Any]) -> dict[str, Any]:
        """Of these names of ``__main__``, those that workers do not have, or have as something else."""
        missing = object()
        return {name: it for name, it in names.items() if self.names.get(name, missing) is not it}


def _is_importable(it: Any, scope: Optional[Scope]) -> bool:
    """True if the other side finds this function or class by its module and name."""
    module_name = getattr(it, "__module__", None)
    if module_name == "__main__" and scope is not None:
        return scope.knows(it)
    found: Any = sys.modules.get(module_name) if module_name is not None else None
    for name in it.__qualname__.split("."):
        found = getattr(found, name, None)
        if found is None:
            return False
    return found is it


def _make_function(module: str, code: Any, *rest: Any) -> FunctionType:
    """A function that travelled by value, in the namespace it was defined in."""
    if module != "__main__":
        importlib.import_module(module)
    return FunctionType(code, vars(sys.modules[module]), *rest)


def dump_by_value(it: Any, scope: Optional[Scope], buffer_callback: Optional[Callable[[Any], Any]]) -> bytes:
    from cloudpickle import CloudPickler

    class ByValue(CloudPickler):  # type: ignore[misc]
        """Functions go without their globals: they find those of their module in the worker, as after a fork. Of
        ``__main__``, what has changed since the fork goes with them."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (FunctionType, type)) and obj.__module__ == "__main__" and scope is not None:
                if scope.knows(obj):
                    return NotImplemented
            return super().reducer_override(obj)

        def _dynamic_function_reduce(self, func: Any) -> Any:
            reduced = super()._dynamic_function_reduce(func)
            module = func.__module__
            if scope is None or not isinstance(module, str) or not scope.has_module(module):
                return reduced
            if func.__globals__ is not getattr(sys.modules.get(module), "__dict__", None):
                return reduced
            (code, _, *rest), (state, slots) = reduced[1:3]
            names = slots["__globals__"]
            slots["__globals__"] = scope.changed(names) if module == "__main__" else {}
            return (_make_function, (module, code, *rest), (state, slots), *reduced[3:])

    file = io.BytesIO()
    ByValue(file, protocol=5, buffer_callback=buffer_callback).dump(it)
    return file.getvalue()


def type_name(cls: type) -> str:
    """As tracebacks name it: without the module for built-in types."""
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _refuse(it: Any, error: BaseException) -> Exception:
    from retinue._errors import PicklingError

    return PicklingError(f"a value of type {type_name(type(it))} cannot be pickled: {error}")


def dumps(it: Any, scope: Optional[Scope]) -> Pickled:
    """The pickle of a value; with its large buffers and the shared memory it names, if it has some."""
    global kept, to_owner
    buffers: list[pickle.PickleBuffer] = []
    named = kept = []
    to_owner = scope is None
    try:
        try:
            data = _dumps(it, 5, buffer_callback=buffers.append)
            by_value = scope is not None and b"__main__" in data and not scope.is_current()
        except Exception:
            by_value = True
        if by_value:
            buffers = []
            named.clear()
            try:
                data = dump_by_value(it, scope, buffers.append)
            except Exception as error:
                raise _refuse(it, error) from error
    finally:
        kept = []
    return (data, buffers, named or None) if buffers or named else data


def dumps_in_band(it: Any, scope: Optional[Scope]) -> bytes:
    """The same in one piece."""
    try:
        data = _dumps(it, 5)
        if scope is None or b"__main__" not in data or scope.is_current():
            return data
    except Exception:
        pass
    try:
        return dump_by_value(it, scope, None)
    except Exception as error:
        raise _refuse(it, error) from error


def _not_loaded(what: str, error: BaseException) -> Exception:
    from retinue._errors import UnpicklingError

    return UnpicklingError(f"{what}: {type_name(type(error))}: {error}")


def loads(data: Any, buffers: Any = ()) -> Any:
    try:
        return _loads(data, buffers=buffers)
    except (Exception, SystemExit) as error:
        raise _not_loaded("a value that travelled cannot be loaded", error) from error


def load_function(data: Any) -> Any:
    try:
        return _loads(data)
    except Exception as error:
        raise _not_loaded("the function of a task cannot be loaded in the worker", error) from error


# What stands for a function that is sent a second time.
_CARRIED = 0  # nothing: it may carry state that has changed, so it travels anew
_IDENTITY = 1  # the object itself: it travels as a name
_CONTENT = 2  # its pickle


def function_bytes(function: Any, scope: Optional[Scope]) -> tuple[bytes, int]:
    """How a function travels, and what stands for it from then on."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    if isinstance(function, (FunctionType, type)) or (
        type(function) is BuiltinFunctionType and isinstance(function.__self__, (ModuleType, type(None)))
    ):
        if _is_importable(function, scope):
            return _dumps(function, 5), _IDENTITY
        return dumps_in_band(function, scope), _CONTENT
    if type(function) is MethodType or type(function) is not partial:
        return dumps_in_band(function, scope), _CARRIED
    simple = all(type(it) in (int, float, str, bytes, bool, type(None)) for it in function.args)
    state = _CONTENT if simple and not function.keywords else _CARRIED
    return dumps_in_band(function, scope), state
