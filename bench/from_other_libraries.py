"""The gains that docs/from-other-libraries.md names: each idiom on the library it comes from and on retinue, in one
run, with two workers.  python bench/from_other_libraries.py  (about half a minute)"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import statistics
import sys
import time

import retinue.futures
import retinue.multiprocessing

WORKERS = 2
REPEATS = 5


def square(x):
    return x * x


def add(x, y):
    return x + y


def median_seconds(run):
    run()
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def report(name, count, theirs, ours):
    before, after = (median_seconds(run) / count * 1e6 for run in (theirs, ours))
    gain = before / after
    print(f"| {name} | {before:.2f} µs | {after:.2f} µs | {gain:.{0 if gain >= 10 else 1}f}× |", flush=True)


def executors():
    def round_trips(pool, count):
        for i in range(count):
            pool.submit(square, i).result()

    def submits(pool, count):
        futures = [pool.submit(square, i) for i in range(count)]
        for _ in concurrent.futures.as_completed(futures):
            pass

    async def awaited(pool, count):
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, square, i) for i in range(count)))

    with concurrent.futures.ProcessPoolExecutor(WORKERS) as theirs, retinue.futures.ProcessPoolExecutor(WORKERS) as ours:

        def both(name, count, run):
            report(name, count, lambda: run(theirs, count), lambda: run(ours, count))

        both("Executor.map", 5000, lambda pool, count: list(pool.map(square, range(count))))
        both("submit, then result", 500, round_trips)
        both("submit, as_completed", 2000, submits)
        both("run_in_executor", 2000, lambda pool, count: asyncio.run(awaited(pool, count)))
        report(
            "Executor.map, chunksize=100 against none", 50_000,
            lambda: list(theirs.map(square, range(50_000), chunksize=100)),
            lambda: list(ours.map(square, range(50_000))),
        )  # fmt: skip

    def start_and_stop(kind):
        with kind(WORKERS) as pool:
            pool.submit(square, 1).result()

    report(
        "make a pool, run one task, close it", 1,
        lambda: start_and_stop(concurrent.futures.ProcessPoolExecutor),
        lambda: start_and_stop(retinue.futures.ProcessPoolExecutor),
    )  # fmt: skip


def pools():
    def callbacks(pool, count):
        got = []
        for i in range(count):
            last = pool.apply_async(square, (i,), callback=got.append)
        last.wait()
        while len(got) < count:
            time.sleep(0.0001)

    pairs = list(zip(range(20_000), range(20_000)))
    with multiprocessing.Pool(WORKERS) as theirs, retinue.multiprocessing.Pool(WORKERS) as ours:

        def both(name, count, run):
            report(name, count, lambda: run(theirs, count), lambda: run(ours, count))

        both("Pool.map", 100_000, lambda pool, count: pool.map(square, range(count)))
        both("Pool.map, chunksize=1", 20_000, lambda pool, count: pool.map(square, range(count), 1))
        both("Pool.starmap, chunksize=1", 20_000, lambda pool, count: pool.starmap(add, pairs, 1))
        both("Pool.imap_unordered", 10_000, lambda pool, count: list(pool.imap_unordered(square, range(count))))
        both("Pool.apply_async with a callback", 2000, callbacks)


def parallel():
    try:
        import joblib
    except ImportError:
        print("joblib is not installed", file=sys.stderr)
        return
    retinue.register_joblib_backend()

    def call(backend, count):
        def parallel():
            with joblib.parallel_backend(backend, n_jobs=WORKERS):
                joblib.Parallel()(joblib.delayed(square)(i) for i in range(count))

        return parallel

    def with_array(backend):
        def parallel():
            with joblib.parallel_backend(backend, n_jobs=WORKERS):
                joblib.Parallel()(joblib.delayed(numpy.take)(array, i) for i in range(20))

        return parallel

    def with_results(backend):
        def parallel():
            with joblib.parallel_backend(backend, n_jobs=WORKERS):
                joblib.Parallel()(joblib.delayed(numpy.ones)(array.size) for _ in range(6))

        return parallel

    report("joblib.Parallel, 20,000 tiny tasks", 20_000, call("loky", 20_000), call("retinue", 20_000))
    report("joblib.Parallel, a call of 10 tasks, warm", 1, call("loky", 10), call("retinue", 10))
    try:
        import numpy
    except ImportError:
        return
    array = numpy.ones(5_000_000)
    report("joblib.Parallel, 20 tasks that get one array of 40 MB", 1, with_array("loky"), with_array("retinue"))
    report("joblib.Parallel, 6 results of 40 MB", 1, with_results("loky"), with_results("retinue"))


def graphs():
    try:
        import dask
    except ImportError:
        print("dask is not installed", file=sys.stderr)
        return
    parts = [dask.delayed(square)(i) for i in range(1000)]
    with retinue.futures.ProcessPoolExecutor(WORKERS) as ours:
        with concurrent.futures.ProcessPoolExecutor(WORKERS) as theirs:
            report(
                "dask.compute, 1000 tasks, scheduler=executor", 1000,
                lambda: dask.compute(*parts, scheduler=theirs), lambda: dask.compute(*parts, scheduler=ours),
            )  # fmt: skip


if __name__ == "__main__":
    print(f"{WORKERS} workers, {len(os.sched_getaffinity(0))} CPUs, Python {sys.version.split()[0]}\n")
    print("| idiom, per task or call | before | retinue | gain |\n| --- | --- | --- | --- |")
    executors()
    pools()
    parallel()
    graphs()
