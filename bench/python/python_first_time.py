"""An array of 100 MB on its way to a task and back: the first time in a process, again, and after three seconds in which
nothing was asked for. Each is measured in a process that has measured nothing before, quiet or crowded."""

import statistics
import time

import numpy as np
from arrays import Here, ends, make, present, rival
from measure import Benchmark, arguments, expect, run
from one_copy import into_file, into_fresh, into_warm

SIZE = 100 * 10**6
AGAIN = 5
PAUSE_S = 3
WITHOUT = ("mp_pool",)  # does as concurrent.futures does
NO_PAUSE = ("futures", "joblib")  # keep nothing that a pause could cost


def first_again_and_later(once, pause):
    """`once` gives a time and whether all was right."""

    def ns():
        seconds, right = once()
        expect(right, "what an array holds")
        return seconds * 1e9

    figures = {"first_ns": ns(), "again_ns": statistics.median(ns() for _ in range(AGAIN))}
    if pause:
        time.sleep(PAUSE_S)
        figures["after_pause_ns"] = ns()
    return figures


def as_argument(column):
    workers = rival(column)
    array = np.ones(SIZE // 8)

    def once():
        seconds, value = workers.trip(ends, array)
        return seconds, value == 2.0

    return first_again_and_later(once, column not in NO_PAUSE)


def trip_of_result(workers):
    seconds, array = workers.trip(make, SIZE)
    return seconds, len(array) == SIZE // 8 and array[0] == array[-1] == 1.0


def as_result(column):
    workers = rival(column)
    return first_again_and_later(lambda: trip_of_result(workers), column not in NO_PAUSE)


# Within one process --------------------------------------------------------------------------------


def first_of(once):
    """The median of three, each of which is a first time: in memory that is new."""
    found = [once() for _ in range(3)]
    expect(all(right for _, right in found), "what an array holds")
    return {"first_ns": statistics.median(seconds for seconds, _ in found) * 1e9}


def copied(copy):
    array = np.ones(SIZE // 8)
    return first_of(lambda: copy(array))


def made_and_copied(copy):
    def once():
        begin = time.perf_counter()
        array = make(SIZE)
        seconds = time.perf_counter() - begin
        more, right = copy(array)
        return seconds + more, right

    return first_of(once)


def copied_again():
    source, target = np.ones(SIZE // 8), np.zeros(SIZE // 8)
    figures = first_again_and_later(lambda: into_warm(source, target), pause=False)
    return {"again_ns": figures["again_ns"]}


def made_here():
    return first_again_and_later(lambda: trip_of_result(Here()), pause=False)


def main():
    args = arguments()
    benchmarks = []
    for column in present():
        if column in WITHOUT:
            continue
        for crowded in (False, True):
            if crowded and column not in ("retinue", "joblib"):
                continue
            more = ", crowded" if crowded else ""
            for way, measure in (("argument", as_argument), ("result", as_result)):
                benchmarks.append(Benchmark(f"100 MB {way}{more}", column, lambda m=measure, c=column: m(c),
                                            crowded=crowded, fresh=True))
    for column, copy in (("memcpy_fresh", into_fresh), ("pwrite", into_file)):
        benchmarks.append(Benchmark("100 MB argument", column, lambda c=copy: copied(c), fresh=True))
        benchmarks.append(Benchmark("100 MB result", column, lambda c=copy: made_and_copied(c), fresh=True))
    benchmarks.append(Benchmark("100 MB argument", "memcpy_warm", copied_again, fresh=True))
    benchmarks.append(Benchmark("100 MB result", "made_here", made_here, fresh=True))
    run(benchmarks, args)


if __name__ == "__main__":
    main()
