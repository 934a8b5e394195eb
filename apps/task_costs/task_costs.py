"""Measures what a task costs in retinue's executor, and by what one would use otherwise. Takes a few seconds; wants a
machine with nothing else to do. Where rounds are far apart, the lowest and the highest are shown."""

import argparse
import concurrent.futures
import multiprocessing
import statistics
import time

import retinue
import retinue.futures

NOISY = 1.5  # the highest by the lowest, from which on both are shown
WORKERS = retinue.cpu_count()
FIBS = [28, 27, 26, 25, 24, 23]


def square(x):
    return x * x


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


# The pools, none of which is there while another is measured -----------------------------------------


def in_executor(module, work):
    """Seconds that `work` takes with a warm executor of that module."""
    with module.ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(square, range(100)))
        return seconds(lambda: work(pool))


def in_pool(work):
    with multiprocessing.Pool(WORKERS) as pool:
        pool.map(square, range(100))
        return seconds(lambda: work(pool))


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


# The problems: what, and the ways with retinue's first; each gives the seconds of a task -------------------


def require(condition):
    if not condition:
        raise AssertionError("a way computed something wrong")


def squares(n, results):
    require(sum(results) == n * (n - 1) * (2 * n - 1) // 6)


def many(within, n, how):
    return lambda: within(lambda pool: squares(n, how(pool, range(n)))) / n


def one_by_one(within, n, how):
    return lambda: within(lambda pool: squares(n, [how(pool, i) for i in range(n)])) / n


def fibs(within, how):
    return lambda: within(lambda pool: require(sum(how(pool)) == 785_672))


def ours(work):
    return in_executor(retinue.futures, work)


def standard(work):
    return in_executor(concurrent.futures, work)


def here(work):
    return seconds(lambda: work(None))


PROBLEMS = {
    "a number to a function and back, many at a time: each": {
        "retinue.futures, map": many(ours, 100_000, lambda pool, xs: pool.map(square, xs)),
        "concurrent.futures, map": many(standard, 1_000, lambda pool, xs: pool.map(square, xs)),
        "the same in chunks of a thousand": many(standard, 100_000, lambda pool, xs: pool.map(square, xs, chunksize=1000)),
        "multiprocessing.Pool.map, chunks of its own": many(in_pool, 100_000, lambda pool, xs: pool.map(square, xs)),
        "a plain call in this process": many(here, 100_000, lambda _, xs: [square(x) for x in xs]),
    },
    "the same, waiting for each answer before the next: each": {
        "retinue.futures, submit(...).result()": one_by_one(ours, 5_000, lambda pool, i: pool.submit(square, i).result()),
        "concurrent.futures, submit(...).result()": one_by_one(standard, 300, lambda pool, i: pool.submit(square, i).result()),
        "multiprocessing.Pool.apply": one_by_one(in_pool, 300, lambda pool, i: pool.apply(square, (i,))),
    },
    "six long tasks (fib of 28 down to 23): all of them": {
        "retinue.futures, map": fibs(ours, lambda pool: pool.map(fib, FIBS)),
        "concurrent.futures, map": fibs(standard, lambda pool: pool.map(fib, FIBS)),
        "multiprocessing.Pool.map": fibs(in_pool, lambda pool: pool.map(fib, FIBS)),
        "one after the other": fibs(here, lambda _: map(fib, FIBS)),
    },
}


# The table -----------------------------------------------------------------------------------------------


def duration(value):
    """As "12.3 ms": three digits and the unit that suits."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if value >= scale or unit == "ns":
            value /= scale
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def line(what, taken, ours):
    """`ours` is what retinue takes, or None in its own line."""
    middle = statistics.median_low(taken)
    beside = []
    if what.startswith("a plain call"):
        beside.append("  the work itself")
    elif ours:
        beside.append(f"  {middle / ours:.{2 if middle < 10 * ours else 0}f} times as long")
    if max(taken) > NOISY * min(taken):
        beside.append(f"  ({duration(min(taken))} to {duration(max(taken))})")
    return f"    {what:<46} {duration(middle):>9}{''.join(beside)}"


def main():
    parser = argparse.ArgumentParser(prog="task_costs.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every line is measured, by default 5")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")
    print(f"What a task costs from Python, by {WORKERS} workers: the middle of {rounds} rounds, in which every line has its turn")
    for problem, ways in PROBLEMS.items():
        taken = {what: [] for what in ways}
        for _ in range(rounds):
            for what, way in ways.items():
                taken[what].append(way())
        print(f"\n  {problem}")
        ours_takes = None
        for what, times in taken.items():
            print(line(what, times, ours_takes), flush=True)
            ours_takes = ours_takes or statistics.median_low(times)


if __name__ == "__main__":
    main()
