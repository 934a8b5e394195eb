"""What tests run as tasks. A module of its own, so that workers find it by name."""

import os
import time


def square(x):
    return x * x


def add(a, b=10, *, c=0):
    return a + b + c


def slow(x, seconds=0.05):
    time.sleep(seconds)
    return x


def gated(x, gate):
    """Ends when the test has made this file, or has failed long ago."""
    end = time.monotonic() + 60
    while not os.path.exists(gate) and time.monotonic() < end:
        time.sleep(0.001)
    return x
