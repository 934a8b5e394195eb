"""Tiny tasks, start and stop, a large tuple, a list of long tasks: retinue beside the standard library and joblib."""

import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import time

import crowd
from measure import Benchmark, arguments, expect, quantiles, run, timed

WORKERS = 2


def square(x):
    return x * x


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Rival:
    """One way to run tasks, made and warmed up on first use, in the process that is to be measured."""

    def __init__(self, make):
        self._make, self._made = make, None

    def __call__(self):
        if self._made is None:
            self._made = self._make()
        return self._made


def warm(executor):
    list(executor.map(square, range(100)))
    return executor


def make_ours():
    import retinue.futures

    return warm(retinue.futures.ProcessPoolExecutor(WORKERS))


def make_our_pool():
    import retinue.multiprocessing

    return warm(retinue.multiprocessing.Pool(WORKERS))


ours, our_pool = Rival(make_ours), Rival(make_our_pool)
standard = Rival(lambda: warm(concurrent.futures.ProcessPoolExecutor(WORKERS)))
standard_pool = Rival(lambda: warm(multiprocessing.Pool(WORKERS)))


def with_joblib(n):
    import joblib

    return sum(joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(square)(i) for i in range(n)))


def mpire_pool():
    import mpire

    return mpire.WorkerPool(WORKERS, keep_alive=True, start_method="fork")


def pebble_pool():
    import pebble

    return pebble.ProcessPool(WORKERS)


def with_dask(n):
    import dask

    lazy = dask.delayed(square)
    return sum(dask.compute(*map(lazy, range(n)), scheduler="processes", num_workers=WORKERS))


def optional():
    """Rivals that are here if somebody has installed them: benchmarks of each, as (row, column, function)."""
    mpire, pebble = Rival(mpire_pool), Rival(pebble_pool)
    found = [
        ("map", "mpire", lambda n: sum(mpire().imap(square, range(n), chunk_size=1))),
        ("chunks", "mpire", lambda n: sum(mpire().map(square, range(n)))),
        ("map", "pebble", lambda n: sum(pebble().map(square, range(n), chunksize=1).result())),
        ("chunks", "pebble", lambda n: sum(pebble().map(square, range(n), chunksize=1000).result())),
        ("chunks", "joblib", with_joblib),
        ("map", "dask", with_dask),
    ]
    return [(row, column, f) for row, column, f in found if importlib.util.find_spec(column)]


def per_task(f, n):
    expected = n * (n - 1) * (2 * n - 1) // 6
    total = []
    seconds = timed(lambda: total.append(f(n)))
    expect(total[0] == expected, f"a sum of squares is {total[0]}")
    return {"per_task_ns": seconds / n * 1e9}


def submit_all(executor, n):
    futures = [executor.submit(square, i) for i in range(n)]
    return sum(f.result() for f in futures)


def apply_all(pool, n):
    results = [pool.apply_async(square, (i,)) for i in range(n)]
    return sum(r.get() for r in results)


def round_trips(call, n):
    times = []
    for i in range(n):
        begin = time.perf_counter()
        value = call(i)
        times.append(time.perf_counter() - begin)
        expect(value == i * i, "a square")
    return quantiles(times)


STARTS = """
import json, time
{imports}
{before}
def square(x):
    return x * x
times = []
for _ in range({n}):
    begin = time.perf_counter()
    with {make} as pool:
        value = {call}
    times.append(time.perf_counter() - begin)
    assert value == 9
print(json.dumps(times))
"""
LARGE = f"""
import sys
sys.path.insert(0, {os.path.dirname(os.path.abspath(crowd.__file__))!r})
import crowd
crowd.live_objects({crowd.OBJECTS_MB})
"""
EXECUTOR = f"ProcessPoolExecutor({WORKERS})", "pool.submit(square, 3).result()"
POOL = f"Pool({WORKERS})", "pool.apply(square, (3,))"
STARTED = {
    "retinue": ("from retinue.futures import *", *EXECUTOR),
    "retinue_pool": ("from retinue.multiprocessing import Pool", *POOL),
    "futures": ("from concurrent.futures import *", *EXECUTOR),
    "mp_pool": ("from multiprocessing import Pool", *POOL),
}


def start_and_stop(imports, make, call, before="", n=20):
    """In an interpreter that has loaded nothing else: a fork takes as long as the process is large."""
    program = STARTS.format(imports=imports, before=before, make=make, call=call, n=n)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return quantiles(json.loads(done.stdout))


def large_tuple(call, n=5):
    """A million ints, none of which is a constant of the interpreter's, to a task that returns how many there are."""
    value = tuple(range(1000, 1_001_000))
    seconds = []
    for _ in range(n):
        begin = time.perf_counter()
        count = call(value)
        seconds.append(time.perf_counter() - begin)
        expect(count == 1_000_000, "the length of a tuple")
    return {"median_ns": quantiles(seconds)["median_ns"]}


def import_time(module, n=5):
    """Of compiled modules, as an installed package has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def of(code):
        command = [sys.executable, "-c", code]
        return min(timed(lambda: subprocess.run(command, check=True, env=environment)) for _ in range(n))

    return {"median_ns": max(of(f"import {module}") - of("pass"), 0.0) * 1e9}


FIBS = [31, 30, 29, 28, 27, 26]


def speed_up(map_function):
    serial = timed(lambda: [fib(n) for n in FIBS])
    parallel = timed(lambda: expect(list(map_function(fib, FIBS))[0] == 1346269, "a fib"))
    return {"speed_up_x": serial / parallel}


def main():
    args = arguments()
    few = 10 if args.quick else 1
    many = 500_000 // few
    some = 5_000 // few
    in_both = [  # in a quiet process, and in a crowded one
        ("map", "retinue", lambda: per_task(lambda n: sum(ours().map(square, range(n))), many)),
        ("map", "retinue_pool", lambda: per_task(lambda n: sum(our_pool().imap(square, range(n))), many)),
        ("map", "futures", lambda: per_task(lambda n: sum(standard().map(square, range(n))), some)),
        ("map", "mp_pool", lambda: per_task(lambda n: sum(standard_pool().imap(square, range(n))), 4 * some)),
        ("submit", "retinue", lambda: per_task(lambda n: submit_all(ours(), n), 20_000)),
        ("submit", "retinue_pool", lambda: per_task(lambda n: apply_all(our_pool(), n), 20_000)),
        ("submit", "futures", lambda: per_task(lambda n: submit_all(standard(), n), some)),
        ("submit", "mp_pool", lambda: per_task(lambda n: apply_all(standard_pool(), n), some)),
    ]
    cells = in_both + [
        ("chunks", "retinue", lambda: per_task(lambda n: sum(ours().map(square, range(n), chunksize=1000)), many)),
        ("chunks", "retinue_pool", lambda: per_task(lambda n: sum(our_pool().map(square, range(n))), many)),
        ("chunks", "futures", lambda: per_task(lambda n: sum(standard().map(square, range(n), chunksize=1000)), many)),
        ("chunks", "mp_pool", lambda: per_task(lambda n: sum(standard_pool().map(square, range(n))), many)),
        ("round trip", "retinue", lambda: round_trips(lambda i: ours().submit(square, i).result(), some)),
        ("round trip", "retinue_pool", lambda: round_trips(lambda i: our_pool().apply(square, (i,)), some)),
        ("round trip", "futures", lambda: round_trips(lambda i: standard().submit(square, i).result(), some // 5)),
        ("round trip", "mp_pool", lambda: round_trips(lambda i: standard_pool().apply(square, (i,)), some // 5)),
        ("tuple", "retinue", lambda: large_tuple(lambda value: ours().submit(len, value).result())),
        ("tuple", "retinue_pool", lambda: large_tuple(lambda value: our_pool().apply(len, (value,)))),
        ("tuple", "futures", lambda: large_tuple(lambda value: standard().submit(len, value).result())),
        ("tuple", "mp_pool", lambda: large_tuple(lambda value: standard_pool().apply(len, (value,)))),
        ("import", "retinue", lambda: import_time("retinue.futures")),
        ("import", "retinue_pool", lambda: import_time("retinue.multiprocessing")),
        ("import", "futures", lambda: import_time("concurrent.futures.process")),
        ("import", "mp_pool", lambda: import_time("multiprocessing.pool")),
        ("import", "joblib", lambda: import_time("joblib")),
        ("fib", "retinue", lambda: speed_up(ours().map)),
        ("fib", "retinue_pool", lambda: speed_up(our_pool().imap)),
        ("fib", "futures", lambda: speed_up(standard().map)),
        ("fib", "mp_pool", lambda: speed_up(standard_pool().imap)),
    ]
    for column, how in STARTED.items():
        cells.append(("start", column, lambda how=how: start_and_stop(*how)))
        cells.append(("start, large", column, lambda how=how: start_and_stop(*how, before=LARGE, n=2 if args.quick else 10)))
    for row, column, f in optional():
        n = 20 * some if column == "joblib" else (some if row == "map" else many) // 5
        cells.append((row, column, lambda f=f, n=n: per_task(f, n)))
    benchmarks = [Benchmark(*cell) for cell in cells]
    benchmarks += [Benchmark(f"{row}, crowded", column, measure, crowded=True) for row, column, measure in in_both]
    run(benchmarks, args)


if __name__ == "__main__":
    main()
