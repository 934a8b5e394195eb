"""Tries an installed package, where there may be nothing else: no compiler, no libdw, no NumPy. Prints what it has seen."""

import ctypes
import multiprocessing
import os
import signal
import sys

import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool


def square(x):
    return x * x


def crash():
    """Dies within a function of the engine's own, which has no name outside of it."""
    ctypes.string_at(0)


def libraries():
    """The files of libdw and of what it needs that this process has loaded."""
    with open("/proc/self/maps") as maps:
        names = {line.split()[-1] for line in maps if ".so" in line}
    return sorted(name for name in names if any(part in os.path.basename(name) for part in ("libdw", "libelf")))


def main():
    stacks = {}
    for method in "fork", "spawn":
        with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
            assert list(pool.map(square, range(1000))) == [x * x for x in range(1000)]
            k = 3
            assert pool.submit(lambda x: k * x, 14).result() == 42
            data = os.urandom(3_000_000)
            assert pool.submit(bytes.upper, data).result() == data.upper()
            try:
                pool.submit(crash).result()
                raise AssertionError("the crash was not reported")
            except retinue.WorkerDied as error:
                assert error.signal == signal.SIGSEGV, error.signal
                stacks[method] = error.stack
            assert pool.submit(square, 5).result() == 25
    with Pool(2) as pool:
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
    assert "_ctypes" in stacks["fork"] or "string_at" in stacks["fork"], stacks["fork"]
    assert stacks["spawn"]
    print(f"retinue {retinue.__version__} works with Python {sys.version.split()[0]}; {', '.join(libraries()) or 'no libdw'}")
    print(stacks["fork"])


if __name__ == "__main__":
    main()
