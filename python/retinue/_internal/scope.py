"""What the workers of a pool have of this process, and so need not be sent."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from types import FunctionType, ModuleType

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional

_SIMPLE = (int, float, complex, str, bytes, bool, type(None))
_MISSING = object()


def is_constant(it: Any) -> bool:
    """True for values that nobody can change: numbers, strings, functions, classes, modules, and tuples of these."""
    if type(it) is tuple:
        return all(is_constant(part) for part in it)
    return type(it) in _SIMPLE or isinstance(it, (FunctionType, type, ModuleType))


def named(names: dict[str, Any], qualname: str) -> Any:
    """What a qualified name leads to, or None."""
    first, *rest = qualname.split(".")
    found = names.get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found


class _Held:
    """An object of ``__main__`` that cannot be referred to weakly, for all scopes together. It is released when nobody
    else has it, which is looked at when garbage is collected and when a map begins."""

    __slots__ = ("it", "__weakref__")

    def __init__(self, it: Any) -> None:
        self.it = it


_all_held: "weakref.WeakValueDictionary[int, _Held]" = weakref.WeakValueDictionary()


def _held(it: Any) -> _Held:
    found = _all_held.get(id(it))
    if found is None or found.it is not it:
        found = _all_held[id(it)] = _Held(it)
    return found


def _count(held: _Held) -> int:
    return sys.getrefcount(held.it)


_COUNT_OF_OURS = _count(_Held(object()))


def release_deleted() -> None:
    """Releases what nobody but the scopes has."""
    for held in list(_all_held.values()):
        if _count(held) <= _COUNT_OF_OURS:
            held.it = _MISSING


def _on_collection(phase: str, details: dict[str, int]) -> None:
    if phase == "stop" and details["generation"] > 0 and _all_held:
        release_deleted()


gc.callbacks.append(_on_collection)
# A worker keeps its pages shared with its owner: nothing there is looked at.
os.register_at_fork(after_in_child=lambda: gc.callbacks.remove(_on_collection) if _on_collection in gc.callbacks else None)


class Scope:
    """What workers have because they were forked from this process: the names of ``__main__`` as they were then, and the
    modules. Functions and classes of these go by name, others by value.

    It does not keep objects of ``__main__`` alive: it refers to them weakly, or where that cannot be (lists, dicts)
    releases them when nobody else has them. """

    inherits = True  # the workers see what this process sees, also shared memory of its owner
    follows_modules = False  # functions by value take the globals of imported modules with them, as they are now

    def __init__(self) -> None:
        self.modules = frozenset(sys.modules)
        self._names: dict[str, Any] = {}
        for name, it in list(_main().items()):
            self._remember(name, it)

    def forget(self) -> None:
        """At the end of the pool."""
        self._names.clear()

    def _remember(self, name: str, it: Any) -> None:
        if type(it) not in _SIMPLE or (isinstance(it, (str, bytes)) and len(it) > 1000):
            try:
                it = weakref.ref(it)
            except TypeError:
                it = _held(it)
        self._names[name] = it

    def _known(self, name: str) -> Any:
        known = self._names.get(name, _MISSING)
        if type(known) is _Held:
            return known.it
        if type(known) is not weakref.ref:
            return known
        it = known()
        return _MISSING if it is None else it

    def knows(self, it: Any) -> bool:
        """True if this function or class of ``__main__`` is what workers find under its name, and still is here."""
        first = it.__qualname__.partition(".")[0]
        main = _main()
        return self._known(first) is main.get(first, self) and named(main, it.__qualname__) is it

    def is_current(self) -> bool:
        """True if workers know every function, class and their like that is now in ``__main__`` under its name."""
        for name, it in list(_main().items()):
            if type(it) in _SIMPLE or self._known(name) is it:
                continue
            if getattr(it, "__qualname__", None) is not None and getattr(it, "__module__", None) == "__main__":
                return False
        return True

    def has_module(self, name: str) -> bool:
        return name in self.modules or getattr(sys.modules.get(name), "__spec__", None) is not None

    def changed(self, names: dict[str, Any]) -> dict[str, Any]:
        """Of these names of ``__main__``, those that workers do not have, or have as something else."""
        main = _main()
        for name in [n for n in self._names if self._known(n) is not main.get(n, self)]:
            del self._names[name]
        return {name: it for name, it in names.items() if self._known(name) is not it}


def _main() -> dict[str, Any]:
    main = sys.modules.get("__main__")
    return vars(main) if main is not None else {}


def fingerprint(it: Any) -> Optional[tuple[Any, ...]]:
    """Tells what a name of the main module is from what it is in another interpreter that has imported it; None for what
    cannot be told apart."""
    if isinstance(it, FunctionType):
        return ("function", it.__code__.co_code, it.__code__.co_firstlineno)
    if isinstance(it, type):
        return ("class", it.__module__.replace("__mp_main__", "__main__"), it.__qualname__)
    if isinstance(it, ModuleType):
        return ("module", it.__name__)
    if type(it) in _SIMPLE and (not isinstance(it, (str, bytes)) or len(it) < 1000):
        return ("value", type(it).__name__, it)
    return None


class FreshScope(Scope):
    """What workers of a fresh interpreter have: the names of the main module as that one has imported it."""

    inherits = False

    def __init__(self) -> None:
        self.modules = frozenset([*sys.builtin_module_names, "__main__"])
        self._names = {}

    def learn(self, theirs: dict[str, Optional[tuple[Any, ...]]]) -> None:
        main = _main()
        for name, its in theirs.items():
            ours = main.get(name, _MISSING)
            if its is not None and ours is not _MISSING and fingerprint(ours) == its:
                self._remember(name, ours)
