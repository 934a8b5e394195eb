"""What the Python benchmarks share: how each is run in a process of its own, and figures in the form of Google
Benchmark's JSON.

A program makes a list of benchmarks and calls `run`. That starts the same program again, with `--serve`, once for each
column, so that a rival shares its process with nobody: its threads, its memory and its idle workers are in nobody's way.
Such a process makes its rival when it is first asked for a benchmark, and stays for the next repetition; those of `ENDS`,
which bring processes that work in the background, end before anybody else is measured.
"""

import argparse
import contextlib
import json
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import crowd

ENDS = ("ray", "dask")  # columns
GIVE_UP_S = 300  # for one benchmark


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", help="where the figures go, as JSON")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--repetitions", type=int, default=0)
    parser.add_argument("--row", help="only benchmarks of this row")
    parser.add_argument("--serve", action="store_true", help="run what standard input names; for the program itself")
    parser.add_argument("--crowded", action="store_true", help="the same, in a crowded process")
    args = parser.parse_args()
    if not (args.out or args.serve):
        parser.error("--out is required")
    return args


class NotMeasured(Exception):
    """Raised by a benchmark that cannot be run here, or not in reasonable time; its cell stays empty, and the report
    has the reason."""


@dataclass
class Benchmark:
    """One cell of a table: `measure()` gives {counter: value}."""

    row: str
    column: str
    measure: object
    crowded: bool = False  # in a process with other things in it (crowd.py)
    fresh: bool = False  # in a process that has measured nothing before
    at_most: int = 1000  # repetitions

    @property
    def name(self):
        return f"{self.row}/{self.column}"


def run(benchmarks, args, repetitions=5):
    """Each is run so many times, all in random order, and the figures are written where the arguments say."""
    by_name = {b.name: b for b in benchmarks}
    expect(len(by_name) == len(benchmarks), "a benchmark has its name for itself")
    if args.serve:
        serve(by_name, args.crowded)
        return
    repetitions = args.repetitions or (2 if args.quick else repetitions)
    wanted = [b for b in benchmarks if args.row in (None, b.row)]
    load, date = list(os.getloadavg()), time.strftime("%Y-%m-%dT%H:%M:%S")
    results = []
    with contextlib.ExitStack() as at_end:
        serving = {}
        for benchmark, repetition in plan(wanted, repetitions):
            place = benchmark.column, benchmark.crowded
            for other in [key for key in serving if key[0] in ENDS and key != place]:
                serving.pop(other).end()
            if benchmark.fresh and place in serving:
                serving.pop(place).end()
            if place not in serving:
                serving[place] = Process(args.quick, benchmark.crowded)
                at_end.callback(serving[place].end)
            entry = {"run_type": "iteration", "run_name": benchmark.name, "repetition_index": repetition}
            entry.update(serving[place].measure(benchmark))
            if benchmark.fresh or serving[place].ended:
                serving.pop(place).end()
            results.append(entry)
            shown = {k: round(v, 3) for k, v in entry.items() if isinstance(v, float)}
            print(benchmark.name, shown, entry.get("error_message", ""), file=sys.stderr)
    with open(args.out, "w") as out:
        context = {"date": date, "load_avg": load, "num_cpus": os.cpu_count()}
        json.dump({"context": context, "benchmarks": results}, out)


def plan(benchmarks, repetitions):
    """(benchmark, repetition) in random order; what a column of `ENDS` has in a repetition stands together."""
    together = {}
    for benchmark in benchmarks:
        for i in range(min(repetitions, benchmark.at_most)):
            key = (benchmark.column, benchmark.crowded, i) if benchmark.column in ENDS else (benchmark.name, i)
            together.setdefault(key, []).append((benchmark, i))
    groups = list(together.values())
    random.Random(1).shuffle(groups)
    return [step for group in groups for step in group]


class Process:
    """This program once more, where benchmarks are run by name."""

    def __init__(self, quick, crowded):
        command = [sys.executable, sys.argv[0], "--serve"] + ["--quick"] * quick + ["--crowded"] * crowded
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.ended = False

    def measure(self, benchmark):
        """What it says of this benchmark, or what went wrong."""
        try:
            self.child.stdin.write(benchmark.name.encode() + b"\n")
            self.child.stdin.flush()
            if not select.select([self.child.stdout], [], [], GIVE_UP_S)[0]:
                raise TimeoutError(f"not done in {GIVE_UP_S} s")
            answer = self.child.stdout.readline()
            if not answer:
                raise RuntimeError("its process has ended")
            return json.loads(answer)
        except (OSError, RuntimeError, ValueError) as error:  # too late, dead, or no answer
            self.end(kill=True)
            return {"error_occurred": True, "error_message": f"{type(error).__name__}: {error}"}
        except BaseException:
            self.end(kill=True)
            raise

    def end(self, kill=False):
        """Returns when it is gone. It ends when it finds no more to do, unless it is not expected to come to that."""
        if self.ended:
            return
        self.ended = True
        with contextlib.suppress(OSError):
            self.child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=0 if kill else 30)
        with contextlib.suppress(ProcessLookupError):  # it, if it still lives, and what it has left behind
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self.child.stdout.close()


def serve(by_name, crowded):
    """Runs what standard input names, a line each, and answers each with a line of JSON. Whatever else a benchmark
    prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if crowded:
        crowd.gather()
    for line in sys.stdin:
        try:
            answer = by_name[line.strip()].measure()
        except NotMeasured as reason:
            answer = {"run_type": "not measured", "reason": str(reason)}
        except Exception as error:  # the report says so, and the others go on
            answer = {"error_occurred": True, "error_message": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def timed(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def quantiles(seconds):
    """Median and 99th percentile of single times, in nanoseconds."""
    seconds = sorted(seconds)
    return {
        "median_ns": statistics.median(seconds) * 1e9,
        "p99_ns": seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)] * 1e9,
    }


def expect(condition, what):
    if not condition:
        raise AssertionError(f"computed something wrong: {what}")
