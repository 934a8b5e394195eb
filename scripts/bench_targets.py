"""The targets: what docs/benchmarks.md says of each, reached or missed. Read by bench_report.py."""

from dataclasses import dataclass


@dataclass
class Target:
    """One line of the table of targets: `value` of a program's figures against `limit`."""

    what: str
    limit: str
    program: str
    cell: tuple  # row, column, counter
    reached: object  # of the value and the rival's
    rival: tuple = ()
    rival_name: str = ""
    per_rival: bool = False  # the figure is the ratio to the rival


def ratio(what, factor, program, cell, rival, rival_name):
    """At most so many times what the rival takes in the same run."""
    return Target(
        what,
        f"≤ {factor:g}×",
        program,
        cell,
        lambda value, beside: beside is not None and value <= factor * beside,
        rival,
        rival_name,
        True,
    )


def tiny(how, row):
    return Target(
        f"tiny unchunked task, {how}",
        "≤ 150 ns and below oneTBB",
        "tiny_tasks",
        (row, "process_pool", "per_task_ns"),
        lambda value, rival: value <= 150 and (rival is None or value < rival),
        ("submit", "tbb", "per_task_ns"),
        "oneTBB `task_group`",
    )


def in_company(language, program, column, company, words, p90_us):
    return Target(
        f"{language}: round trip, p90, {words}",
        f"≤ {p90_us} µs",
        program,
        (company, column, "p90_ns"),
        lambda value, _: value <= 1000 * p90_us,
    )


def beside_neighbours(language, program, column, rival, rival_name):
    """Three of a kind: the mean, the worst, and what the neighbours keep."""
    yield ratio(f"{language}: round trip beside busy neighbours, mean", 1, program, ("neighbours", column, "mean_ns"),
                ("neighbours", rival, "mean_ns"), rival_name)
    yield Target(f"{language}: the same, p99", "≤ 15 µs", program, ("neighbours", column, "p99_ns"),
                 lambda value, _: value <= 15_000)
    yield Target(f"{language}: the same, what the neighbours keep of their CPU", "≥ 95 %", program,
                 ("neighbours", column, "kept_percent"), lambda value, _: value >= 95,
                 ("neighbours", rival, "kept_percent"), rival_name)


def first_time(what, row, program="python_first_time", language="Python", column="retinue"):
    """The cold way beside one `pwrite`, and the way after a pause beside the warm one."""
    copy = "one `pwrite`" if "argument" in row else "made here, one `pwrite`"
    yield ratio(f"{language}: {what}, the first time", 1.3, program, (row, column, "first_ns"), (row, "pwrite", "first_ns"), copy)
    yield ratio(f"{language}: {what}, after 3 s", 1.2, program, (row, column, "after_pause_ns"), (row, column, "again_ns"),
                "warm")


def first_time_beside(what, row, rival, rival_name):
    return ratio(f"Python: {what}, the first time, beside {rival_name}", 1, "python_first_time", (row, "retinue", "first_ns"),
                 (row, rival, "first_ns"), rival_name)


def crowd(how, row):
    return Target(
        f"64 workers on two cores against two, {how}",
        "≤ 3×",
        "tiny_tasks",
        (row, "process_pool_64", "per_task_ns"),
        lambda value, rival: rival is not None and value <= 3 * rival,
        (row, "process_pool", "per_task_ns"),
        "two workers",
        True,
    )


def growth(how, row):
    return Target(
        f"memory of a stream, {how}",
        "grows < 10 MB",
        "streaming",
        (row, "process_pool", "growth_mb"),
        lambda value, rival: value < 10,
    )


def copy(what, row):
    return Target(
        f"Python: {what}",
        "≤ 1.3×",
        "python_large_data",
        (row, "retinue", "median_ns"),
        lambda value, rival: rival is not None and value <= 1.3 * rival,
        (row, "memcpy_fresh", "median_ns"),
        "one `memcpy`, fresh memory",
        True,
    )


def beside_standard(what, row):
    return Target(
        f"Python: {what}, beside `concurrent.futures`",
        "≤ 1/50",
        "python_large_data",
        (row, "retinue", "median_ns"),
        lambda value, rival: rival is not None and 50 * value <= rival,
        (row, "futures", "median_ns"),
        "`concurrent.futures`",
        True,
    )


def by_name(what, row, column, counter):
    return Target(
        f"Python: {what}",
        "≤ 1.5×",
        "python_large_data",
        (row, column, counter),
        lambda value, rival: rival is not None and value <= 1.5 * rival,
        (row, "int", counter),
        "an `int`",
        True,
    )


CPP_COMPANY = {
    "alone": "alone",
    "20 threads": "with 20 idle threads",
    "8 workers": "with 8 workers",
    "crowded": "in a crowded process",
}
PYTHON_COMPANY = {
    "alone": "alone",
    "NumPy": "with NumPy",
    "20 threads": "with 20 idle threads",
    "8 workers": "with 8 workers",
    "crowded": "in a crowded process",
}

TARGETS = [
    tiny("`map`", "map"),
    tiny("`map_unordered`", "map_unordered"),
    ratio("tiny unchunked task, `submit` all, `get` all", 1.2, "tiny_tasks", ("submit", "process_pool", "per_task_ns"),
          ("submit", "tbb", "per_task_ns"), "oneTBB `task_group`"),
    crowd("`map`", "map"),
    crowd("`map_unordered`", "map_unordered"),
    crowd("`submit`", "submit"),
    Target("round trip, warm, median", "≤ 0.5 µs", "round_trips", ("warm", "process_pool", "median_ns"),
           lambda value, rival: value <= 500, ("warm", "spinning", "median_ns"), "spinning ping-pong"),
    *(in_company("C++", "company", "process_pool", company, words, 0.5) for company, words in CPP_COMPANY.items()),
    *beside_neighbours("C++", "company", "process_pool", "pipe", "fork and pipe"),
    Target("pool of 2 made, one task, closed", "≤ 3 ms", "start_and_stop",
           ("pool of 2", "process_pool", "median_ns"), lambda value, rival: value <= 3e6,
           ("pool of 2", "fork", "median_ns"), "bare `fork`"),
    Target("the same, first of its process", "≤ 3 ms", "start_and_stop",
           ("first pool of 2 of a process", "process_pool", "median_ns"), lambda value, rival: value <= 3e6,
           ("pool of 2", "fork", "median_ns"), "bare `fork`"),
    ratio("ten million squares, `map_reduce` on threads", 1.2, "map_reduce", ("squares", "thread_pool", "median_ns"),
          ("squares", "tbb", "median_ns"), "oneTBB `parallel_reduce`"),
    ratio("ten million squares of a `SharedArray`, `map_reduce` on processes", 1, "map_reduce",
          ("squares of a SharedArray", "process_pool", "median_ns"), ("squares", "serial", "median_ns"), "serial"),
    *first_time("100 MB `vector` as an argument", "100 MB argument", "first_time", "C++", "process_pool"),
    *first_time("100 MB `vector` as a result, viewed", "100 MB result", "first_time", "C++", "view"),
    ratio("C++: 100 MB result as a view, warm, beyond making it", 2.5, "payloads",
          ("100 MB result", "view", "beyond_making_ns"),
          ("100 MB result", "memcpy_warm", "median_ns"), "one `memcpy`, warm memory"),
    ratio("C++: 100 MB result as a `vector`, warm, beyond making it", 1.3, "payloads",
          ("100 MB result", "process_pool", "beyond_making_ns"),
          ("100 MB result", "vector_copy", "median_ns"), "a vector copied here"),
    Target("fib list, one worker to two", "≥ 1.95×", "scaling", ("fib list", "process_pool", "speed_up_x"),
           lambda value, rival: value >= 1.95, ("fib list", "tbb", "speed_up_x"), "oneTBB `task_group`"),
    Target("CPU time of an idle pool in 10 s", "< 1 ms", "idle", ("10 s idle", "process_pool", "cpu_ns"),
           lambda value, rival: value < 1e6),
    growth("10 million by `map`", "10 million tasks by map"),
    growth("10 million by `map_unordered`", "10 million tasks by map_unordered"),
    Target("killed worker, its replacement has run a task, median", "≤ 10 ms", "recovery",
           ("killed worker replaced", "process_pool", "median_ns"), lambda value, rival: value <= 10e6,
           ("killed worker replaced", "fork", "median_ns"), "bare `fork`"),
    Target("owner of a busy pool of 64 killed, the longest until nothing is left", "≤ 1 s", "owner_killed",
           ("64 workers, busy", "process_pool", "longest_ns"), lambda value, rival: value <= 1e9,
           ("64 workers, busy", "fork", "longest_ns"), "bare children"),
    growth("half a million strings", "half a million strings of 0.5 to 1.5 KB by map"),
    Target("Python: `map(square, range(n))`, beside `Pool.map` with its own chunks", "≤ 0.12 µs and ≤ `Pool.map`",
           "python_tasks", ("map", "retinue", "per_task_ns"),
           lambda value, rival: value <= 120 and (rival is None or value <= rival), ("chunks", "mp_pool", "per_task_ns"),
           "`Pool.map`"),
    Target("Python: the same, beside `concurrent.futures`", "≤ 1/80", "python_tasks", ("map", "retinue", "per_task_ns"),
           lambda value, rival: rival is not None and 80 * value <= rival, ("map", "futures", "per_task_ns"),
           "`concurrent.futures`", True),
    Target("Python: `submit` then `result`, one by one", "≤ 5 µs", "python_tasks",
           ("round trip", "retinue", "median_ns"), lambda value, rival: value <= 5000,
           ("round trip", "futures", "median_ns"), "`concurrent.futures`"),
    Target("Python: `submit` of 20,000, then all results", "≤ 4 µs", "python_tasks",
           ("submit", "retinue", "per_task_ns"), lambda value, rival: value <= 4000,
           ("submit", "futures", "per_task_ns"), "`concurrent.futures`"),
    Target("Python: pool of 2 made, one task, closed", "≤ 5 ms", "python_tasks",
           ("start", "retinue", "median_ns"), lambda value, rival: value <= 5e6,
           ("start", "futures", "median_ns"), "`concurrent.futures`"),
    ratio("Python: the same in a process of 300 MB", 1.1, "python_tasks", ("start, large", "retinue", "median_ns"),
          ("start, large", "futures", "median_ns"), "`concurrent.futures`"),
    ratio("Python: a tuple of a million ints as an argument", 1, "python_tasks", ("tuple", "retinue", "median_ns"),
          ("tuple", "futures", "median_ns"), "`concurrent.futures`"),
    *(in_company("Python", "python_round_trips", "retinue", company, words, 1.5)
      for company, words in PYTHON_COMPANY.items()),
    *beside_neighbours("Python", "python_round_trips", "retinue", "futures", "`concurrent.futures`"),
    *first_time("100 MB array as an argument", "100 MB argument"),
    first_time_beside("100 MB array as an argument", "100 MB argument", "joblib", "joblib"),
    first_time_beside("100 MB array as an argument", "100 MB argument", "ray", "Ray"),
    *first_time("100 MB array as a result", "100 MB result"),
    first_time_beside("100 MB array as a result", "100 MB result", "joblib", "joblib"),
    first_time_beside("100 MB array as a result", "100 MB result", "ray", "Ray"),
    Target("Python: import", "≤ 30 ms", "python_tasks", ("import", "retinue", "median_ns"),
           lambda value, rival: value <= 30e6, ("import", "futures", "median_ns"), "`concurrent.futures`"),
    copy("100 MB array as an argument", "100 MB argument"),
    copy("100 MB array as a result", "100 MB result"),
    beside_standard("100 MB array as an argument", "100 MB argument"),
    beside_standard("100 MB array as a result", "100 MB result"),
    by_name("`shared_array` of 1 GB, round trip", "1 GB shared, round trip", "shared", "median_ns"),
    by_name("`shared_array` of 1 GB, in a `map`", "1 GB shared, in a map", "shared", "per_task_ns"),
    by_name("`share` of 1 GB, round trip", "1 GB shared, round trip", "share", "median_ns"),
    by_name("`share` of 1 GB, in a `map`", "1 GB shared, in a map", "share", "per_task_ns"),
    Target("Python: memory of a 1 GB argument", "≤ 1 more copy, to the percent", "python_large_data",
           ("memory, 1 GB argument", "retinue", "copies_x"), lambda value, rival: value <= 1.01,
           ("memory, 1 GB argument", "futures", "copies_x"), "`concurrent.futures`"),
    Target("Python: 10,000 tasks on one shared 1 GB table", "≤ 1.05 copies", "python_large_data",
           ("memory, tasks on one 1 GB table", "retinue", "copies_x"), lambda value, rival: value <= 1.05,
           ("memory, tasks on one 1 GB table", "joblib", "copies_x"), "joblib (loky)"),
    Target("Python: memory over a million tasks", "grows < 10 MB", "python_large_data",
           ("memory, a million tasks", "retinue", "growth_mb"), lambda value, rival: value < 10),
]
