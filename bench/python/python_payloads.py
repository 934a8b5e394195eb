"""NumPy arrays as arguments and results, and memory over a long map: retinue beside the standard library and joblib."""

import concurrent.futures
import mmap
import multiprocessing
import os
import pathlib
import statistics

import joblib
import numpy as np
import retinue
import retinue.futures
from measure import arguments, expect, run, timed

WORKERS = 2


def first_and_last(a):
    return float(a[0] + a[-1])


def make(n):
    return np.ones(n // 8)


def square(x):
    return x * x


def median_of(f, n):
    return {"median_ns": statistics.median(timed(f) for _ in range(n)) * 1e9}


class Rivals:
    def __init__(self):
        self.retinue = retinue.futures.ProcessPoolExecutor(WORKERS)
        self.futures = concurrent.futures.ProcessPoolExecutor(WORKERS)
        self.mp_pool = multiprocessing.Pool(WORKERS)
        for executor in (self.retinue, self.futures, self.mp_pool):
            list(executor.map(first_and_last, [np.ones(10)] * 10))


def as_argument(call, size, n):
    array = np.ones(size // 8)

    def once():
        expect(call(first_and_last, array) == 2.0, "the ends of an array")

    once()
    return median_of(once, n)


def as_shared(executor, size, n):
    array = retinue.shared_array(size // 8)
    array[:] = 1

    def once():
        expect(executor.submit(first_and_last, array).result() == 2.0, "the ends of an array")

    once()
    return median_of(once, n)


def as_result(call, size, n):
    def once():
        expect(call(make, size)[-1] == 1.0, "the end of an array")

    once()
    return median_of(once, n)


def copy_into_fresh(size, n):
    source = np.ones(size, dtype="uint8")

    def once():
        with mmap.mmap(-1, size) as fresh:
            view = np.frombuffer(fresh, dtype="uint8")
            np.copyto(view, source)
            del view

    return median_of(once, n)


def private_mb():
    """Memory of this process and its children that is theirs alone, in MB."""
    pids = [os.getpid()]
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            pids += [int(child) for child in (task / "children").read_text().split()]
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total / 1024


def growth(executor, n):
    results = iter(executor.map(square, range(n)))
    for _ in range(n // 10):
        next(results)
    before = private_mb()
    last = None
    for last in results:
        pass
    expect(last == (n - 1) ** 2, "the last square")
    return {"growth_mb": private_mb() - before}


def main():
    args = arguments()
    few = 5 if args.quick else 1
    rivals = Rivals()
    with_joblib = joblib.Parallel(n_jobs=WORKERS)
    benchmarks = []

    def call_executor(executor):
        return lambda f, x: executor.submit(f, x).result()

    calls = {
        "retinue": call_executor(rivals.retinue),
        "futures": call_executor(rivals.futures),
        "mp_pool": lambda f, x: rivals.mp_pool.apply(f, (x,)),
        "joblib": lambda f, x: with_joblib([joblib.delayed(f)(x)])[0],
    }
    for label, size, n in (("1 KB", 1000, 200), ("100 KB", 100_000, 100), ("1 MB", 10**6, 50), ("10 MB", 10**7, 10), ("100 MB", 10**8, 3)):
        n = max(n // few, 1)
        for column, call in calls.items():
            benchmarks.append((f"{label} argument", column, lambda c=call, s=size, n=n: as_argument(c, s, n)))
            benchmarks.append((f"{label} result", column, lambda c=call, s=size, n=n: as_result(c, s, n)))
        benchmarks.append((f"{label} argument", "shared", lambda s=size, n=n: as_shared(rivals.retinue, s, n)))
        benchmarks.append((f"{label} argument", "memcpy_fresh", lambda s=size, n=n: copy_into_fresh(s, n)))
        benchmarks.append((f"{label} result", "memcpy_fresh", lambda s=size, n=n: copy_into_fresh(s, n)))
    benchmarks.append(("a map of a million tasks", "retinue", lambda: growth(rivals.retinue, 1_000_000 // few)))
    run(benchmarks, args, repetitions=3)


if __name__ == "__main__":
    main()
