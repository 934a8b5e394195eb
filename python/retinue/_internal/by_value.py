"""Functions and classes that the other side does not have under their names: how they travel by value, by cloudpickle."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import typing
from functools import lru_cache, singledispatch
from types import CodeType, FunctionType
from typing import Any, Callable, Optional

from cloudpickle import CloudPickler
from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_CLASS as trackers
from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_ID as classes

from retinue._internal.pickling import is_importable, type_name
from retinue._internal.reducers import is_unknown_connection, table
from retinue._internal.scope import Scope, is_constant


class _Names:
    """The globals of functions of one module that travel by value together: in the worker, a namespace of their own, made of
    what the module is there when they are loaded. Not that itself, where functions sent earlier have their globals."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __reduce__(self) -> Any:
        return _copy_of, (self._module,)


def _copy_of(module: str) -> dict[str, Any]:
    return dict(vars(importlib.import_module(module)))


# Marks classes in a worker that came from its owner by value. They return by their number, as the very class they are
# there: their state would overwrite its.
_OF_OWNER = "__retinue_of_owner__"


def _class_of_owner(number: Any) -> Any:
    return classes[number]


def _make_function(names: Any, code: Any, *rest: Any) -> FunctionType:
    """A function that travelled by value, in a namespace or in that of the module of this name."""
    if isinstance(names, str):
        names = vars(importlib.import_module(names))
    return FunctionType(code, names, *rest)


_reduce_code_for_all: Callable[[Any], Any] = CloudPickler.dispatch_table[CodeType]


def _reduce_code(code: Any) -> Any:
    """With the name of its file, which tracebacks show and find lines by: newer versions of cloudpickle put another there."""
    make, arguments = _reduce_code_for_all(code)
    return make, tuple(code.co_filename if it == "<dynamic-code>" else it for it in arguments)


class ByValue(CloudPickler):  # type: ignore[misc]
    """Functions go without the globals of their module, which they find in the worker. Of ``__main__``, what has changed since
    the fork goes with them; of other modules, what they name, where the scope says that these may have changed."""

    def __init__(self, file: Any, scope: Optional[Scope], buffer_callback: Any) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        reducers: dict[Any, Any] = {**CloudPickler.dispatch_table, CodeType: _reduce_code, **_by_identity(), **table()}
        pickle.Pickler.dispatch_table.__set__(self, reducers)  # type: ignore[attr-defined]  # the class has one, too
        self.carries_state = False
        self._scope = scope
        self._names: dict[str, _Names] = {}

    def reducer_override(self, obj: Any) -> Any:
        scope = self._scope
        if isinstance(obj, _CachedFunction) and not is_importable(obj, scope):
            return _cache_again, (obj.__wrapped__, obj.cache_parameters())  # type: ignore[attr-defined]
        if not isinstance(obj, (FunctionType, type)):
            if is_unknown_connection(obj):
                raise TypeError(f"multiprocessing knows no way to send a {type_name(type(obj))}")
            return super().reducer_override(obj)
        if scope is not None and obj.__module__ == "__main__" and scope.knows(obj):
            return NotImplemented
        if scope is None and _OF_OWNER in getattr(obj, "__dict__", ()):
            return _class_of_owner, (trackers.get(obj),)
        reduced = super().reducer_override(obj)
        if not isinstance(obj, type) or type(reduced) is not tuple or len(reduced) < 3:
            return reduced
        if type(obj) is _TypedDictMeta:
            return _make_typed_dict, (obj.__name__, obj.__total__), _state_of_typed_dict(obj), None, None, _set_state
        if "_fields" in vars(obj) and issubclass(obj, tuple):  # NamedTuple makes classes of its own
            make, (meta, name, _, *others) = reduced[:2]
            reduced = (make, (meta, name, obj.__bases__, *others), *reduced[2:])
        if scope is not None:
            reduced[2][0][_OF_OWNER] = True
        return reduced

    def _dynamic_function_reduce(self, func: Any) -> Any:
        if _is_single_dispatch(func):
            self.carries_state = True
            attributes = {name: it for name, it in vars(func).items() if name not in _OF_DISPATCHER}
            state = func.registry[object], dict(func.registry), attributes
            return _new_single_dispatch, (), state, None, None, _dispatch
        reduced = super()._dynamic_function_reduce(func)
        scope, module = self._scope, func.__module__
        (code, _, *rest), (state, slots) = reduced[1:3]
        if scope is not None and isinstance(module, str) and scope.has_module(module):
            if func.__globals__ is getattr(sys.modules.get(module), "__dict__", None):
                names: Any = module
                if module == "__main__":
                    slots["__globals__"] = scope.changed(slots["__globals__"])
                    names = self._names_of(module)
                elif scope.follows_modules:
                    names = self._names_of(module)
                else:
                    slots["__globals__"] = {}
                reduced = (_make_function, (names, code, *rest), (state, slots), *reduced[3:])
        held = [cell.cell_contents for cell in func.__closure__ or () if not _is_empty(cell)]
        held += [*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values(), *slots["__globals__"].values()]
        if func.__dict__ or not all(is_constant(part) for part in held):
            self.carries_state = True
        return reduced

    def _names_of(self, module: str) -> _Names:
        return self._names.setdefault(module, _Names(module))


def dump(
    it: Any, scope: Optional[Scope], buffer_callback: Optional[Callable[[Any], Any]]
) -> tuple[bytes, bool]:
    """The pickle, and whether functions in it hold something that a call could change."""
    file = io.BytesIO()
    pickler = ByValue(file, scope, buffer_callback)
    pickler.dump(it)
    return file.getvalue(), pickler.carries_state


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents
    except ValueError:
        return True
    return False


_CachedFunction = type(lru_cache(len))


def _cache_again(function: Any, parameters: dict[str, Any]) -> Any:
    return lru_cache(**parameters)(function)


def _is_single_dispatch(function: Any) -> bool:
    return function.__code__ is _dispatcher_code


_dispatcher_code = singledispatch(lambda it: None).__code__  # type: ignore[attr-defined]


def _new_single_dispatch() -> Any:
    return singledispatch(_nothing)


def _nothing(*_: Any) -> None:
    """Stands in for the functions that are about to be registered, which may lead back to this one."""


def _dispatch(function: Any, state: Any) -> None:
    base, registry, attributes = state
    for cls, implementation in registry.items():
        function.register(cls, implementation)
    vars(function).update(attributes)
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        setattr(function, name, getattr(base, name))
    function.__wrapped__ = base


_OF_DISPATCHER = ("register", "dispatch", "registry", "_clear_cache", "__wrapped__")

_TypedDictMeta = type(typing.TypedDict("_Any", {}))  # type: ignore[misc, operator]
_NOT_OF_TYPED_DICT = ("__dict__", "__weakref__", "__new__", "__abstractmethods__", "_abc_impl")


def _make_typed_dict(name: str, total: bool) -> Any:
    return typing.TypedDict(name, {}, total=total)  # type: ignore[operator]


def _state_of_typed_dict(cls: Any) -> dict[str, Any]:
    return {name: it for name, it in vars(cls).items() if name not in _NOT_OF_TYPED_DICT}


def _set_state(cls: Any, state: dict[str, Any]) -> None:
    for name, it in state.items():
        setattr(cls, name, it)


def _by_identity() -> dict[type, Callable[[Any], Any]]:
    """Objects that dataclasses tells by their identity: a class by value must have the very same."""
    dataclasses: Any = sys.modules.get("dataclasses")
    if dataclasses is None:
        return {}
    known = [name for name in ("_FIELD", "MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY") if hasattr(dataclasses, name)]
    return {type(getattr(dataclasses, name)): _of_dataclasses for name in known}


def _of_dataclasses(it: Any) -> Any:
    dataclasses = sys.modules["dataclasses"]
    return next((getattr, (dataclasses, name)) for name, value in vars(dataclasses).items() if value is it)
