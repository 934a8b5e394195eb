"""What tests run as tasks. A module of its own, so that workers find it by name."""

import time


def square(x):
    return x * x


def add(a, b=10, *, c=0):
    return a + b + c


def slow(x, seconds=0.05):
    time.sleep(seconds)
    return x
