"""How the engine raises errors. Here for ``import retinue``, while the errors themselves are slow to import."""

from __future__ import annotations

from retinue import _engine


def make_error(name: str, message: str, error_number: int) -> Exception:
    from retinue import _errors

    return _errors.make_error(name, message, error_number)


def make_worker_died(message: str, signal: int, exit_code: int, pid: int, task_index: int, stack: str) -> Exception:
    from retinue import _errors

    return _errors.make_worker_died(message, signal, exit_code, pid, task_index, stack)


HELPERS: dict[str, object] = {"make_error": make_error, "make_worker_died": make_worker_died}
_engine._register("errors", HELPERS)
