"""What docs/benchmarks.md shows: its columns and its tables. Read by bench_report.py."""

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
    "view": "**ProcessPool**, the result as a view",
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
    "pwrite": "one `pwrite`, a new file in memory",
    "vector_copy": "a vector copied here",
    "numpy_copy": "`array.copy()`",
    "made_here": "the vector made here",
    "serial": "serial",
}

COUNTERS = {
    "per_task_ns": "a task",
    "mean_ns": "mean",
    "median_ns": "median",
    "beyond_making_ns": "beyond making it",
    "p90_ns": "p90",
    "p99_ns": "p99",
    "slow_percent": "slow batches",
    "kept_percent": "neighbours keep",
    "first_ns": "the first time",
    "again_ns": "again",
    "after_pause_ns": "after 3 s",
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

# What is so much over all repetitions rather than in the middle one of them: a median would hide one in three.
AVERAGED = ("slow_percent",)

COMPANY = {
    "alone": "alone",
    "NumPy": "NumPy loaded and used",
    "20 threads": "20 idle threads",
    "8 workers": "8 workers",
    "crowded": "crowded",
    "neighbours": "a busy neighbour for each other CPU",
}
COMPANY_WORDS = (
    "Each figure is of one process that has measured nothing before, for where the scheduler once puts owner and workers they "
    "may stay; twelve stretches with a pause before each, after which 20 trips are not counted. A batch is 200 trips, and "
    "slow if their mean is above 3 µs; the share is that of all batches of all repetitions. Neighbours are processes that "
    "do nothing but count, pinned nowhere, one for each CPU but one; what they keep is what they count while trips are made "
    "by what they count in the pauses. "
)


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
        "company",
        "Round trips in company",
        COMPANY_WORDS + "Crowded is a process with 20 idle threads and 300 MB of live strings.",
        rows=COMPANY,
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
        rows={
            "squares": "10 million squares",
            "squares of a SharedArray": "the same of a `SharedArray`",
            "squares by name": "the same, function by its name",
            "collatz": "1 million Collatz sequences",
        },
    ),
    Program(
        "scaling",
        "From one worker to two",
        "Serial time divided by parallel time, both taken one right after the other, several times in turn; 2 is all "
        "there is. The fib list is naive recursion over 38, 37, 36, 35, 34, 33, a task each. Below it, tasks of about "
        "the given length, 80 ms in all, one task an element.",
        rows={"fib list": "fib list"},
        columns={"tbb": "oneTBB `task_group`, 2 threads", "pipe": "fork and pipe, 2 children"},
        repetitions=4,
        hidden=("serial_ns",),
    ),
    Program(
        "payloads",
        "Payloads",
        "A `vector<char>` to a task whose parameter is a `span` and which reads a byte of every page, and a "
        "`vector<char>` that a task makes and returns; one round trip at a time, the same again and again, so that all memory "
        "is warm. A payload of up to 224 bytes travels "
        "in the slot, counting a few bytes of description. The pipe leads to a child that reads into one buffer that it keeps, "
        "or makes a vector each time and writes it to an owner that reads it into a new one. Beyond making it: less what a task "
        "takes that makes the same vector and drops it, measured in turn. A `SharedArray` travels by name, as an argument and as a result.",
        columns={"shared_array": "the same in a `SharedArray`"},
    ),
    Program(
        "first_time",
        "Payloads, the first time",
        "A `vector<char>` of 100 MB to a task whose parameter is a `span` and which reads a byte of every page, and one that a "
        "task makes and returns, into a `std::vector` or as a view: the first time in a process, the median of five times after it, and the "
        "first time after three seconds in which nothing was asked for. Each is of a process that has measured nothing before. "
        "Crowded is one with 20 idle threads and 300 MB of live strings. Beside it one copy within a process into memory that "
        "is new each time; beside a result, the vector is made before it, and counted. The pipe's reader makes a vector each "
        "time.",
        repetitions=3,
        rows={name: name for name in ("100 MB argument", "100 MB argument, crowded", "100 MB result", "100 MB result, crowded")},
    ),
    Program(
        "idle",
        "An idle pool",
        "CPU time, user and system, of the owner, the fork server and two workers over ten seconds without a task, "
        "after a hundred thousand tasks. Wake-ups are voluntary context switches of all of them (the owner's sleep of "
        "ten seconds is one).",
        repetitions=3,
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
        "One squaring a task, two workers, each rival in a process of its own. `map` asks for nothing to be chunked; where chunks are allowed, "
        "`multiprocessing.Pool.map` chooses its own, `concurrent.futures` is given a thousand, joblib makes its "
        "batches, and retinue does what it always does. mpire and pebble stand here if they are installed. "
        "Crowded is a process with NumPy loaded and used, 20 idle threads and 300 MB of live tuples and strings; a large process "
        "has the 300 MB only. The tuple's ints are a million different ones; its task returns how many there are. Round trips are `submit(...).result()` and `apply`, each timed "
        "by itself. The fib list is naive recursion over 31, 30, 29, 28, 27, 26 in Python, a task each, as serial time "
        "divided by parallel time; 2 is all there is. Import times are over those of a bare interpreter.",
        repetitions=4,
        rows={
            "map": "`map`, unchunked",
            "map, crowded": "`map`, unchunked, crowded",
            "chunks": "`map`, chunks allowed",
            "submit": "`submit` all, then all results",
            "submit, crowded": "`submit` all, then all results, crowded",
            "round trip": "round trip",
            "tuple": "a tuple of a million ints as an argument",
            "start": "pool made, one task, closed",
            "start, large": "the same in a process of 300 MB",
            "import": "import",
            "fib": "fib list",
        },
        python=True,
    ),
    Program(
        "python_round_trips",
        "Python: round trips in company",
        "`submit(...).result()` and `apply`, one after the other, each timed by itself, two workers. " + COMPANY_WORDS
        + "Crowded is a process with NumPy loaded and used, 20 idle threads and 300 MB of live tuples and strings.",
        rows=COMPANY,
        python=True,
    ),
    Program(
        "python_first_time",
        "Python: an array, the first time",
        "A NumPy array of 100 MB to a task that reads its ends, and one that a task makes and returns: the first time in a "
        "process, the median of five times after it, and the first time after three seconds in which nothing was asked for. "
        "Each is of a process that has measured nothing before, its workers started. Crowded is one with NumPy used, 20 idle "
        "threads and 300 MB of live tuples and strings. Beside it one copy within a process into memory that is new each time; "
        "beside a result, `numpy.ones` comes before it, and is counted. Ray stands here if it is installed.",
        repetitions=3,
        rows={name: name for name in ("100 MB argument", "100 MB argument, crowded", "100 MB result", "100 MB result, crowded")},
        columns={"made_here": "`numpy.ones` here"},
        python=True,
    ),
    Program(
        "python_large_data",
        "Python: large data",
        "NumPy arrays of float64 on their way to a task and back, the same again and again, so that all memory is warm; two "
        "workers, one round trip at a time, the first of each series not counted, each rival in a process of its own; of a "
        "gigabyte there is one repetition where it takes seconds. What `retinue.futures` does, "
        "`retinue.multiprocessing` does the same way. joblib stands here as it is by default: an argument above 1 MB is "
        "written to a file in `/dev/shm`, which the worker maps; below, and on the way back, arrays are pickled into a "
        "pipe, as the standard library does with all. A `Parallel` that is given the same array again does not write it "
        "again, so each call has one of its own; what joblib waits at its end for the file to go, mostly a tenth of a "
        "second, is not counted. Ray stands here if it is installed.\n\n"
        "A `memcpy` into fresh memory is one into an anonymous private mapping made anew each time, with pages of 4 KB, "
        "which the copy is the first to touch; warm memory has been written to before. `array.copy()` is what NumPy does "
        "within one process: fresh memory too, but for large arrays of huge pages, where the kernel has them.",
        repetitions=3,
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
