"""The start methods spawn and forkserver in a frozen program (PyInstaller and the like).

There ``sys.executable`` is the program, which runs its main module whatever it is given. multiprocessing starts it with
arguments that ``freeze_support`` looks for, and which lead it to a file that says what is to be done instead. So do we, in
the same words; who looks first does it, ``freeze_support`` or, where that does nothing, the import of this package.
"""

from __future__ import annotations

import os
import pickle
import sys

from retinue import _engine

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, NoReturn, Optional

_FORKING = "--multiprocessing-fork"
_OF_MULTIPROCESSING = ("from multiprocessing.resource_tracker import main", "from multiprocessing.forkserver import main")
_MARK = "parent_pid="  # that multiprocessing gives on other systems only


def is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def command(data: int, tracker: Optional[int]) -> list[str]:
    """What starts the program so that it reads `data`."""
    from multiprocessing import spawn

    return spawn.get_command_line(tracker_fd=tracker, pipe_handle=data, parent_pid=os.getpid())


def content(plan: int, prepared: bytes, names: int, given: bytes) -> bytes:
    """What stands there: what multiprocessing takes for the preparation of the process, and for the process. `plan` is the file
    of the pool's plan, `prepared` a pickle of what multiprocessing wants prepared; the rest is as for ``fresh.serve``."""
    return pickle.dumps(_Preparation(plan, prepared)) + pickle.dumps(_ForkServer(names, given))


class _Preparation:
    def __init__(self, plan: int, prepared: bytes) -> None:
        self._plan, self._prepared = plan, prepared

    def __reduce__(self) -> Any:
        return _prepare, (self._plan, self._prepared)


def _prepare(plan: int, prepared: bytes) -> Any:
    """The pool's memory gets the address it must have before anything else is loaded."""
    _engine._attach(os.pread(plan, os.fstat(plan).st_size, 0).decode())
    os.close(plan)
    return pickle.loads(prepared)


class _ForkServer:
    def __init__(self, names: int, given: bytes) -> None:
        self._names, self._given = names, given

    def _bootstrap(self, parent_sentinel: int) -> NoReturn:
        from retinue._internal import fresh

        os.close(parent_sentinel)
        os.set_inheritable(self._names, False)
        fresh.serve(self._names, self._given)


def is_started_for_workers() -> bool:
    """Whether this process was started by `command`, and has not looked at it yet."""
    arguments = getattr(sys, "argv", [])
    return arguments[1:2] == [_FORKING] and any(it.startswith(_MARK) for it in arguments[2:])


def serve_if_started_for_workers() -> None:
    """Called when this package has been imported. Does not return if this process is to make workers, and nothing else that
    the program will call sees to that."""
    if not is_started_for_workers():
        return
    import multiprocessing
    from multiprocessing import context, process, spawn

    if getattr(process.current_process(), "_inheriting", False):  # it is just being done
        return
    does_nothing = getattr(multiprocessing.freeze_support, "__func__", None) is context.BaseContext.freeze_support
    if does_nothing or not _is_named_in_main("freeze_support"):
        spawn.freeze_support()


def freeze_support() -> None:
    """To be called first of all in the main part of a frozen program: the processes that it starts for workers get no further.
    Unlike multiprocessing's it does so on all systems, for its processes and for retinue's, and for what looks after locks."""
    from multiprocessing import spawn

    spawn.freeze_support()
    arguments = getattr(sys, "argv", [])
    if is_frozen() and arguments[-2:-1] == ["-c"] and arguments[-1].startswith(_OF_MULTIPROCESSING):
        exec(arguments[-1])
        sys.exit()


def _is_named_in_main(name: str) -> bool:
    """Whether the program's main module, which is being run, says `name` somewhere."""
    frame: Optional[FrameType] = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            return _is_named_in(frame.f_code, name)
        frame = frame.f_back
    return False


def _is_named_in(code: CodeType, name: str) -> bool:
    inner = (it for it in code.co_consts if isinstance(it, type(code)))
    return name in code.co_names or any(_is_named_in(it, name) for it in inner)
