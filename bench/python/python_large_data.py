"""NumPy arrays from 1 KB to 1 GB: as arguments, as results, shared; and the memory that they take on their way."""

import statistics
import time

import numpy as np
from array_memory import copies, growth, require_space
from arrays import Here, ends, length, make, present, rival, total
from measure import Benchmark, NotMeasured, arguments, expect, run
from one_copy import into_fresh, into_warm

KB, MB, GB = 10**3, 10**6, 10**9
SIZES = {  # round trips in a repetition, the first of which is not counted
    "1 KB": (KB, 200),
    "10 KB": (10 * KB, 200),
    "100 KB": (100 * KB, 100),
    "1 MB": (MB, 20),
    "10 MB": (10 * MB, 10),
    "100 MB": (100 * MB, 3),
    "1 GB": (GB, 1),
}
QUICK_SIZES = ("1 KB", "1 MB", "10 MB", "100 MB")
SUMMED = "argument, all of it summed"
TOO_LONG_S = 20
SLOW = ("futures", "mp_pool", "joblib")  # of a gigabyte one repetition, since it takes seconds


def times(once, n):
    """The median of `n` times, after one that is not counted. `once` gives a time and whether all was right."""
    seconds = []
    for _ in range(n + 1):
        taken, right = once()
        expect(right, "what an array holds")
        seconds.append(taken)
    return {"median_ns": statistics.median(seconds[1:]) * 1e9}


def as_argument(rival, size, n, task=ends):
    array = np.ones(size // 8)
    expected = task(array)

    def once():
        seconds, value = rival.trip(task, array)
        return seconds, value == expected

    return times(once, n)


def as_result(rival, size, n):
    def once():
        seconds, array = rival.trip(make, size)
        return seconds, len(array) == size // 8 and array[0] == array[-1] == 1.0

    return times(once, n)


# A copy within one process -------------------------------------------------------------------------


def copy_into_warm(size, n):
    source, target = np.ones(size // 8), np.zeros(size // 8)
    return times(lambda: into_warm(source, target), n)


def copy_into_fresh(size, n):
    source = np.ones(size // 8)
    return times(lambda: into_fresh(source), n)


def numpy_copy(size, n):
    source = np.ones(size // 8)

    def once():
        begin = time.perf_counter()
        copy = source.copy()
        return time.perf_counter() - begin, copy[-1] == 1.0

    return times(once, n)


# Shared arrays -------------------------------------------------------------------------------------


def an_int(size):
    return size // 8


def a_shared_array(size):
    import retinue

    array = retinue.shared_array(size // 8)
    array[:] = 1
    return array


def a_share(size):
    return rival("retinue").share(np.ones(size // 8))


def round_trips(made_by, size, n):
    pool = rival("retinue")
    value = made_by(size)
    expect(made_by is an_int or pool.call(total, value) == size // 8, "the sum of a shared array")

    def once():
        seconds, count = pool.trip(length, value)
        return seconds, count == size // 8

    return times(once, n)


def in_a_map(made_by, size, n):
    pool = rival("retinue")
    value = made_by(size)
    pool.call(length, value)
    begin = time.perf_counter()
    counts = sum(pool.map(length, [value] * n))
    seconds = time.perf_counter() - begin
    expect(counts == n * (size // 8), "the lengths of a shared array")
    return {"per_task_ns": seconds / n * 1e9}


# All of them ---------------------------------------------------------------------------------------


def within_reason(measure, size, n):
    """A gigabyte is for those who would be done with it before long, by what a tenth of it takes them."""
    if size >= GB:
        require_space(size)
        seconds = 10 * measure(size // 10, 1)["median_ns"] / 1e9
        if seconds > TOO_LONG_S:
            raise NotMeasured(f"would take about {seconds:.0f} s")
    return measure(size, n)


def timings(sizes, quick):
    """The ways of an array by size, and the copies within one process beside each of them."""
    copying = {"memcpy_warm": copy_into_warm, "memcpy_fresh": copy_into_fresh, "numpy_copy": numpy_copy}
    for label in sizes:
        size, n = SIZES[label]
        n = max(n // 5, 1) if quick else n
        cells = []
        for column in present():
            cells.append(("argument", column, lambda size, n, c=column: as_argument(rival(c), size, n)))
            cells.append(("result", column, lambda size, n, c=column: as_result(rival(c), size, n)))
            if size == 100 * MB:
                cells.append((SUMMED, column, lambda size, n, c=column: as_argument(rival(c), size, n, total)))
        if size == 100 * MB:
            cells.append((SUMMED, "made_here", lambda size, n: as_argument(Here(), size, n, total)))
        cells.append(("result", "made_here", lambda size, n: as_result(Here(), size, n)))
        cells += [(way, column, f) for way in ("argument", "result") for column, f in copying.items()]
        for way, column, measure in cells:
            yield f"{label} {way}", column, lambda m=measure, size=size, n=n: within_reason(m, size, n)


def shared(sizes, quick):
    trips, tasks = (100, 2_000) if quick else (1_000, 20_000)
    for label in sizes:
        size, _ = SIZES[label]
        for column, made_by in (("int", an_int), ("shared", a_shared_array), ("share", a_share)):
            yield f"{label} shared, round trip", column, lambda m=made_by, s=size: round_trips(m, s, trips)
            yield f"{label} shared, in a map", column, lambda m=made_by, s=size: in_a_map(m, s, tasks)


def memory(label):
    """Who takes part: those that could be done in a few seconds. The others would send each copy through a pipe."""
    size, _ = SIZES[label]
    fewer = [column for column in ("retinue", "joblib") if column in present()]
    for column in present():
        if column != "ray":  # its workers are not children of this process
            yield f"memory, {label} argument", column, lambda c=column: copies("argument", c, size)
            yield f"memory, {label} result", column, lambda c=column: copies("result", c, size, less=1.0)
    for column in fewer:
        yield f"memory, tasks on one {label} table", column, lambda c=column: copies("tasks_on_one_table", c, size)
        yield "memory, one 100 MB array in a map", column, lambda c=column: copies("one_array_in_a_map", c, 100 * MB)


def main():
    args = arguments()
    sizes = QUICK_SIZES if args.quick else tuple(SIZES)
    tasks = 200_000 if args.quick else 1_000_000
    benchmarks = [Benchmark(*cell) for cell in (*timings(sizes, args.quick), *shared(sizes, args.quick))]
    for benchmark in benchmarks:
        if benchmark.row.startswith("1 GB") and benchmark.column in SLOW:
            benchmark.at_most = 1
    weighed = [*memory("100 MB" if args.quick else "1 GB")]
    weighed.append(("memory, a million tasks", "retinue", lambda: growth("a_million_tasks", "retinue", tasks)))
    run(benchmarks + [Benchmark(*cell, at_most=1) for cell in weighed], args, repetitions=3)


if __name__ == "__main__":
    main()
