"""What the Python benchmarks share: shuffled repetitions, and figures in the form of Google Benchmark's JSON."""

import argparse
import json
import os
import random
import statistics
import sys
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="where the figures go, as JSON")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--repetitions", type=int, default=0)
    return parser.parse_args()


class NotMeasured(Exception):
    """Raised by a benchmark that cannot be run here, or not in reasonable time; its cell stays empty, and the report
    has the reason."""


def run(benchmarks, args, repetitions=5, at_most=None):
    """`benchmarks`: (row, column, function that gives {counter: value}). Each is run so many times, in random order;
    those of a row in `at_most`, at most so many times."""
    repetitions = args.repetitions or (2 if args.quick else repetitions)
    load, date = list(os.getloadavg()), time.strftime("%Y-%m-%dT%H:%M:%S")
    times = {row: min(repetitions, (at_most or {}).get(row, repetitions)) for row, _, _ in benchmarks}
    plan = [(row, column, f, i) for row, column, f in benchmarks for i in range(times[row])]
    random.Random(1).shuffle(plan)
    results = []
    for row, column, f, repetition in plan:
        entry = {"run_type": "iteration", "run_name": f"{row}/{column}", "repetition_index": repetition}
        try:
            entry.update(f())
        except NotMeasured as reason:
            entry.update(run_type="not measured", reason=str(reason))
        except Exception as error:  # the report says so, and the others go on
            entry.update(error_occurred=True, error_message=f"{type(error).__name__}: {error}")
        results.append(entry)
        print(f"{row}/{column}", {k: round(v, 3) for k, v in entry.items() if isinstance(v, float)}, file=sys.stderr)
    with open(args.out, "w") as out:
        context = {"date": date, "load_avg": load, "num_cpus": os.cpu_count()}
        json.dump({"context": context, "benchmarks": results}, out)


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
