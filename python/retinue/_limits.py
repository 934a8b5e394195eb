"""What the tasks of a pool may not do."""

from __future__ import annotations

from retinue._internal import arguments

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Optional, Union


class WorkerLimits:
    """Limits of each worker of a pool.

        with ProcessPoolExecutor(limits=retinue.WorkerLimits(cpu_seconds=10, network=False)) as pool: ...

    Parameters
    ----------
    cpu_seconds: CPU time that one task may use, a whole number; then it ends with ``WorkerDied`` (SIGXCPU).
    address_space: bytes of memory that a worker may map beyond what it has when its initializer has run; then the task
        gets a ``MemoryError``.
    open_files: descriptors that a worker may have open; then ``open`` raises ``OSError`` (EMFILE).
    network: False leaves only sockets of the same machine (AF_UNIX); others raise ``PermissionError``.
    programs: False lets no other program be run; ``subprocess`` raises ``PermissionError``.
    user: name or number of a user that workers run as, with that user's groups and no privileges. Only for root.

    They are set once the initializer has run, so that it may still open connections and load what takes much memory.
    What a task starts inherits them. They keep mistakes in bounds, but are no sandbox: a worker can write into memory
    that it shares with its owner.

    An impossible limit raises ``ValueError`` here, or ``retinue.Error`` where the pool is started; one that the system
    refuses ends the pool with ``PoolClosed``, which says why. Objects are immutable.
    """

    __slots__ = ("_values",)
    _fields = ("cpu_seconds", "address_space", "open_files", "network", "programs", "user")  # of _values; see options.py

    def __init__(
        self,
        *,
        cpu_seconds: Optional[int] = None,
        address_space: Optional[int] = None,
        open_files: Optional[int] = None,
        network: bool = True,
        programs: bool = True,
        user: Optional[Union[str, int]] = None,
    ) -> None:
        for name, value, least in (
            ("cpu_seconds", cpu_seconds, 1),
            ("address_space", address_space, 0),
            ("open_files", open_files, 0),
        ):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number or None, not {arguments.shown(value)}")
            if not least <= value < 1 << 63:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if user == "":
            raise ValueError("user must not be empty; None leaves it as it is")
        if isinstance(user, bool):
            raise TypeError(f"user must be a name, a number or None, not {user}")
        if user is not None and not isinstance(user, str):
            user = arguments.whole("user", user, "a name, a number or None")
        name = "" if user is None else str(user)
        network, programs = arguments.flag("network", network), arguments.flag("programs", programs)
        self._values = (cpu_seconds, address_space, open_files, network, programs, name)

    def __repr__(self) -> str:
        said = (f"{n}={v!r}" for n, v in zip(self._fields, self._values) if v is not None and v is not True and v != "")
        return f"WorkerLimits({', '.join(said)})"


def as_tuple(limits: Optional[WorkerLimits]) -> Optional[tuple[object, ...]]:
    """For the engine."""
    if limits is not None and not isinstance(limits, WorkerLimits):
        raise TypeError(f"limits must be a retinue.WorkerLimits, not {type(limits).__name__}")
    return None if limits is None else limits._values
