"""How much memory arrays take on their way: each case in a fresh process, looked at from outside while it runs.

`python array_memory.py CASE COLUMN SIZE` is that process. It says on its standard output where it is ("baseline",
"begin", "end", and at last its figures, as JSON) and goes on when a line comes back.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

import numpy as np
from arrays import RIVALS, ends, make, square, total_held, total_of_part
from measure import NotMeasured, expect
from memory import available_gb, remove_named_after, total_bytes

SPACE_GB = 8  # what must be free before a gigabyte is sent: some rivals hold four more
RESERVE_GB = 2  # where a case is stopped, whatever it is doing
GIVE_UP_S = 120


# The process that is looked at --------------------------------------------------------------------


def mark(where):
    print(json.dumps(where), flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody looks any more")


def argument(rival, size):
    array = np.ones(size // 8)
    mark("baseline")
    mark("begin")
    expect(rival.call(total_held, array) == size // 8, "the sum of an array")
    return {}


def result(rival, size):
    mark("baseline")
    mark("begin")
    array = rival.call(make, size)
    expect(array[-1] == 1.0, "the end of an array")
    mark("holding")
    return {}


def tasks_on_one_table(rival, size, n=10_000):
    """Each task sums another part, so that all of the table is read."""
    mark("baseline")
    table = np.ones(size // 8)
    table = rival.share(table)
    mark("begin")
    begin = time.perf_counter()
    sums = list(rival.map(total_of_part, [table] * n, range(n), [n] * n))
    seconds = time.perf_counter() - begin
    expect(sum(sums) == size // 8, "the sum of a table")
    return {"per_task_ns": seconds / n * 1e9}


def one_array_in_a_map(rival, size, n=1000, enough_s=5.0):
    """As many of the tasks as are done in five seconds."""
    array = np.ones(size // 8)
    mark("baseline")
    mark("begin")
    done, begin = 0, time.perf_counter()
    for value in rival.map(ends, [array] * n):
        expect(value == 2.0, "the ends of an array")
        done += 1
        if time.perf_counter() - begin > enough_s:
            break
    return {"per_task_ns": (time.perf_counter() - begin) / done * 1e9}


def a_million_tasks(rival, n):
    """The baseline is what is held after the first tenth."""
    results = iter(rival.map(square, range(n)))
    for _ in range(n // 10):
        next(results)
    mark("baseline")
    mark("begin")
    last = None
    for last in results:
        pass
    expect(last == (n - 1) ** 2, "the last square")
    return {}


CASES = {f.__name__: f for f in (argument, result, tasks_on_one_table, one_array_in_a_map, a_million_tasks)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", metavar="CASE", choices=CASES)
    parser.add_argument("column", metavar="COLUMN", choices=RIVALS)
    parser.add_argument("size", metavar="SIZE", type=int)
    options = parser.parse_args()
    figures = CASES[options.case](RIVALS[options.column](), options.size)
    mark("end")
    print(json.dumps(figures), flush=True)


# Whoever looks ------------------------------------------------------------------------------------


def require_space(size):
    if size >= 10**9 and available_gb() < SPACE_GB:
        raise NotMeasured(f"only {available_gb():.0f} GB of memory free, which some would fill")


def peak(case, column, size):
    """Bytes above the baseline at the worst moment from "begin" to "end", and what the process says of itself."""
    require_space(size)
    child = subprocess.Popen([sys.executable, __file__, case, column, str(size)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, start_new_session=True)
    give_up_at = time.monotonic() + GIVE_UP_S

    def heard(seconds):
        return bool(select.select([child.stdout], [], [], seconds)[0])

    def in_time():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"not done in {GIVE_UP_S} s")

    def listen():
        while not heard(1.0):
            in_time()
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of this case ended with status {child.wait()}")
        return json.loads(line)

    def go_on():
        child.stdin.write("\n")
        child.stdin.flush()

    try:
        where, baseline, highest = listen(), 0, 0
        while where != "end":
            if where == "baseline":
                baseline = total_bytes(child.pid)
            go_on()
            while where != "baseline" and not heard(0.002):
                highest = max(highest, total_bytes(child.pid))
                in_time()
                if available_gb() < RESERVE_GB:
                    raise MemoryError(f"stopped with {highest / 1e9:.1f} GB in use: the machine has no more")
            where = listen()
            if where != "begin":
                highest = max(highest, total_bytes(child.pid))
        go_on()
        figures = listen()
        child.stdin.close()
        child.wait(timeout=GIVE_UP_S)
        return highest - baseline, figures
    except BaseException:
        child.kill()
        child.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        remove_named_after(child.pid)
        raise
    finally:
        child.stdin.close()
        child.stdout.close()


def copies(case, column, size, less=0.0):
    """The peak as a multiple of the array's size, less what has to be there."""
    above, figures = peak(case, column, size)
    return {"copies_x": above / size - less, **figures}


def growth(case, column, n):
    above, figures = peak(case, column, n)
    return {"growth_mb": above / 1e6, **figures}


if __name__ == "__main__":
    main()
