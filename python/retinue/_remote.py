"""How an exception comes back from a worker. Light to import: it is there before a worker is forked."""

from __future__ import annotations

import logging
import pickle
from traceback import format_exception

from retinue import _pickling

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional

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
        message = str(error)
    except BaseException:
        message = "(its message cannot be shown)"
    data: Optional[bytes]
    try:
        data, _, _ = _pickling.dumps_in_band(error, None)
        if type(pickle.loads(data)) is not type(error):
            data = None
    except BaseException:
        data = None
    return data, _pickling.type_name(type(error)), message, text_of(error)


def rebuild(description: Description) -> BaseException:
    """The exception of a task, with the worker's traceback as its cause."""
    from concurrent.futures.process import _RemoteTraceback  # type: ignore[attr-defined]

    from retinue._errors import RemoteError

    data, name, message, traceback = description
    error: Any = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except Exception:
            pass
    if not isinstance(error, BaseException):
        error = RemoteError(name, message, traceback)
    error.__cause__ = _RemoteTraceback(traceback)  # type: ignore[arg-type]
    assert isinstance(error, BaseException)
    return error


def is_of_task(error: BaseException) -> bool:
    """True if it came back from a worker; so a KeyboardInterrupt is a task's, not one of this process."""
    from concurrent.futures.process import _RemoteTraceback  # type: ignore[attr-defined]

    return isinstance(error.__cause__, _RemoteTraceback)
