"""What retinue's classes have of the standard classes that they stand in for and derive from.

They derive from them so that ``isinstance`` holds. Nothing else of them is used: no ``__init__`` of theirs is called, so
none of their threads, queues and locks is made, and what works on those is refused.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable

_PAGE = '"The standard\'s insides" in docs/python.md says what there is'


def stands_in_for(standard: type, *absent: str) -> Callable[[type], type]:
    """For a class derived from `standard`: refuses its private methods, unless they are defined anew, with
    NotImplementedError, and says of the attributes `absent`, which its instances have, that those of `cls` do not."""

    def prepare(cls: type) -> type:
        own = cls.__mro__[: cls.__mro__.index(standard)]
        for name, it in vars(standard).items():
            is_method = callable(it) or isinstance(it, (staticmethod, classmethod))
            if name.startswith("_") and not name.startswith("__") and is_method and not any(name in vars(c) for c in own):
                setattr(cls, name, _refusal(cls, name))
        if absent:
            cls.__getattr__ = _getattr_of(cls, absent)  # type: ignore[attr-defined]
        return cls

    return prepare


def _refusal(cls: type, name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise NotImplementedError(
            f"retinue's {cls.__name__} has no {name}(): it works on what the standard class is made of; {_PAGE}"
        )

    refuse.__name__, refuse.__qualname__, refuse.__module__ = name, f"{cls.__qualname__}.{name}", cls.__module__
    return staticmethod(refuse)


def _getattr_of(cls: type, absent: tuple[str, ...]) -> Callable[[Any, str], Any]:
    """For what an instance does not have. Not as descriptors: what ``dir`` names can be had."""
    otherwise = getattr(cls, "__getattr__", None)

    def get(self: Any, name: str) -> Any:
        if name in absent:
            raise AttributeError(f"retinue's {cls.__name__} has no {name}: the standard class is made of it; {_PAGE}")
        if otherwise is not None:
            return otherwise(self, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    return get


def stand_in(name: str, standard: ModuleType) -> None:
    """The module `name`, which is being imported, is the standard module itself."""
    sys.modules[name] = standard
