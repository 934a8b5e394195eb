"""Runs the benchmark programs of build/release/bench and writes docs/benchmarks.md.

Called by scripts/bench, which builds them. A benchmark is named `row/column`; each of its counters is a
line of the table of its program, and the last word of a counter's name is its unit. Figures are medians over the
repetitions, which Google Benchmark shuffles between all benchmarks of one program.
"""

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PROGRAMS_FOLDER = TOP / "build/release/bench"
DEADLINE_S = 600  # for all programs together

COLUMNS = {
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
    "made_here": "the vector made here",
    "serial": "serial",
}

COUNTERS = {
    "per_task_ns": "a task",
    "median_ns": "median",
    "p99_ns": "p99",
    "speed_up_x": "speed-up",
    "serial_ns": "serial time",
    "cpu_ns": "CPU time",
    "wake_ups": "wake-ups",
    "growth_mb": "growth after the first tenth",
    "private_mb": "private, all processes",
    "shared_mb": "shared",
}


@dataclass
class Program:
    name: str
    title: str
    words: str
    repetitions: int = 5
    columns: dict = field(default_factory=dict)  # labels other than those of COLUMNS
    rows: dict = field(default_factory=dict)  # labels of rows; else their names
    hidden: tuple = ()  # counters that are in the raw figures only


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
        "is the limit and serial code is hard to beat. A million numbers' steps to 1 in the Collatz sequence: work "
        "of a few hundred nanoseconds an element. Serial is `std::transform_reduce`, oneTBB is `parallel_reduce`.",
        columns={"tbb": "oneTBB `parallel_reduce`, 2 threads"},
        rows={"squares": "10 million squares", "collatz": "1 million Collatz sequences"},
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
        "one buffer that it keeps.",
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
        "killed, reaped, forked anew and heard of through a pipe stands beside it.",
        columns={"process_pool": "**ProcessPool**, 1 worker"},
    ),
]


# Figures -----------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What one program measured: samples[row][column][counter], and the errors of what failed."""

    samples: dict
    errors: list
    date: str
    load: float
    cpus: int
    repetitions: int

    def all(self, row, column, counter):
        return self.samples.get(row, {}).get(column, {}).get(counter, [])

    def median(self, row, column, counter):
        values = self.all(row, column, counter)
        return statistics.median(values) if values else None


def read_figures(path):
    raw = json.loads(path.read_text())
    samples, errors, repetitions = {}, [], 0
    for run in raw["benchmarks"]:
        if run.get("run_type") != "iteration":
            continue
        row, column = run["run_name"].split("/")[:2]
        if run.get("error_occurred"):
            errors.append(f"{row}/{column}: {run.get('error_message', 'failed')}")
            continue
        repetitions = max(repetitions, run.get("repetition_index", 0) + 1)
        cell = samples.setdefault(row, {}).setdefault(column, {})
        for key, value in run.items():
            if key in COUNTERS:
                cell.setdefault(key, []).append(value)
    context = raw["context"]
    load = (context.get("load_avg") or [0.0])[0]
    return Figures(samples, sorted(set(errors)), context["date"][:10], load, context["num_cpus"], repetitions)


def shown(value, counter):
    """A value with its unit, in three digits."""
    if value is None:
        return "–"
    unit = counter.rsplit("_", 1)[-1]
    if unit == "ns":
        for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)):
            if abs(value) >= scale or unit == "ns":
                return f"{digits(value / scale)} {unit}"
    if unit == "x":
        return f"{value:.2f}×"
    if unit == "mb":
        return f"{value:.1f} MB"
    return digits(value)


def digits(value):
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


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
    Target("CPU time of an idle pool in 10 s", "< 1 ms", "idle", ("10 s idle", "process_pool", "cpu_ns"),
           lambda value, rival: value < 1e6),
    growth("10 million by `map`", "10 million tasks by map"),
    growth("10 million by `map_unordered`", "10 million tasks by map_unordered"),
    growth("half a million strings", "half a million strings of 0.5 to 1.5 KB by map"),
]


def target_lines(figures):
    lines = [
        "| target | reach | median | lowest – highest | rival in the same run | ratio | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for target in TARGETS:
        program = figures.get(target.program)
        values = program.all(*target.cell) if program else []
        if not values:
            lines.append(f"| {target.what} | {target.limit} | – | | | | not measured |")
            continue
        value, counter = statistics.median(values), target.cell[2]
        rival = program.median(*target.rival) if target.rival else None
        beside = f"{target.rival_name}: {shown(rival, counter)}" if rival is not None else ""
        ratio = f"{value / rival:.2f}×" if rival else ""
        if target.per_rival and ratio:
            ratio = f"**{ratio}**"
        verdict = "reached" if target.reached(value, rival) else "**missed**"
        spread = f"{shown(min(values), counter)} – {shown(max(values), counter)}"
        lines.append(f"| {target.what} | {target.limit} | {shown(value, counter)} | {spread} | {beside} | {ratio} "
                     f"| {verdict} |")
    return lines


# The report --------------------------------------------------------------------------------------


def table_lines(program, figures):
    rows = list(figures.samples)
    present = {column for row in figures.samples.values() for column in row}
    columns = [column for column in COLUMNS if column in present]
    order = {name: i for i, name in enumerate(program.rows)}
    rows.sort(key=lambda row: (order.get(row, len(order)), position_of(row), row))
    labels = [program.columns.get(column, COLUMNS[column]) for column in columns]
    lines = ["| | " + " | ".join(labels) + " |", "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        counters = [c for c in COUNTERS if any(figures.all(row, column, c) for column in columns)]
        counters = [c for c in counters if c not in program.hidden]
        for counter in counters:
            name = program.rows.get(row, row) + (f", {COUNTERS[counter]}" if len(counters) > 1 else "")
            base = figures.median(row, columns[0], counter)
            cells = []
            for column in columns:
                value = figures.median(row, column, counter)
                cell = shown(value, counter)
                if value is not None and base and column != columns[0] and counter.endswith("_ns"):
                    cell += f" ({digits(value / base)}×)"
                cells.append(cell)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def position_of(row):
    """Rows that name a size or a time stand in the order of those, the rest as they come by name."""
    match = re.match(r"(\d+) (B|KB|MB|us|ms)\b(.*)", row)
    if not match:
        return -1.0
    scale = {"B": 1.0, "KB": 1e3, "MB": 1e6, "us": 1e3, "ms": 1e6}[match[2]]
    return float(match[1]) * scale + (1e12 if "result" in match[3] else 0.0)


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine_lines():
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    virtual = ", a virtual machine" if re.search(r"flags\s*:.*\bhypervisor\b", cpuinfo) else ""
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    cache = TOP / "build/release/CMakeCache.txt"
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", cache.read_text() if cache.exists() else "")
    version = output_of(compiler[1] if compiler else "c++", "--version").split("\n")[0]
    flags = re.search(r"CMAKE_CXX_FLAGS_RELEASE:\w+=(.*)", cache.read_text() if cache.exists() else "")
    packages = [line for line in output_of("dpkg-query", "-W", "-f=${Package} ${Version}\n", "libbenchmark-dev",
                                           "libtbb-dev").split("\n") if line]
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return [
        f"- CPU: {model[1].strip() if model else platform.machine()}, {os.cpu_count()} cores{virtual}, "
        f"{int(memory[1]) / 2**20 if memory else 0:.0f} GB of memory",
        f"- Kernel: Linux {platform.release()}; {system[1] if system else ''}",
        f"- Compiler: {version}, `{flags[1] if flags else ''}`",
        f"- Packages: {', '.join(packages)}" if packages else "- Packages: unknown",
    ]


def report(figures):
    dates = sorted({f.date for f in figures.values()})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    out = [
        "# Benchmarks",
        "",
        "Written by `scripts/bench`, all of it; change words there, in `scripts/bench_report.py`. To repeat:",
        "",
        "    scripts/bench                    # all, some minutes on a quiet machine",
        "    scripts/bench --only tiny_tasks  # one program of bench/",
        "",
        f"Measured {days} on",
        "",
        *machine_lines(),
        "",
        "Every figure is the median over its repetitions. Repetitions of all rivals in a table are shuffled among "
        "each other, so that what disturbs one disturbs all; what counts are ratios within one table. In brackets: "
        "the figure divided by the one in the first column. Every benchmark checks what it computes.",
        "",
        "## Targets",
        "",
        *target_lines(figures),
    ]
    for program in PROGRAMS:
        if program.name not in figures:
            continue
        result = figures[program.name]
        out += ["", f"## {program.title}", "", program.words, "", *table_lines(program, result), ""]
        note = f"`bench/{program.name}.cpp`, {result.repetitions} repetitions, {result.date}."
        if result.load > 0.5 * result.cpus:
            note += f" **The machine was busy with other things**: load {result.load:.1f} when this began."
        out.append(note)
        out += [f"Failed: {error}" for error in result.errors]
    return "\n".join(out) + "\n"


# Running -----------------------------------------------------------------------------------------


def run(program, into, quick, seconds):
    """Runs one program; the trouble as a string, or None."""
    environment = dict(os.environ)
    environment.pop("RETINUE_BENCH_QUICK", None)
    if quick:
        environment["RETINUE_BENCH_QUICK"] = "1"
    partial = into.with_suffix(".partial")
    command = [
        str(PROGRAMS_FOLDER / program.name),
        f"--benchmark_repetitions={3 if quick else program.repetitions}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_out={partial}",
        "--benchmark_out_format=json",
    ]
    log = into.with_suffix(".log")
    with log.open("w") as output:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        except OSError as error:
            return f"cannot be run: {error}"
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"ran out of time after {seconds:.0f} s; its words are in {log.relative_to(TOP)}"
        except BaseException:
            process.kill()
            process.wait()
            raise
    if status != 0:
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
        return f"{how}; its words are in {log.relative_to(TOP)}"
    partial.replace(into)
    return None


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        choices=[program.name for program in PROGRAMS])
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()

    folder = TOP / "build/bench" / ("quick" if arguments.quick else "")
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "benchmarks.md" if arguments.quick else TOP / "docs/benchmarks.md"
    give_up_at = time.monotonic() + DEADLINE_S
    troubles = []
    for program in PROGRAMS:
        if arguments.report or (arguments.only and program.name not in arguments.only):
            continue
        start = time.monotonic()
        print(f"{program.name} ...", end=" ", flush=True)
        trouble = run(program, folder / f"{program.name}.json", arguments.quick, max(1.0, give_up_at - start))
        print(trouble or f"{time.monotonic() - start:.0f} s", flush=True)
        if trouble:
            troubles.append(f"{program.name} {trouble}")

    figures = {}
    for program in PROGRAMS:
        path = folder / f"{program.name}.json"
        if path.exists():
            figures[program.name] = read_figures(path)
            if not arguments.only or program.name in arguments.only:
                troubles += [f"{program.name}: {error}" for error in figures[program.name].errors]
    if not figures:
        sys.exit("scripts/bench: nothing has been measured yet")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(report(figures))
    print()
    print("\n".join(target_lines(figures)))
    print(f"\nWritten: {place.relative_to(TOP)}")
    for trouble in troubles:
        print(f"scripts/bench: {trouble}", file=sys.stderr)
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
