"""How an exception comes back from a worker. Light to import: it is there before a worker is forked."""

from __future__ import annotations

import linecache
import logging
import pickle
import re
from traceback import format_exception

from retinue._internal import pickling

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    Description = tuple[Optional[bytes], str, str, str]


def text_of(error: BaseException) -> str:
    """The whole traceback."""
    return "".join(format_exception(type(error), error, error.__traceback__))


def text_of_initializer(error: BaseException) -> str:
    """The same of an exception in an initializer. The worker logs it too, as those of concurrent.futures do: the
    initializer may have sent its log to a place of its own."""
    logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=error)
    return text_of(error)


def describe(error: BaseException) -> Description:
    """An exception as it travels: its pickle if that can be loaded again, its type's name, message and traceback."""
    try:
        message: Optional[str] = str(error)
    except BaseException:
        message = None
    data = _pickle_of(error, message)
    if message is None:
        message = "(its message cannot be shown)"
    try:
        text = text_of(error)
    except BaseException as failure:  # by code of the exception's own
        text = f"{pickling.type_name(type(error))}: {message}\n(its traceback cannot be shown: {type(failure).__name__})\n"
    return data, pickling.type_name(type(error)), message, text


def _pickle_of(error: BaseException, message: Optional[str]) -> Optional[bytes]:
    """As its class would have it, if that gives the same again. Else taken apart and put together without any code of
    the class's, which may want arguments of its own or refuse to be changed. What of it cannot travel is left as a text."""
    by_class = _try_to_pickle(error, error, message)
    if by_class is not None and by_class[1]:
        return by_class[0]
    by_parts = _try_to_pickle(_Parts(error, set()), error, message)
    if by_parts is not None and (by_parts[1] or by_class is None):
        return by_parts[0]
    return by_class[0] if by_class is not None else None


def _try_to_pickle(it: Any, error: BaseException, message: Optional[str]) -> Optional[tuple[bytes, bool]]:
    """The pickle, if it gives an exception of the same type; and whether that says the same."""
    try:
        data = pickling.dump_error(it)
        made = pickle.loads(data)
        if type(made) is not type(error):
            return None
    except BaseException:
        return None
    try:
        return data, str(made) == message
    except BaseException:
        return data, message is None


class _Parts:
    """Travels as an exception's class, arguments and attributes."""

    def __init__(self, error: BaseException, above: set[int]) -> None:
        self._error = error
        self._above = above | {id(error)}

    def __reduce__(self) -> Any:
        error = self._error
        arguments, *rest = _base_of(type(error)).__reduce__(error)[1:]
        if isinstance(error, BaseExceptionGroup):
            arguments = (error.message, list(error.exceptions))
        state = {**object.__getattribute__(error, "__dict__"), **(rest[0] if rest and rest[0] else {})}
        for cls in type(error).__mro__:
            if cls.__module__ == "builtins":
                continue
            for name, slot in vars(cls).items():
                if type(slot).__name__ == "member_descriptor":
                    try:
                        state[name] = slot.__get__(error)
                    except AttributeError:
                        pass
        above = self._above
        return _put_together, (
            type(error),
            tuple(_sendable(it, above) for it in arguments),
            {name: _sendable(it, above) for name, it in state.items()},
        )


def _base_of(cls: Any) -> Any:
    """The built-in exception that it derives from."""
    return next(c for c in cls.__mro__ if c.__module__ == "builtins")


def _sendable(it: Any, above: set[int]) -> Any:
    """It, or what can be sent instead."""
    if isinstance(it, BaseException):
        return _Parts(it, above) if id(it) not in above and len(above) < 50 else _Absent(it)
    if type(it) in (list, tuple) and any(isinstance(part, BaseException) for part in it):
        return type(it)(_sendable(part, above) for part in it)
    try:
        pickle.loads(pickling.dump_error(it))
    except BaseException:
        return _Absent(it)
    return it


class _Absent:
    """In the place of what could not travel with an exception; shows as that did."""

    def __init__(self, it: Any) -> None:
        try:
            self._repr, self._str = repr(it), str(it)
        except BaseException:
            self._repr = self._str = f"<{type(it).__name__}, which cannot be shown>"

    def __repr__(self) -> str:
        return self._repr

    def __str__(self) -> str:
        return self._str


def _put_together(cls: Any, arguments: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    base = _base_of(cls)
    error: BaseException = base.__new__(cls, *arguments)
    if base.__init__ is not BaseException.__init__ and base.__init__ is not object.__init__:
        try:  # what the built-in class keeps beside the arguments
            base.__init__(error, *arguments)
        except Exception:
            pass
    attributes = object.__getattribute__(error, "__dict__")
    for name, it in state.items():
        slot = next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)
        if type(slot).__name__ == "member_descriptor":
            slot.__set__(error, it)  # type: ignore[union-attr]
        else:
            attributes[name] = it
    return error


_set_cause: "Callable[[BaseException, BaseException], None]" = BaseException.__dict__["__cause__"].__set__
_get_cause: "Callable[[BaseException], Optional[BaseException]]" = BaseException.__dict__["__cause__"].__get__


def rebuild(description: Description) -> BaseException:
    """The exception of a task, with the worker's traceback as its cause."""
    from concurrent.futures.process import _RemoteTraceback  # type: ignore[attr-defined]

    from retinue._errors import RemoteError

    data, name, message, traceback = description
    error: Any = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except BaseException as failure:
            if pickling.is_ctrl_c(failure):
                raise
    if not isinstance(error, BaseException):
        error = RemoteError(name, message, traceback)
    remote: Any = _RemoteTraceback(with_lines(traceback))  # type: ignore[arg-type]
    _set_cause(error, remote)  # the class may refuse to have its attributes set
    made: BaseException = error
    return made


_frame = re.compile(r'([ |+]*)File "(.+)", line (\d+)(?:, in .*)?$')


def with_lines(text: str) -> str:
    """A worker's traceback with the lines of sources that only this process has, such as cells of a notebook that were run
    after the workers were forked."""
    lines = text.split("\n")
    made = []
    for line, following in zip(lines, [*lines[1:], ""]):
        made.append(line)
        frame = _frame.match(line)
        if frame is None or frame[2] not in linecache.cache or following.startswith(frame[1] + "  "):
            continue
        source = linecache.getline(frame[2], int(frame[3])).strip()
        if source:
            made.append(f"{frame[1]}  {source}")
    return "\n".join(made)


class _ItemNote(str):
    """Tells ours from the program's notes. Travels as a text."""

    def __reduce__(self) -> Any:
        return str, (str(self),)


def note_item(error: BaseException, index: int) -> None:
    """Says in the exception's notes which item of a map failed."""
    try:
        attributes = object.__getattribute__(error, "__dict__")
        notes = attributes.get("__notes__")
        others = [note for note in notes if type(note) is not _ItemNote] if isinstance(notes, list) else []
        attributes["__notes__"] = [*others, _ItemNote(f"This was item {index} of the map, counted from 0.")]
    except Exception:  # a class that cannot even have notes
        pass


def is_of_task(error: BaseException) -> bool:
    """True if it came back from a worker; so a KeyboardInterrupt is a task's, not one of this process."""
    from concurrent.futures.process import _RemoteTraceback  # type: ignore[attr-defined]

    return isinstance(_get_cause(error), _RemoteTraceback)
