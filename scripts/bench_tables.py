"""What docs/benchmarks.md shows: its columns, its tables and the targets. Read by bench_report.py."""

from dataclasses import dataclass, field

COLUMNS = {
    "retinue": "**retinue.futures**",
    "retinue_pool": "**retinue.multiprocessing**",
    "int": "an `int`",
    "shared": "`retinue.shared_array`",
    "share": "`retinue.share`",
    "futures": "`concurrent.futures`",
    "mp_pool": "`multiprocessing.Pool`",
    "joblib": "joblib (loky)",
    "ray": "Ray",
    "mpire": "mpire",
    "pebble": "pebble",
    "dask": "dask, processes",
    "process_pool": "**ProcessPool**, 2 workers",
    "process_pool_64": "**ProcessPool**, 64 workers",
    "thread_pool": "**ThreadPool**, 2 threads",
    "tbb": "oneTBB, 2 threads",
    "async": "`std::async`",
    "pipe": "fork and pipe",
    "fork": "bare `fork`",
    "futex": "futex ping-pong",
    "spinning": "spinning ping-pong",
    "memcpy_warm": "one `memcpy`, warm memory",
    "memcpy_fresh": "one `memcpy`, fresh memory",
    "numpy_copy": "`array.copy()`",
    "made_here": "the vector made here",
    "serial": "serial",
}

COUNTERS = {
    "per_task_ns": "a task",
    "median_ns": "median",
    "p99_ns": "p99",
    "longest_ns": "longest",
    "speed_up_x": "speed-up",
    "serial_ns": "serial time",
    "cpu_ns": "CPU time",
    "wake_ups": "wake-ups",
    "growth_mb": "growth after the first tenth",
    "private_mb": "private, all processes",
    "shared_mb": "shared",
    "copies_x": "memory",
}


@dataclass
class Part:
    """A table of its own for some of a program's rows."""

    title: str
    words: str
    rows: str  # a regular expression
    columns: dict = field(default_factory=dict)


@dataclass
class Program:
    name: str
    title: str
    words: str
    repetitions: int = 5
    columns: dict = field(default_factory=dict)  # labels other than those of COLUMNS
    rows: dict = field(default_factory=dict)  # labels of rows; else their names
    hidden: tuple = ()  # counters that are in the raw figures only
    python: bool = False  # bench/python/NAME.py rather than bench/NAME.cpp
    parts: tuple = ()  # in place of one table
    image: str = ""  # beside the report, made from the figures by bench_plot.py
    alternative: str = ""  # what the image shows, for those who cannot see it

    @property
    def path(self):
        return f"bench/python/{self.name}.py" if self.python else f"bench/{self.name}.cpp"


PROGRAMS = [
    Program(
        "tiny_tasks",
        "Tiny tasks",
        "One multiplication a task, a million tasks, nothing chunked by the caller. Each figure is the time from the "
        "first submit to the last result, divided by the number of tasks. oneTBB's `task_group`, `std::async`, the "
        "loop over two pipes (one int a `write`, one int a `read`, a thousand under way) and the serial loop have one "
        "way of doing it, which stands in the line of `submit`. The spinning ping-pong there is a cache line's way to the "
        "other core and back in this very run: a virtual machine is given other cores from time to time, and with "
        "them all figures of this table change together.",
        repetitions=9,
        columns={"tbb": "oneTBB `task_group`, 2 threads", "pipe": "fork and pipe, 2 children"},
        rows={"map": "`map`", "map_unordered": "`map_unordered`", "submit": "`submit` all, then `get` all"},
    ),
    Program(
        "round_trips",
        "Round trips",
        "One task at a time, from `submit` to the value. Warm: one after the other. Cold: 5 to 20 ms apart, so that "
        "everybody sleeps. Spinning and futex ping-pong between two bare processes are what the hardware and the "
        "kernel take. Each round trip is timed by itself; reading the clock, about 25 ns, is in the figure.",
        rows={"warm": "warm", "cold": "cold"},
    ),
    Program(
        "start_and_stop",
        "Start and stop",
        "A pool of two is made, runs one task and is closed. The first pool of a process also makes the region; "
        "each of those is made in a process of its own. A bare child is forked, exits and is reaped.",
        rows={"pool of 2": "made, used, closed", "first pool of 2 of a process": "the first of its process"},
    ),
    Program(
        "map_reduce",
        "map_reduce",
        "Ten million ints of a vector, squared and summed: an addition and a multiplication each, so that memory "
        "is the limit and serial code is hard to beat. Threads read the vector where it is, processes are sent it, "
        "but for a `SharedArray`. By its name a function is a pointer, and each element a call, unless the compiler "
        "can follow it. A million numbers' steps to 1 in the Collatz sequence: work of a few hundred nanoseconds an "
        "element. Serial is `std::transform_reduce`, oneTBB is `parallel_reduce`.",
        columns={"tbb": "oneTBB `parallel_reduce`, 2 threads"},
        rows={"squares": "10 million squares", "squares of a SharedArray": "the same of a `SharedArray`",
              "squares by name": "the same, function by its name", "collatz": "1 million Collatz sequences"},
    ),
    Program(
        "scaling",
        "From one worker to two",
        "Serial time divided by parallel time, both taken one right after the other, several times in turn; 2 is all "
        "there is. The fib list is naive recursion over 38, 37, 36, 35, 34, 33, a task each. Below it, tasks of about "
        "the given length, 80 ms in all, one task an element.",
        rows={"fib list": "fib list"},
        columns={"tbb": "oneTBB `task_group`, 2 threads", "pipe": "fork and pipe, 2 children"},
        hidden=("serial_ns",),
    ),
    Program(
        "payloads",
        "Payloads",
        "A `vector<char>` to a task whose parameter is a `span` and which reads a byte of every page, and a "
        "`vector<char>` that a task makes and returns; one round trip at a time. A payload of up to 224 bytes travels "
        "in the slot, counting a few bytes of description. The pipe leads to a child that reads into (or writes from) "
        "one buffer that it keeps. A `SharedArray` travels by name, as an argument and as a result.",
        columns={"shared_array": "the same in a `SharedArray`"},
    ),
    Program(
        "idle",
        "An idle pool",
        "CPU time, user and system, of the owner, the fork server and two workers over ten seconds without a task, "
        "after a hundred thousand tasks. Wake-ups are voluntary context switches of all of them (the owner's sleep of "
        "ten seconds is one).",
    ),
    Program(
        "streaming",
        "Streams",
        "Memory that is resident after a tenth of a long stream and at its end: private memory of owner, fork server "
        "and workers together, and shared memory once.",
    ),
    Program(
        "recovery",
        "A worker is killed",
        "SIGKILL for the busy worker of a pool of one, until its replacement has run a task. A bare child that is "
        "killed, reaped and forked again, until it reports through a pipe, stands beside it.",
        columns={"process_pool": "**ProcessPool**, 1 worker"},
    ),
    Program(
        "owner_killed",
        "The owner is killed",
        "SIGKILL for the owner of a pool, until no process of it is left, not even as a zombie; with them goes the shared "
        "memory, which has no name. A busy pool's workers all compute. Beside it as many bare children that the kernel is to "
        "kill when their parent dies. The longest is the median over the repetitions of the longest of 100 kills.",
        columns={"process_pool": "**ProcessPool**", "fork": "bare children"},
        rows={name: name for name in ("2 workers, idle", "2 workers, busy", "64 workers, idle", "64 workers, busy")},
    ),
    Program(
        "python_tasks",
        "Python: tasks",
        "One squaring a task, two workers. `map` asks for nothing to be chunked; where chunks are allowed, "
        "`multiprocessing.Pool.map` chooses its own, `concurrent.futures` is given a thousand, joblib makes its "
        "batches, and retinue does what it always does. mpire and pebble stand here if they are installed. Round trips are `submit(...).result()` and `apply`, each timed "
        "by itself. The fib list is naive recursion over 31, 30, 29, 28, 27, 26 in Python, a task each, as serial time "
        "divided by parallel time; 2 is all there is. Import times are over those of a bare interpreter.",
        rows={
            "map": "`map`, unchunked",
            "chunks": "`map`, chunks allowed",
            "submit": "`submit` all, then all results",
            "round trip": "round trip",
            "start": "pool made, one task, closed",
            "import": "import",
            "fib": "fib list",
        },
        python=True,
    ),
    Program(
        "python_large_data",
        "Python: large data",
        "NumPy arrays of float64 on their way to a task and back; two workers, one round trip at a time, the first of each "
        "series not counted; of a gigabyte there are three repetitions. What `retinue.futures` does, "
        "`retinue.multiprocessing` does the same way. joblib stands here as it is by default: an argument above 1 MB is "
        "written to a file in `/dev/shm`, which the worker maps; below, and on the way back, arrays are pickled into a "
        "pipe, as the standard library does with all. A `Parallel` that is given the same array again does not write it "
        "again, so each call has one of its own; what joblib waits at its end for the file to go, mostly a tenth of a "
        "second, is not counted. Ray stands here if it is installed.\n\n"
        "A `memcpy` into fresh memory is one into an anonymous private mapping made anew each time, with pages of 4 KB, "
        "which the copy is the first to touch; warm memory has been written to before. `array.copy()` is what NumPy does "
        "within one process: fresh memory too, but for large arrays of huge pages, where the kernel has them.",
        repetitions=5,
        rows={
            "memory, 1 GB argument": "a 1 GB argument",
            "memory, 1 GB result": "a 1 GB result",
            "memory, tasks on one 1 GB table": "10,000 tasks on one 1 GB table",
            "memory, one 100 MB array in a map": "one 100 MB array 1,000 times in a `map`",
            "memory, a million tasks": "a `map` of a million tasks, growth after the first tenth",
        },
        python=True,
        parts=(
            Part(
                "As an argument",
                "The task reads the ends of the array and nothing else, except in the line where it sums all of it; what "
                "that takes in this process stands there as made here.",
                r"\d.* argument",
                columns={"made_here": "summed here"},
            ),
            Part(
                "As a result",
                "The task makes the array, by `numpy.ones`, and that is part of the time; what it takes in this process "
                "stands beside it. Freeing the array is not counted.",
                r"\d.* result",
                columns={"made_here": "`numpy.ones` here"},
            ),
            Part(
                "Shared",
                "The task returns the array's length, or the `int` that it was given instead: one round trip at a time, "
                "and a task of a `map` over 20,000 times the same value.",
                r"\d.* shared, ",
            ),
            Part(
                "Memory",
                "All memory of the owner and the processes it has started, shared memory counted once, at the worst moment: "
                "how often the array is there beyond the once that it has to be, and for the tasks on one table, how often "
                "in all. Each is measured once, in a process of its own, which is looked at from outside every few "
                "milliseconds. The argument is read in full, by a task that then stays for a while. The tasks on one table "
                "sum a part of it each: retinue is given it by `share`, joblib as it is. The `map` over one array is read "
                "for five seconds at most. Nobody else takes part in those two, for to pickle the array for each task would "
                "take minutes to hours.",
                r"memory, ",
            ),
        ),
        image="images/large-data.svg",
        alternative="Time against size, both logarithmic, of NumPy arrays from 1 KB to 1 GB as an argument and as a result, "
        "for retinue, concurrent.futures, multiprocessing.Pool and joblib, with one memcpy into fresh memory beside them",
    ),
]


# Targets -----------------------------------------------------------------------------------------


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


TARGETS = [
    tiny("`map`", "map"),
    tiny("`map_unordered`", "map_unordered"),
    tiny("`submit` all, `get` all", "submit"),
    crowd("`map`", "map"),
    crowd("`map_unordered`", "map_unordered"),
    crowd("`submit`", "submit"),
    Target("round trip, warm, median", "≤ 0.5 µs", "round_trips", ("warm", "process_pool", "median_ns"),
           lambda value, rival: value <= 500, ("warm", "spinning", "median_ns"), "spinning ping-pong"),
    Target("pool of 2 made, one task, closed", "≤ 3 ms", "start_and_stop",
           ("pool of 2", "process_pool", "median_ns"), lambda value, rival: value <= 3e6,
           ("pool of 2", "fork", "median_ns"), "bare `fork`"),
    Target("the same, first of its process", "≤ 3 ms", "start_and_stop",
           ("first pool of 2 of a process", "process_pool", "median_ns"), lambda value, rival: value <= 3e6,
           ("pool of 2", "fork", "median_ns"), "bare `fork`"),
    Target("fib list, one worker to two", "≥ 1.95×", "scaling", ("fib list", "process_pool", "speed_up_x"),
           lambda value, rival: value >= 1.95, ("fib list", "tbb", "speed_up_x"), "oneTBB `task_group`"),
    Target("10 million squares on threads", "≤ 1.2×", "map_reduce", ("squares", "thread_pool", "median_ns"),
           lambda value, rival: rival is not None and value <= 1.2 * rival, ("squares", "tbb", "median_ns"),
           "oneTBB `parallel_reduce`", True),
    Target("10 million squares of a `SharedArray` on processes", "≤ 1×", "map_reduce",
           ("squares of a SharedArray", "process_pool", "median_ns"),
           lambda value, rival: rival is not None and value <= rival,
           ("squares of a SharedArray", "serial", "median_ns"), "serial", True),
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
    Target("Python: `map(square, range(n))`", "≤ 1 µs", "python_tasks", ("map", "retinue", "per_task_ns"),
           lambda value, rival: value <= 1000, ("map", "futures", "per_task_ns"), "`concurrent.futures`"),
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
