"""Which part of a value it is that cannot be pickled: ``self.lock`` of a bound method, ``['files'][3]`` of a dict.

Only for the message, so it gives up where a value is large or slow: each part that is tried is pickled once more.
"""

from __future__ import annotations

import time
from functools import partial
from types import FunctionType, MethodType

from retinue._internal import pickling

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    Part = tuple[str, Any]

_DEPTH = 8
_TRIES = 200
_SECONDS = 0.5


def described(it: Any, dump: Callable[[Any], Any]) -> str:
    """In parentheses, for the message; empty if nothing smaller than `it` is found. `dump` raises for what cannot be
    pickled."""
    bound = type(it) is MethodType
    start = it.__self__ if bound else it
    path, found = _Search(dump).innermost(_root(it), start)
    if found is start and not bound:
        return ""
    what = f"of type {pickling.type_name(type(found))}"
    if bound and found is not start:
        what += f", where self is the {pickling.type_name(type(start))} of the method {it.__name__}"
    return f" (it is {path}, {what})"


class _Search:
    def __init__(self, dump: Callable[[Any], Any]) -> None:
        self._dump = dump
        self._tries = _TRIES
        self._end = time.monotonic() + _SECONDS

    def _fails(self, it: Any) -> bool:
        self._tries -= 1
        if self._tries < 0 or time.monotonic() > self._end:
            raise _GivenUp
        try:
            self._dump(it)
        except Exception:
            return True
        return False

    def innermost(self, path: str, it: Any) -> Part:
        """Follows the first part that fails, and the first of its parts, as far as there is one."""
        seen = {id(it)}
        try:
            for _ in range(_DEPTH):
                for name, part in _parts(it):
                    if id(part) not in seen and self._fails(part):
                        path, it = path + name, part
                        seen.add(id(it))
                        break
                else:
                    break
        except _GivenUp:
            pass
        return path, it


class _GivenUp(Exception):
    """The search takes too long."""


def _root(it: Any) -> str:
    if type(it) is MethodType:
        return "self"
    if isinstance(it, FunctionType):
        return it.__qualname__
    return f"({pickling.type_name(type(it))})"


def _parts(it: Any) -> Iterator[Part]:
    """What is pickled with `it`, each with how it is reached from there."""
    if type(it) is MethodType:
        yield from ((f".__self__{name}", part) for name, part in _parts(it.__self__))
    elif type(it) in (list, tuple):
        yield from ((f"[{i}]", part) for i, part in enumerate(it))
    elif type(it) in (set, frozenset):
        yield from (("{...}", part) for part in it)
    elif type(it) is dict:
        for key, part in it.items():
            yield f"[{_short(key)}]", part
            yield f"'s key {_short(key)}", key
    elif type(it) is partial:
        yield ".func", it.func
        yield from ((f".args[{i}]", part) for i, part in enumerate(it.args))
        yield from ((f".keywords[{name!r}]", part) for name, part in it.keywords.items())
    elif isinstance(it, FunctionType):
        yield from _used_by(it)
    elif not isinstance(it, type):
        yield from _state_of(it)


def _used_by(function: FunctionType) -> Iterator[Part]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield f"'s variable {name}", cell.cell_contents
        except ValueError:  # not set yet
            pass
    for i, part in enumerate(function.__defaults__ or ()):
        yield f".__defaults__[{i}]", part
    for name, part in (function.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{name!r}]", part
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f"'s variable {name}", function.__globals__[name]


def _state_of(it: Any) -> Iterator[Part]:
    """The attributes that would travel: what the class's own way of pickling gives."""
    try:
        reduced = it.__reduce_ex__(5)
    except Exception:  # it has no parts: it is what refuses
        return
    if not isinstance(reduced, tuple):
        return
    _, arguments, *rest = reduced
    state = rest[0] if rest else None
    plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for attributes in (plain, slots):
        if isinstance(attributes, dict):
            yield from ((f".{name}", part) for name, part in attributes.items())
    if not isinstance(plain, dict) and state is not None and slots is None:
        yield ".__getstate__()", state
    for i, part in enumerate(arguments):
        if not isinstance(part, type):
            yield f".__reduce__()[1][{i}]", part
    for i, part in enumerate(list(rest[1]) if len(rest) > 1 and rest[1] is not None else ()):
        yield f"[{i}]", part
    for key, part in rest[2] if len(rest) > 2 and rest[2] is not None else ():
        yield f"[{_short(key)}]", part


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."
