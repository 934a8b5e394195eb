"""Tiny tasks, round trips, start and stop, a list of long tasks: retinue beside the standard library and joblib."""

import concurrent.futures
import json
import multiprocessing
import subprocess
import sys
import time

import joblib
import retinue.futures
import retinue.multiprocessing
from measure import arguments, expect, quantiles, run, timed

WORKERS = 2


def square(x):
    return x * x


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Rival:
    """One way to run tasks, made and warmed up on first use."""

    def __init__(self, make):
        self._make, self._made = make, None

    def __call__(self):
        if self._made is None:
            self._made = self._make()
        return self._made


def warm(executor):
    list(executor.map(square, range(100)))
    return executor


ours = Rival(lambda: warm(retinue.futures.ProcessPoolExecutor(WORKERS)))
our_pool = Rival(lambda: warm(retinue.multiprocessing.Pool(WORKERS)))
standard = Rival(lambda: warm(concurrent.futures.ProcessPoolExecutor(WORKERS)))
standard_pool = Rival(lambda: warm(multiprocessing.Pool(WORKERS)))


def optional():
    """Rivals that are here if somebody has installed them: benchmarks of each, as (row, column, function)."""
    try:
        import mpire

        pool = Rival(lambda: mpire.WorkerPool(WORKERS, keep_alive=True, start_method="fork"))
        yield "map", "mpire", lambda n: sum(pool().imap(square, range(n), chunk_size=1))
        yield "chunks", "mpire", lambda n: sum(pool().map(square, range(n)))
    except ImportError:
        pass
    try:
        import pebble

        tasks = Rival(lambda: pebble.ProcessPool(WORKERS))
        yield "map", "pebble", lambda n: sum(tasks().map(square, range(n), chunksize=1).result())
        yield "chunks", "pebble", lambda n: sum(tasks().map(square, range(n), chunksize=1000).result())
    except ImportError:
        pass
    try:
        import dask

        lazy = dask.delayed(square)
        yield "map", "dask", lambda n: sum(dask.compute(*map(lazy, range(n)), scheduler="processes", num_workers=WORKERS))
    except ImportError:
        pass


def per_task(f, n):
    expected = n * (n - 1) * (2 * n - 1) // 6
    total = []
    seconds = timed(lambda: total.append(f(n)))
    expect(total[0] == expected, f"a sum of squares is {total[0]}")
    return {"per_task_ns": seconds / n * 1e9}


def with_joblib(n):
    return sum(joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(square)(i) for i in range(n)))


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


def start_and_stop(imports, make, call, n=20):
    """In an interpreter that has loaded nothing else: a fork takes as long as the process is large."""
    program = STARTS.format(imports=imports, make=make, call=call, n=n)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return quantiles(json.loads(done.stdout))


def import_time(module, n=5):
    def of(code):
        return min(timed(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(n))

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
    benchmarks = [
        ("map", "retinue", lambda: per_task(lambda n: sum(ours().map(square, range(n))), many)),
        ("map", "retinue_pool", lambda: per_task(lambda n: sum(our_pool().imap(square, range(n))), many)),
        ("map", "futures", lambda: per_task(lambda n: sum(standard().map(square, range(n))), some)),
        ("map", "mp_pool", lambda: per_task(lambda n: sum(standard_pool().imap(square, range(n))), 4 * some)),
        ("chunks", "retinue", lambda: per_task(lambda n: sum(ours().map(square, range(n), chunksize=1000)), many)),
        ("chunks", "retinue_pool", lambda: per_task(lambda n: sum(our_pool().map(square, range(n))), many)),
        ("chunks", "futures", lambda: per_task(lambda n: sum(standard().map(square, range(n), chunksize=1000)), many)),
        ("chunks", "mp_pool", lambda: per_task(lambda n: sum(standard_pool().map(square, range(n))), many)),
        ("chunks", "joblib", lambda: per_task(with_joblib, 20 * some)),
        ("submit", "retinue", lambda: per_task(lambda n: submit_all(ours(), n), 20_000)),
        ("submit", "retinue_pool", lambda: per_task(lambda n: apply_all(our_pool(), n), 20_000)),
        ("submit", "futures", lambda: per_task(lambda n: submit_all(standard(), n), some)),
        ("submit", "mp_pool", lambda: per_task(lambda n: apply_all(standard_pool(), n), some)),
        ("round trip", "retinue", lambda: round_trips(lambda i: ours().submit(square, i).result(), some)),
        ("round trip", "retinue_pool", lambda: round_trips(lambda i: our_pool().apply(square, (i,)), some)),
        ("round trip", "futures", lambda: round_trips(lambda i: standard().submit(square, i).result(), some // 5)),
        ("round trip", "mp_pool", lambda: round_trips(lambda i: standard_pool().apply(square, (i,)), some // 5)),
        ("start", "retinue", lambda: start_and_stop(
            "from retinue.futures import *", f"ProcessPoolExecutor({WORKERS})", "pool.submit(square, 3).result()")),
        ("start", "retinue_pool", lambda: start_and_stop(
            "from retinue.multiprocessing import Pool", f"Pool({WORKERS})", "pool.apply(square, (3,))")),
        ("start", "futures", lambda: start_and_stop(
            "from concurrent.futures import *", f"ProcessPoolExecutor({WORKERS})", "pool.submit(square, 3).result()")),
        ("start", "mp_pool", lambda: start_and_stop(
            "from multiprocessing import Pool", f"Pool({WORKERS})", "pool.apply(square, (3,))")),
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
    for row, column, f in optional():
        n = some if row == "map" else many
        benchmarks.append((row, column, lambda f=f, n=n // 5: per_task(f, n)))
    run(benchmarks, args)


if __name__ == "__main__":
    main()
