"""Endurance of the Python package, by hand: pools in a row, a long time of mixed load with deaths, and one without, in which
workers grow old.

    .venv/bin/python tests/endurance/endurance.py pools
    .venv/bin/python tests/endurance/endurance.py steady --seconds 1200
    .venv/bin/python tests/endurance/endurance.py workers --seconds 600
    .venv/bin/python tests/endurance/endurance.py --help

Growth is the mean of the last quarter of the samples less the mean of the second quarter; below three standard errors it
is taken for coming and going. Exit status: 0 if nothing grew, 1 if something did or a task ended otherwise than it should.
"""

import argparse
import ctypes
import gc
import multiprocessing
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time

import numpy as np

import retinue
from retinue.futures import ProcessPoolExecutor

# What is used ---------------------------------------------------------------------------------------

KILOBYTES = ("owner_private", "owner_resident", "workers_private", "servers_resident", "servers_pss", "all_pss", "shared")
KILOBYTES += ("owner_allocated", "workers_allocated")
COUNTS = ("owner_objects", "workers_objects", "owner_descriptors", "all_descriptors", "owner_mappings", "threads", "processes")


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""  # the process has ended


def count(folder):
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0


def family(pid):
    """`pid`, what it has started, and so on."""
    pids = [pid]
    for each in pids:
        tasks = f"/proc/{each}/task"
        for task in os.listdir(tasks) if os.path.isdir(tasks) else ():
            pids += [int(child) for child in read(f"{tasks}/{task}/children").split()]
    return pids


def number(text, name):
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name + ":")), 0)


def allocated():
    """What this process has got from the C library and not freed, in KB."""

    class Allocated(ctypes.Structure):  # what mallinfo2 gives
        _fields_ = [(name, ctypes.c_size_t) for name in
                    "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]  # fmt: skip

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Allocated
    info = mallinfo()
    return (info.uordblks + info.hblkhd) // 1024


def usage():
    """What this process and all that it has started use; memory in KB."""
    gc.collect()
    own = os.getpid()
    status = read(f"/proc/{own}/status")
    pids = family(own)
    rollups = {pid: read(f"/proc/{pid}/smaps_rollup") for pid in pids}
    names = {pid: read(f"/proc/{pid}/comm").strip() for pid in pids}

    def total(what, name):
        return sum(number(rollups[pid], each) for pid in pids if names[pid] == name for each in what)

    return {
        "owner_private": number(status, "RssAnon"),
        "owner_resident": number(status, "VmRSS"),
        "workers_private": total(["Private_Clean", "Private_Dirty"], "retinue-worker"),
        "servers_resident": total(["Rss"], "retinue-server"),
        "servers_pss": total(["Pss"], "retinue-server"),  # rises to the above as the owner writes to what both had
        # Without files, whose share depends on who else on the machine has them open.
        "all_pss": sum(number(rollup, name) for rollup in rollups.values() for name in ("Pss_Anon", "Pss_Shmem")),
        "shared": retinue.shared_memory_usage()["bytes_reserved"] // 1024,
        "owner_allocated": allocated(),
        "owner_objects": len(gc.get_objects()),
        "owner_descriptors": count(f"/proc/{own}/fd"),
        "all_descriptors": sum(count(f"/proc/{pid}/fd") for pid in pids),
        "owner_mappings": read(f"/proc/{own}/maps").count("\n"),
        "threads": number(status, "Threads"),
        "processes": len(pids) - 1,
    }


FEWEST = 4  # samples that growth can be told from


def growth_of(samples, name):
    """Means of the second and the last quarter, and the standard error of their difference."""
    n = len(samples)
    quarters = [[s[name] for s in samples[n // 4 : n // 2]], [s[name] for s in samples[n - n // 4 :]]]
    square = sum(statistics.variance(q) / len(q) for q in quarters if len(q) > 1)
    return statistics.mean(quarters[0]), statistics.mean(quarters[1]), square**0.5


def judge(samples, allow_kb, allow_count, out=sys.stdout):
    """Prints a table and returns the names of what grew."""
    if len(samples) < FEWEST:
        raise SystemExit("too few samples to tell")
    grown = []
    print("\n| | second quarter | last quarter | growth | its standard error | allowed | |", file=out)
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |", file=out)
    for name in [name for name in KILOBYTES + COUNTS if name in samples[0]]:
        before, after, error = growth_of(samples, name)
        allowed = allow_kb if name in KILOBYTES else max(allow_count, 50 if name.endswith("_objects") else 0)
        grows = after - before > max(allowed, 3 * error)
        grown += [name] if grows else []
        print(f"| {name} | {before:.1f} | {after:.1f} | {after - before:+.1f} | {error:.1f} | {allowed} "
              f"| {'**grows**' if grows else ''} |", file=out)
    print("\n" + (f"It grows: {', '.join(grown)}" if grown else "Nothing grows."), file=out)
    return grown


class Record:
    def __init__(self, args, what):
        self.args, self.what, self.samples = args, what, []
        self.start = self.reported = time.monotonic()

    def sample(self, progress, **more):
        now = time.monotonic()
        self.samples.append(usage() | more)
        if self.args.csv:
            with open(self.args.csv, "a") as out:
                if out.tell() == 0:
                    print("run", "seconds", *self.samples[-1], sep=",", file=out)
                print(self.what, round(now - self.start, 1), *self.samples[-1].values(), sep=",", file=out)
        if sys.stdout.isatty() or now - self.reported >= 60:
            self.reported = now
            print(f"{now - self.start:6.0f} s  {progress}: {self.samples[-1]}", flush=True)

    def judge(self):
        print(f"\n{self.what}: {len(self.samples)} samples in {time.monotonic() - self.start:.1f} s")
        return not judge(self.samples, self.args.allow_kb, self.args.allow_count)


# Tasks ----------------------------------------------------------------------------------------------


def square(x):
    return x * x


def turned(data):
    return data[::-1]


def doubled(array):
    return array * 2


def fail(x):
    raise KeyError(x)


def fill(array, value):
    array[:] = value


def expect(condition, what):
    if not condition:
        raise AssertionError(f"wrong: {what}")


# Pools ----------------------------------------------------------------------------------------------


def use(pool, i):
    expect(pool.submit(square, i).result(60) == i * i, "a task")
    expect(list(pool.map(square, range(200))) == [k * k for k in range(200)], "a map")
    if i % 3 == 1:
        expect(pool.submit(doubled, np.full(100_000, 1.5)).result(60)[-1] == 3.0, "an array")
    if i % 5 == 2:
        expect(isinstance(pool.submit(os.kill, os.getpid(), 0).exception(60), type(None)), "a system call")
        expect(isinstance(pool.submit(os._exit, 3).exception(60), retinue.WorkerDied), "a death")


def pools_in_a_row(args, method, n):
    record = Record(args, f"{n} pools in a row, {method}")
    context = multiprocessing.get_context(method)
    for i in range(n):
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            use(pool, i)
        del pool
        record.sample(f"{i + 1} pools")
    return record.judge()


def run_pools(args):
    n = args.count or 100
    results = [pools_in_a_row(args, "fork", n), pools_in_a_row(args, "spawn", max(8, n // 5))]
    return all(results)


# Steady load ----------------------------------------------------------------------------------------


class Client:
    """One of the program's threads that use the pool."""

    def __init__(self, pool, seed, deaths):
        self.pool, self.random, self.steps, self.deaths = pool, random.Random(seed), 0, deaths
        self.again = pool.options(retries=1000)
        self.kinds = [self.one_by_one, self.many, self.mapped, self.mapped_in_any_order, self.large, self.array,
                      self.thrown, self.called, self.shared, self.by_value]
        self.kinds += [self.too_long, self.cancelled] if deaths else []

    def step(self):
        n = self.random.randrange(100)
        if not self.deaths:
            self.random.choice(self.kinds)()
        elif n == 0:
            self.pool_of_its_own()
        elif n <= 2:
            self.crashed()
        else:
            self.random.choice(self.kinds)()
        self.steps += 1

    def one_by_one(self):
        for _ in range(50):
            x = self.random.randrange(1_000_000)
            expect(self.again.submit(square, x).result(60) == x * x, "a small task")

    def many(self):
        futures = [self.again.submit(square, i) for i in range(5000)]
        for i in range(self.random.randrange(5000)):
            expect(futures[i].result(60) == i * i, "one of many")

    def mapped(self):
        stop = self.random.randrange(1, 3000)
        results = self.again.map(square, range(10_000))
        for i, y in enumerate(results):
            expect(y == i * i, "a map")
            if i == stop:
                break
        results.close()

    def mapped_in_any_order(self):
        results = self.pool.options(retries=1000, ordered=False).map(square, range(2000))
        expect(sum(results) == sum(i * i for i in range(2000)), "a map in any order")

    def large(self):
        sent = os.urandom(int(2 ** self.random.uniform(0, 23)))
        future = self.again.submit(turned, sent)
        if self.random.randrange(8):
            expect(future.result(60) == sent[::-1], "bytes there and back")

    def array(self):
        n = int(2 ** self.random.uniform(0, 20))
        back = self.again.submit(doubled, np.full(n, 2.5)).result(60)
        expect(len(back) == n and back[-1] == 5.0, "an array there and back")

    def thrown(self):
        error = self.again.submit(fail, 7).exception(60)
        expect(isinstance(error, KeyError) and error.args == (7,), "an exception")

    def too_long(self):
        error = self.pool.options(timeout=0.005, retries=1000).submit(time.sleep, 3600).exception(60)
        expect(isinstance(error, retinue.TaskTimeout), "a task that takes too long")

    def called(self):
        calls, all_there = [], threading.Event()

        def note(future):
            calls.append(future.result())
            if len(calls) == 100:
                all_there.set()

        for i in range(100):
            self.again.submit(square, i).add_done_callback(note)
        expect(all_there.wait(60), "100 callbacks")

    def cancelled(self):
        future = self.again.submit(time.sleep, 3600)
        future.cancel(force=True)
        try:
            future.result(60)
            expect(False, "a task that was cancelled")
        except retinue.Cancelled:
            pass

    def shared(self):
        array = retinue.shared_array(1 + self.random.randrange(100_000))
        self.again.submit(fill, array, 3.0).result(60)
        expect(array[0] == 3.0 and array[-1] == 3.0, "a shared array")

    def by_value(self):
        k = self.random.randrange(20)  # each is kept
        expect(self.again.submit(lambda x: x + k, 1).result(60) == k + 1, "a closure")

    def crashed(self):
        number = self.random.choice([signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
        error = self.pool.submit(lambda: os.kill(os.getpid(), number)).exception(60)
        expect(isinstance(error, retinue.WorkerDied), "a crash")

    def pool_of_its_own(self):
        with ProcessPoolExecutor(2) as pool:
            expect(pool.submit(square, 3).result(60) == 9, "another pool")


def work(args, client, end, into):
    try:
        while time.monotonic() < end:
            client.step()
            time.sleep(args.pause / 1000)
    except BaseException as error:  # reported by the main thread
        into.append(error)
    into.append(client.steps)


def one_round(args, pool, seed, end):
    outcomes, randomly, deaths = [], random.Random(seed), args.mode == "steady"
    clients = [Client(pool, seed * 2 + i, deaths) for i in range(2)]
    threads = [threading.Thread(target=work, args=(args, client, end, outcomes)) for client in clients]
    for thread in threads:
        thread.start()
    next_kill = time.monotonic() + 0.5
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
        if deaths and time.monotonic() >= next_kill:
            next_kill = time.monotonic() + randomly.uniform(0.5, 3)
            pids = pool.worker_pids()
            if pids:
                os.kill(randomly.choice(pids), signal.SIGKILL)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return sum(outcomes)


def come_to_rest(args, pool, workers):
    """Until none of these workers is left, nor anything of the tasks."""
    give_up = time.monotonic() + 60
    while True:
        gc.collect()
        now = pool.worker_pids()
        in_use = retinue.shared_memory_usage()["bytes_in_use"]
        if in_use <= args.at_start and len(now) == args.workers and not set(now) & set(workers):
            break
        expect(time.monotonic() < give_up, f"the pool comes to rest: {retinue.shared_memory_usage()}")
        time.sleep(0.01)
    time.sleep(args.rest)
    ctypes.CDLL(None).malloc_trim(0)  # what the C library keeps comes and goes by megabytes


def replaced(pool):
    """The workers, all killed: in each sample they are then as young, for an old one keeps more memory for its next tasks."""
    workers = pool.worker_pids()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    return workers


def look_at_worker(pause, allocated):
    time.sleep(pause)  # so that others take the next
    gc.collect()
    return os.getpid(), allocated(), sys.getallocatedblocks()


def allocated_by_workers(args, pool):
    """What has been allocated in all workers and not been freed."""
    seen = {}
    give_up = time.monotonic() + 60
    while len(seen) < args.workers:
        expect(time.monotonic() < give_up, "each worker takes a task")
        seen |= {pid: rest for pid, *rest in pool.map(look_at_worker, [0.05] * args.workers * 2, [allocated] * args.workers * 2)}
    return {"workers_allocated": sum(kb for kb, _ in seen.values()), "workers_objects": sum(n for _, n in seen.values())}


def run_steady(args):
    deaths = args.mode == "steady"
    record = Record(args, f"{args.seconds} s of steady load in Python, {'with' if deaths else 'without'} deaths")
    print(f"seed {args.seed}, process {os.getpid()}", flush=True)
    end, steps, n = time.monotonic() + args.seconds, 0, 0
    with ProcessPoolExecutor(args.workers) as pool:
        expect(list(pool.map(square, range(100)))[-1] == 9801, "a first map")
        args.at_start = 1 << 20  # code that is kept for the workers
        while time.monotonic() < end or n < FEWEST:
            steps += one_round(args, pool, args.seed * 1_000_003 + n, time.monotonic() + args.sample)
            n += 1
            come_to_rest(args, pool, replaced(pool) if deaths else [])
            record.sample(f"{steps} steps", **({} if deaths else allocated_by_workers(args, pool)))
        stats = pool.stats()
    print(f"{steps} steps, {stats['finished']} tasks, {stats['workers_died']} deaths")
    return record.judge()


def return_freed_memory():
    """Asks the C library to return freed memory to the system. Else it keeps the end of each thread's heap, up to twice the
    largest block that was ever freed, and what is resident goes up and down by tens of megabytes."""
    mallopt, trim_threshold, mmap_threshold = ctypes.CDLL(None).mallopt, -1, -3
    mallopt(trim_threshold, 128 * 1024)
    mallopt(mmap_threshold, 128 * 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["pools", "steady", "workers"])
    parser.add_argument("--count", type=int, default=0, help="of pools (100)")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1200, help="how long steady and workers go on")
    parser.add_argument("--sample", type=float, default=15, help="a sample every so many seconds, at rest")
    parser.add_argument("--rest", type=float, default=5, help="before a sample all is quiet for so many seconds")
    parser.add_argument("--pause", type=float, default=0, help="ms between two steps of a client")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", help="appends each sample to this file")
    parser.add_argument("--allow-kb", type=float, default=1024, help="growth of memory that is no growth")
    parser.add_argument("--allow-count", type=float, default=0.5, help="the same of descriptors, mappings, and so on")
    args = parser.parse_args()
    return_freed_memory()
    sys.exit(0 if {"pools": run_pools, "steady": run_steady, "workers": run_steady}[args.mode](args) else 1)


if __name__ == "__main__":
    main()
