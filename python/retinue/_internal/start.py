"""How the processes of a pool are started: forked from the owner as it is, or from a fresh interpreter."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pickle
import sys
from multiprocessing import process

from retinue import _engine
from retinue._internal import descriptors, frozen, helpers, worker  # noqa: F401 (helpers: to be there before the fork)
from retinue._internal.imports import importing
from retinue._internal.pickling import ForTask, dump_by_value
from retinue._internal.scope import FreshScope, Scope

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Optional

    from retinue._internal.options import PoolOptions


def start(pool: Any, options: PoolOptions, mp_context: Any) -> None:
    """Starts the pool's processes. `mp_context`: a context of multiprocessing, or None for what
    ``multiprocessing.set_start_method`` chose, which is a fork if nothing was."""
    if frozen.is_started_for_workers():
        raise RuntimeError(
            "this frozen program was started to make workers, and is running as a whole instead. The first call of its main "
            "part must be multiprocessing.freeze_support(), or that of retinue.multiprocessing"
        )
    if getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "a pool is being made while a worker's interpreter imports this program's main module. Its main part "
            "must be guarded, so that only the first process runs it:\n\n"
            "    if __name__ == '__main__':\n        ..."
        )
    if mp_context is not None:
        method = mp_context.get_start_method()
    else:
        method = multiprocessing.get_start_method(allow_none=True) or "fork"
    _import_what_may_be_out_of_reach(options)
    worker.flush()  # what is not flushed now would be printed by every worker
    worker.prepare()
    try:
        home: Optional[tuple[str, bytes]] = descriptors.address_for_workers()
    except OSError:  # too few descriptors; results that hold some will say so
        home = None
    if options.kept_descriptors is not None:
        with importing():
            from retinue._internal import kept_descriptors

        options = options._replace(kept_descriptors=options.kept_descriptors + kept_descriptors.needed())
    if method == "fork":
        with importing():
            from retinue._internal import fork_hazards, openmp

        unreleased = openmp.release_threads()
        if _has_threads():
            fork_hazards.warn(unreleased)
        arrays = sys.modules.get("retinue._arrays")
        if arrays is not None and options.initializer is not None:  # tasks receive the values of shared objects ...
            function, initargs = options.initializer  # ... and so do initializers
            initargs = tuple(it.value if isinstance(it, arrays.Shared) else it for it in initargs)
            options = options._replace(initializer=(function, initargs))
        scope = Scope()
        scope.follows_modules = pool._follows_modules
        pool._start_engine(options, scope, None)
    else:
        _start_fresh(pool, options, home)


def _has_threads() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) > 1
    except OSError:  # no descriptor left, or no /proc
        return False


def _import_what_may_be_out_of_reach(options: PoolOptions) -> None:
    """What is slow to import and needed only when something fails: then there may be no descriptor left to import it
    with, or the process may have become a user that cannot read this package."""
    with importing():
        from retinue import _errors  # noqa: F401

        if options.limits is not None:  # what a worker returns by value
            from retinue._internal import by_value  # noqa: F401


class _Spawning:
    """What multiprocessing's locks, queues and connections ask for when they are pickled for a new process."""

    method = "spawn"
    DupFd = staticmethod(lambda fd: _Inherited(fd))

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        self.descriptors.append(fd)
        return fd


class _Inherited:
    """A descriptor that keeps its number in the new process."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        return self.fd


def _start_fresh(pool: Any, options: PoolOptions, home: Optional[tuple[str, bytes]]) -> None:
    with importing():
        from multiprocessing import context, reduction, resource_tracker, spawn, util

    try:
        _engine.shared_memory_usage()  # a limit that forbids shared memory says so here, and not below
    except OSError as error:
        if error.errno != errno.EBADF:  # closed descriptors: what can be done then is said where they are needed
            raise
    spawning = _Spawning()
    context.set_spawning_popen(spawning)
    try:
        preparation = spawn.get_preparation_data("retinue-server")
        prepared = io.BytesIO()
        reduction.dump(preparation, prepared)
        by_name, by_value, pool._kept_for_workers = _both_ways(options.initializer)
    finally:
        context.set_spawning_popen(None)
    given = pickle.dumps(((os.getpid(), process.current_process().name), home, by_name, by_value))
    tracker = getattr(resource_tracker._resource_tracker, "_fd", None)  # type: ignore[attr-defined]
    files = _Files()
    try:
        data = files.open("retinue-start")
        names = files.open("retinue-names")  # not a pipe, which long lists would fill before anybody reads
        if frozen.is_frozen():
            plan = files.open("retinue-plan")
            program = frozen.command(data, tracker)
            content = frozen.content(plan, prepared.getvalue(), names, given)
        else:
            plan = -1
            code = (
                f"import sys; sys.path[:] = {sys.path!r}\n"
                f"from retinue._internal.fresh import main; main({data}, {names}, {tracker})"
            )
            program = [os.fsdecode(spawn.get_executable()), *util._args_from_interpreter_flags(), "-c", code]  # type: ignore
            content = prepared.getvalue() + pickle.dumps(given)
        with open(data, "wb", closefd=False) as out:
            out.write(content)
        os.lseek(data, 0, os.SEEK_SET)
        scope = FreshScope()
        scope.follows_modules = pool._follows_modules
        inherited = [*files.opened, *spawning.descriptors, *([] if tracker is None else [tracker])]
        try:
            pool._start_engine(options, scope, (program, inherited, plan))
        except OSError as error:
            if error.errno:  # out of memory, descriptors, processes
                raise
            raise RuntimeError(
                "the interpreter for the workers could not be started, or this program's main module could not be "
                "imported there (its error output says more)"
            ) from error
        os.lseek(names, 0, os.SEEK_SET)
        with open(names, "rb", closefd=False) as answer:  # written before the workers were started
            scope.learn(pickle.load(answer))
    finally:
        files.close()


class _Files:
    """Files without a name, of which a new process inherits the descriptors."""

    def __init__(self) -> None:
        self.opened: list[int] = []

    def open(self, name: str) -> int:
        self.opened.append(_unnamed_file(name))
        return self.opened[-1]

    def close(self) -> None:
        for fd in self.opened:
            os.close(fd)


def _unnamed_file(name: str) -> int:
    try:
        return os.memfd_create(name)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            raise
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _both_ways(it: Any) -> tuple[Optional[bytes], Optional[bytes], list[Any]]:
    """A value for a new process: with the names of the main module, and for names it turns out not to have, by value.
    And the shared memory that it names."""
    from multiprocessing import reduction

    by_name: Optional[bytes] = None
    by_value: Optional[bytes] = None
    failure: Optional[BaseException] = None
    with ForTask(FreshScope()) as kept:
        try:
            by_name = bytes(reduction.ForkingPickler.dumps(it, 5))
        except Exception as error:
            failure = error
        try:
            by_value, _ = dump_by_value(it, None)
        except Exception as error:
            failure = failure or error
    if by_name is None and by_value is None and failure is not None:
        raise failure
    return by_name, by_value, kept
