"""Options on their way to the engine: one object each, of which the engine reads the fields by name.

A field stands here and in the engine's table for its class (python/src: pool_options.cpp, task_options.cpp,
map_options.cpp). They are compared when the package is imported: a field that only one side has is an ImportError. The
limits of workers are in ``retinue.WorkerLimits``, likewise.
"""

from __future__ import annotations

from collections import namedtuple

from retinue import _engine


class PoolOptions(
    namedtuple(
        "PoolOptions",
        ("workers", "initializer", "max_tasks_per_worker", "break_on_worker_death", "limits", "kept_descriptors"),
        defaults=(None, 0, False, None, None),
    )
):
    """Of a pool.

    workers: how many processes.
    initializer: a function and its arguments, which each worker calls before its first task; or None.
    max_tasks_per_worker: a worker is replaced after so many; 0: never.
    break_on_worker_death: the death of a worker ends the pool.
    limits: the values of a ``WorkerLimits``, or None.
    kept_descriptors: the descriptors that workers inherit, a tuple of numbers; or None: all.
    """

    __slots__ = ()


class TaskOptions(namedtuple("TaskOptions", ("timeout", "retries"), defaults=(None, 0))):
    """Of tasks.

    timeout: seconds that one may run, above zero, or None.
    retries: how often one is run again after its worker died.
    """

    __slots__ = ()

    def read(self) -> _engine.TaskOptions:
        """As submits and maps want them: read by the engine once, however many tasks have them."""
        return _engine._read_task_options(self)


class MapOptions(
    namedtuple(
        "MapOptions",
        ("star", "ordered", "look_ahead", "timeout", "reading", "task", "iterator"),
        defaults=(False, True, 0, None, _engine.READ_LAZILY, None, None),
    )
):
    """Of one map.

    star: there is one iterable, of tuples of arguments.
    ordered: results come in the order of inputs, and not as they are there.
    look_ahead: inputs that are read ahead of results at most; 0: the engine chooses.
    timeout: seconds from now until the last result, or None.
    reading: when inputs are read: one of the engine's READ_LAZILY, READ_IN_CALL, READ_IN_THREAD, READ_LATER.
    task: what ``TaskOptions.read`` gave, or None.
    iterator: the class of what the map gives, derived from the engine's MapIterator, or None for that itself.
    """

    __slots__ = ()
