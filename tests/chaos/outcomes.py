"""What became of a task, as a line of text that can be compared: the same for equal values, and for no others."""

import hashlib

import numpy as np

import retinue


def fingerprint(it):
    """Equal for equal values of the same types, whatever they share inside."""
    hashed = hashlib.blake2b(digest_size=12)
    _feed(hashed.update, it)
    return hashed.hexdigest()


def _feed(update, it):
    update(type(it).__qualname__.encode() + b"(")
    if isinstance(it, (list, tuple)):
        for item in it:
            _feed(update, item)
    elif isinstance(it, (set, frozenset)):
        for mark in sorted(fingerprint(item) for item in it):
            update(mark.encode())
    elif isinstance(it, dict):
        for key, value in it.items():  # the order is part of a dict that travelled
            _feed(update, key)
            _feed(update, value)
    elif isinstance(it, np.ndarray):
        native = it.dtype.newbyteorder("=")  # numpy's own pickle changes the byte order of some views
        update(f"{native.str}{it.shape}".encode())
        update(np.ascontiguousarray(it, native).tobytes() if it.size else b"")
    elif isinstance(it, (bytes, bytearray, memoryview)):
        update(it)
    elif isinstance(it, str):
        update(it.encode("utf-8", "surrogatepass"))
    elif isinstance(it, BaseException):
        update(line_of_error(it).encode("utf-8", "surrogatepass"))
    elif it is None or isinstance(it, (int, float, complex, np.generic)):
        update(repr(it).encode())
    else:
        _feed(update, vars(it))
    update(b")")


def line_of_value(value):
    return "value " + fingerprint(value)


def line_of_error(error):
    """Retinue's own errors by what they mean, all others by type and text."""
    if isinstance(error, retinue.WorkerDied):
        return f"died of signal {error.signal}" if error.signal else f"left with {error.exit_code}"
    if isinstance(error, retinue.TaskTimeout):
        return "timeout"
    if isinstance(error, retinue.Cancelled):
        return "cancelled"
    if isinstance(error, retinue.PoolClosed):
        return f"closed: {error}"
    try:
        text = str(error)
    except Exception:
        text = "(cannot be shown)"
    return f"raised {type(error).__qualname__}: {text}"


def run_serially(function, args):
    """What the function gives here and now, which is what it must give in a worker."""
    try:
        return line_of_value(function(*args))
    except BaseException as error:
        return line_of_error(error)
