"""What makes a process like that of a program that has grown: NumPy loaded and used, threads that wait, many live objects;
and neighbours, processes that have work for a CPU each."""

import contextlib
import mmap
import os
import threading
import time

THREADS = 20
OBJECTS_MB = 300
kept = []


def gather():
    use_numpy()
    idle_threads()
    live_objects()


def use_numpy():
    import numpy

    numbers = numpy.random.default_rng(1).random((400, 400))
    kept.append(numbers @ numbers)  # which starts the threads of its BLAS, as many as there are CPUs


def idle_threads(n=THREADS):
    never = threading.Event()
    for _ in range(n):
        threading.Thread(target=never.wait, daemon=True).start()


def live_objects(megabytes=OBJECTS_MB):
    """Tuples, ints and strings, until this process is larger by so much."""
    enough = resident_mb() + megabytes
    while resident_mb() < enough:
        kept.append([(i, str(i)) for i in range(10_000)])


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE / 1e6


class Neighbours:
    """Processes that count, pinned nowhere, one for each CPU but one. To be made before there are other threads.

    A context manager; `count()` is what they have counted together.
    """

    def __init__(self):
        self.n = len(os.sched_getaffinity(0)) - 1
        # 64 bytes apart, so that they are in nobody's way.
        self.counters = memoryview(mmap.mmap(-1, 64 * max(self.n, 1))).cast("q")[::8]
        self.pids = []

    def __enter__(self):
        parent = os.getpid()
        try:
            for i in range(self.n):
                pid = os.fork()
                if pid == 0:
                    self._work(i, parent)
                self.pids.append(pid)
            while self.n and not all(self.counters):
                time.sleep(0.001)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _work(self, i, parent):
        """Counts until its parent is gone, or it is killed."""
        try:
            done = 0
            while os.getppid() == parent:
                for _ in range(500):
                    pass
                done += 1
                self.counters[i] = done
        finally:
            os._exit(0)

    def __exit__(self, *_):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            os.waitpid(pid, 0)
        self.pids.clear()

    def count(self):
        return sum(self.counters)
