"""What the tests of large data share: pools, tasks, and how much memory is in use."""

import gc
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import retinue
from retinue.futures import ProcessPoolExecutor

N = 1_000_000  # of doubles: 8 MB, far more than what is copied


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def one():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def in_use():
    return retinue.shared_memory_usage()["bytes_in_use"]


def in_use_at_rest():
    """What is in use once what earlier tests have dropped is gone."""
    gc.collect()
    idle_since, last = time.monotonic(), in_use()
    end = idle_since + 10
    while time.monotonic() < min(end, idle_since + 0.2):
        time.sleep(0.01)
        if in_use() != last:
            idle_since, last = time.monotonic(), in_use()
    return last


def eventually(holds):
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def total(a):
    return float(a.sum())


def double_in_place(a):
    a *= 2
    return float(a.sum())


def make(n, value=0.5):
    return np.full(n, value)


def first(a, *_):
    return float(a[0])


kept = []


def keep(a):
    kept.append(a)


def look_at_kept():
    return [(float(a.min()), float(a.max())) for a in kept]


def kept_clear():
    kept.clear()


def peak_of(work):
    """What the most memory in use during `work` was beyond that before it, in bytes."""
    retinue.trim_shared_memory()
    program = "import retinue, numpy as np, functools, itertools\nfrom retinue.futures import ProcessPoolExecutor\n"
    program += textwrap.dedent(work)
    program += "\nprint(retinue.shared_memory_usage()['bytes_peak'], retinue.shared_memory_usage()['bytes_in_use'])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stderr
    peak, left = map(int, run.stdout.split())
    return peak, left
