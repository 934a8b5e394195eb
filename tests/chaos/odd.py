"""Values and exceptions that misbehave on their way."""

import os
import signal
import threading


class ChaosError(Exception):
    """An ordinary exception of a program's own."""


class TwoArguments(Exception):
    """Its pickle cannot be loaded: the class wants another number of arguments."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("nothing can be said")


class HoldsALock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class RefusesToReduce(Exception):
    def __reduce__(self):
        raise TypeError("not to be pickled")


class LoadsAsAnother(Exception):
    def __reduce__(self):
        return str, ("not even an exception",)


class EndsTheBase(BaseException):
    """Not an Exception."""


class NotPickled:
    def __reduce__(self):
        raise ValueError("this value stays")


class ReducesToNonsense:
    def __reduce__(self):
        return 17


class NotLoaded:
    """Pickles well. Loading it raises, wherever that is done."""

    def __init__(self, error):
        self.error = error

    def __setstate__(self, state):
        raise state["error"]


class NotLoadedElsewhere:
    """Loading it in another process than the one that made it kills or raises there."""

    def __init__(self, how):
        self.how = how
        self.pid = os.getpid()

    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.getpid() == state["pid"]:
            return
        if state["how"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if state["how"] == "exit":
            os._exit(7)
        raise LookupError("not here")


class DiesAsItIsPickled:
    """As a result: kills the worker while its result is being written."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        if self.how == "exit":
            os._exit(5)
        os.kill(os.getpid(), signal.SIGKILL)
        return int, ()


class DelRaises:
    """Left in a cycle, so that its end comes at a collection, at any time."""

    def __init__(self):
        self.me = self

    def __del__(self):
        raise ValueError("from __del__")


class Box:
    """A value with state, and a method that changes it."""

    def __init__(self, items):
        self.items = items

    def add(self, x):
        self.items.append(x)
        return sum(self.items)

    def __eq__(self, other):
        return type(other) is Box and other.items == self.items

    __hash__ = None


class CountsItsPickles:
    """Reduces to a call that makes it anew; large, so that it comes back over a block."""

    def __init__(self, size):
        self.data = bytes(range(256)) * (size // 256)

    def __reduce__(self):
        return CountsItsPickles, (len(self.data),)
