"""What an option may be, said where it is given. Numbers are what the standard library takes for them: whatever has an
``__index__``, and so True, which is 1; seconds are whatever has a ``__float__``."""

from __future__ import annotations

import multiprocessing
import operator

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Optional


def shown(value: object) -> str:
    """A value in a message: short, whatever it is, and with its type where that is not seen."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    if len(text) > 60:
        return f"a {type(value).__name__}: {text[:50]}..."
    return text if value is None or isinstance(value, (str, bytes, int, float)) else f"{text} ({type(value).__name__})"


def whole(name: str, value: Any, what: str = "a whole number") -> int:
    """Raises TypeError for what is no whole number, such as 2.5 and "4"."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {what}, not {shown(value)}") from None


def flag(name: str, value: Any) -> bool:
    """For our own options: "no" is true to Python. Those of the standard take whatever is true or false, as they do there."""
    if isinstance(value, int) and value in (0, 1):  # bool among them
        return bool(value)
    if type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy":
        return bool(value)
    raise TypeError(f"{name} must be True or False, not {shown(value)}")


def seconds(name: str, value: Any, more: str = " or None") -> Optional[float]:
    """None, or a number of seconds. Raises TypeError, and ValueError for what is not a number."""
    if value is None:
        return None
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number of seconds{more}, not {shown(value)}") from None
    if number != number:
        raise ValueError(f"{name} must be a number of seconds{more}, not {shown(value)}")
    return number


def function(name: str, value: Any) -> Optional[Callable[..., Any]]:
    """None, or what can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function or None, not {shown(value)}")
    call: Optional[Callable[..., Any]] = value
    return call


def arguments(name: str, value: Iterable[Any]) -> tuple[Any, ...]:
    """The arguments of a function as a tuple."""
    try:
        return tuple(value)
    except TypeError:
        if hasattr(value, "__iter__"):  # it is what the iteration has raised
            raise
        raise TypeError(f"{name} must be a tuple of arguments, such as ({shown(value)},), not {shown(value)}") from None


def context(name: str, value: Any) -> Any:
    """None, or a context of multiprocessing, which may be given by the name of its start method."""
    if value is None or callable(getattr(value, "get_start_method", None)):
        return value
    methods = ", ".join(map(repr, multiprocessing.get_all_start_methods()))
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a start method ({methods}) or a context of multiprocessing, not {shown(value)}")
    try:
        return multiprocessing.get_context(value)
    except ValueError:
        raise ValueError(f"{name}: there is no start method {value!r}, only {methods}") from None
