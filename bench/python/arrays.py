"""Tasks on NumPy arrays, and those who run them: what python_large_data.py and python_first_time.py time and
array_memory.py weighs."""

import concurrent.futures
import functools
import importlib.util
import multiprocessing
import time

import numpy as np

WORKERS = 2


def ends(array):
    return float(array[0] + array[-1])


def total(array):
    return float(array.sum())


def total_held(array):
    """Leaves time to look at the memory while the task has its argument."""
    value = float(array.sum())
    time.sleep(0.2)
    return value


def total_of_part(table, i, parts):
    n = len(table)
    return float(table[i * n // parts : (i + 1) * n // parts].sum())


def make(size):
    return np.ones(size // 8)


def length(x):
    """The same for an array and for an int, so that what differs is their way to the worker."""
    return x if type(x) is int else len(x)


def square(x):
    return x * x


class Rival:
    """`call(f, x)` runs one task elsewhere and gives its value; `map` runs many, where it can be asked for."""

    def trip(self, f, x):
        """One call's time and its value."""
        begin = time.perf_counter()
        value = self.call(f, x)
        return time.perf_counter() - begin, value


class Here(Rival):
    def call(self, f, x):
        return f(x)


class Executor(Rival):
    """The standard library's, or what stands in for it."""

    def __init__(self, executor):
        self.executor = executor
        self.map = executor.map
        list(self.map(square, range(10)))

    def call(self, f, x):
        return self.executor.submit(f, x).result()


class Retinue(Executor):
    def __init__(self):
        import retinue.futures

        self.share = retinue.share
        super().__init__(retinue.futures.ProcessPoolExecutor(WORKERS))


class StandardPool(Rival):
    def __init__(self):
        self.pool = multiprocessing.Pool(WORKERS)
        self.pool.map(square, range(10))

    def call(self, f, x):
        return self.pool.apply(f, (x,))


class Joblib(Rival):
    """loky, as it is by default: an argument above 1 MB is written to a file in /dev/shm, which the worker maps.

    A `Parallel` that is given the same array again does not write it again. So each call has one of its own, of which
    only the call is timed: at its end joblib waits until the file is gone, mostly a tenth of a second. (One `Parallel`
    for several calls without a `with` fails at times, for it removes the file of the next call: joblib 1.2.)
    """

    def __init__(self):
        import joblib

        self.joblib = joblib
        self.map(square, range(10))

    def call(self, f, x):
        return self.trip(f, x)[1]

    def trip(self, f, x):
        with self.joblib.Parallel(n_jobs=WORKERS) as parallel:
            begin = time.perf_counter()
            [value] = parallel([self.joblib.delayed(f)(x)])
            return time.perf_counter() - begin, value

    def map(self, f, *columns):
        return self.joblib.Parallel(n_jobs=WORKERS)(self.joblib.delayed(f)(*row) for row in zip(*columns))

    def share(self, array):
        return array


class Ray(Rival):
    """Only where somebody has installed it."""

    def __init__(self):
        import ray

        self.ray = ray
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        self.remote = {}
        self.call(square, 3)

    def call(self, f, x):
        if f not in self.remote:
            self.remote[f] = self.ray.remote(f)
        return self.ray.get(self.remote[f].remote(x))


RIVALS = {
    "retinue": Retinue,
    "futures": lambda: Executor(concurrent.futures.ProcessPoolExecutor(WORKERS)),
    "mp_pool": StandardPool,
    "joblib": Joblib,
    "ray": Ray,
}


def present():
    """The columns of those that are installed."""
    return [column for column in RIVALS if column not in ("joblib", "ray") or importlib.util.find_spec(column)]


@functools.cache
def rival(column):
    """The one of this process, its workers started before there is an array that a fork would inherit."""
    return RIVALS[column]()
