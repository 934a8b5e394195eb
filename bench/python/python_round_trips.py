"""`submit(...).result()` one after the other, alone and in company: with NumPy, idle threads, more workers, a crowd, and
neighbours that keep the other CPUs busy. Each is measured in a process that has measured nothing before."""

import concurrent.futures
import contextlib
import multiprocessing
import time

import crowd
from measure import Benchmark, NotMeasured, arguments, expect, run

WORKERS = 2
TRIPS = 200  # in a batch
SLOW_NS = 3_000  # a batch whose mean is above is a slow one
ROUNDS = 12
PAUSE_S = 0.05
NEIGHBOUR_S = 0.1  # what a round takes at least, where it is also asked what neighbours keep
LONGEST_S = 0.5  # what a round takes at most


def square(x):
    return x * x


# How a trip is made -------------------------------------------------------------------------------


def of_executor(make):
    @contextlib.contextmanager
    def open_pool(workers):
        with make(workers) as pool:
            yield lambda i: pool.submit(square, i).result()

    return open_pool


def of_pool(make):
    @contextlib.contextmanager
    def open_pool(workers):
        with make(workers) as pool:
            yield lambda i: pool.apply(square, (i,))

    return open_pool


def retinue_futures(workers):
    import retinue.futures

    return retinue.futures.ProcessPoolExecutor(workers)


def retinue_multiprocessing(workers):
    import retinue.multiprocessing

    return retinue.multiprocessing.Pool(workers)


OPEN = {
    "retinue": of_executor(retinue_futures),
    "retinue_pool": of_pool(retinue_multiprocessing),
    "futures": of_executor(concurrent.futures.ProcessPoolExecutor),
    "mp_pool": of_pool(multiprocessing.Pool),
}

# What is measured ---------------------------------------------------------------------------------


def batch(trip, first):
    """The nanoseconds of each of 200 trips."""
    times = []
    clock = time.perf_counter_ns
    for i in range(first, first + TRIPS):
        begin = clock()
        value = trip(i)
        times.append(clock() - begin)
        expect(value == i * i, "a square")
    return times


def spread(batches):
    """Mean, percentiles, and the share of slow batches, of lists of nanoseconds."""
    times = sorted(ns for times in batches for ns in times)

    def percentile(p):
        return float(times[min(len(times) - 1, len(times) * p // 100)])

    slow = sum(sum(times) > SLOW_NS * len(times) for times in batches)
    return {
        "mean_ns": sum(times) / len(times),
        "median_ns": percentile(50),
        "p90_ns": percentile(90),
        "p99_ns": percentile(99),
        "slow_percent": 100 * slow / len(batches),
    }


def trips(trip, batches, neighbours=None):
    """So many batches in twelve rounds, with a pause before each, after which 20 trips are not counted."""
    found, alone, together = [], [0, 0.0], [0, 0.0]

    def count_into(sums, work):
        counted, begin = neighbours.count() if neighbours else 0, time.perf_counter()
        work()
        sums[1] += time.perf_counter() - begin
        sums[0] += (neighbours.count() if neighbours else 0) - counted

    def one_round():
        begin = time.perf_counter()
        for i in range(20):
            expect(trip(i) == i * i, "a square")
        left, taken = max(1, batches // ROUNDS), 0.0
        while taken < (LONGEST_S if left > 0 else NEIGHBOUR_S if neighbours else 0):
            found.append(batch(trip, len(found) * TRIPS))
            left, taken = left - 1, time.perf_counter() - begin

    for _ in range(ROUNDS):
        count_into(alone, lambda: time.sleep(PAUSE_S))
        count_into(together, one_round)
    figures = spread(found)
    if neighbours:
        figures["kept_percent"] = 100 * (together[0] / together[1]) / (alone[0] / alone[1])
    return figures


def nothing():
    pass


COMPANY = {  # what is there before the pool is made, and how many workers that has
    "alone": (nothing, WORKERS),
    "NumPy": (crowd.use_numpy, WORKERS),
    "20 threads": (crowd.idle_threads, WORKERS),
    "8 workers": (nothing, 8),
    "crowded": (crowd.gather, WORKERS),
}


def in_company(column, company, batches):
    prepare, workers = COMPANY[company]
    prepare()
    with OPEN[column](workers) as trip:
        return trips(trip, batches)


def beside_neighbours(column, batches):
    with crowd.Neighbours() as neighbours:
        if not neighbours.n:
            raise NotMeasured("there is one CPU only")
        with OPEN[column](WORKERS) as trip:
            return trips(trip, batches, neighbours)


def main():
    args = arguments()
    benchmarks = []

    for column in OPEN:
        ours, often = column.startswith("retinue"), column == "retinue"
        batches = (36 if args.quick else 360) if ours else ROUNDS

        def add(row, measure, column=column, often=often):
            benchmarks.append(Benchmark(row, column, measure, fresh=True, at_most=1000 if often else 3))

        for company in COMPANY if often else ("alone", "crowded"):
            add(company, lambda c=column, w=company, b=batches: in_company(c, w, b))
        add("neighbours", lambda c=column, b=batches // 10: beside_neighbours(c, b))
    run(benchmarks, args)


if __name__ == "__main__":
    main()
