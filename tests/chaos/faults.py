"""What is done to the processes of a pool, and to their owner, while tasks run."""

import gc
import os
import random
import resource
import signal
import threading
import time

import retinue


def parent_of(pid):
    """0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


class Victim:
    """A process of the pool, held by a descriptor: no other process is hit that is given its pid later."""

    def __init__(self, pid, is_ours):
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)
        if not is_ours(pid):  # asked while the descriptor holds it
            os.close(self.descriptor)
            raise ProcessLookupError(pid)

    def send(self, number):
        signal.pidfd_send_signal(self.descriptor, number)

    def close(self):
        os.close(self.descriptor)


def is_worker(pid):
    return parent_of(parent_of(pid)) == os.getpid()


def is_server(pid):
    return parent_of(pid) == os.getpid()


class FaultThread:
    """A thread that injects faults into one pool, at random times drawn from the round's seed."""

    def __init__(self, pool, faults, seed):
        """`faults`: names, and the mean time between two in seconds."""
        self.killed = set()  # pids
        self.server_killed = False
        self.limited = False  # shared memory, at some time
        self.done = {}
        self._pool = pool
        self._faults = faults
        self._random = random.Random(seed)
        self._enough = threading.Event()
        self._stopped = []  # (when it goes on, victim)
        self._undo = []  # (when, what)
        self._thread = threading.Thread(target=self._run, name="fault_thread", daemon=True)
        self._failure = None
        self._finished = self._vain = 0

    def __enter__(self):
        if self._faults:
            self._thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self._enough.set()
        if self._thread.ident:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self):
        try:
            due = {name: time.monotonic() + self._random.expovariate(1 / mean) for name, mean in self._faults.items()}
            while not self._enough.is_set():
                now = time.monotonic()
                for name in [n for n, at in due.items() if at <= now]:
                    getattr(self, "_" + name.replace("-", "_"))()
                    # Less and less, so that the round ends also where workers take long to start; quickly so while
                    # nothing comes of any task, for on a busy machine each worker may die in its first.
                    mean = self._faults[name] * (1 + self.done.get(name, 0) / 30) * 1.3 ** min(self._in_vain(), 30)
                    due[name] = now + self._random.expovariate(1 / mean)
                self._go_on(time.monotonic())
                times = [*due.values(), *(at for at, _ in self._undo)]
                self._enough.wait(max(min(times) - time.monotonic(), 0.0005))
        except BaseException as error:
            self._failure = error
        finally:
            self._go_on(float("inf"))

    def _in_vain(self):
        """How many faults in a row have found that no task has given its value since the one before."""
        stats = self._pool.stats()
        finished = stats["finished"] - stats["failed"] - stats["cancelled"]
        self._vain = self._vain + 1 if finished == self._finished else 0
        self._finished = finished
        return self._vain

    def _go_on(self, now):
        for entry in [e for e in self._undo if e[0] <= now]:
            self._undo.remove(entry)
            entry[1]()

    def _later(self, seconds, what):
        self._undo.append((time.monotonic() + seconds, what))

    def _note(self, name):
        self.done[name] = self.done.get(name, 0) + 1

    def _victim(self):
        pids = self._pool.worker_pids()
        if not pids:
            return None
        try:
            return Victim(self._random.choice(pids), is_worker)
        except OSError:
            return None

    def _server(self):
        pids = {parent_of(pid) for pid in self._pool.worker_pids()} - {0}
        try:
            return Victim(pids.pop(), is_server) if pids else None
        except OSError:
            return None

    def _kill(self):
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            victim = self._victim()
            if victim is None:
                continue
            before = victim.pid in self.killed
            self.killed.add(victim.pid)  # first, for its death may be reported at once
            try:
                victim.send(signal.SIGKILL)
                self._note("kill")
            except ProcessLookupError:
                if not before:
                    self.killed.discard(victim.pid)
            victim.close()

    def _stop(self):
        self._stop_it(self._victim(), "stop")

    def _stop_server(self):
        self._stop_it(self._server(), "stop-server")

    def _stop_it(self, victim, name):
        if victim is None:
            return
        try:
            victim.send(signal.SIGSTOP)
            self._note(name)
        except ProcessLookupError:
            victim.close()
            return

        def go_on():
            try:
                victim.send(signal.SIGCONT)
            except ProcessLookupError:
                pass
            victim.close()

        self._later(self._random.choice((0.002, 0.02, 0.06)), go_on)

    def _kill_server(self):
        victim = self._server()
        if victim is None:
            return
        self.server_killed = True
        try:
            victim.send(signal.SIGKILL)
            self._note("kill-server")
        except ProcessLookupError:
            pass
        victim.close()

    def _shared_memory(self):
        """Little shared memory is left for a while."""
        self.limited = True
        used = retinue.shared_memory_usage()["bytes_in_use"]
        retinue.limit_shared_memory(used + self._random.choice((1, 100_000, 4_000_000)))
        self._note("shared-memory")
        self._later(self._random.choice((0.002, 0.02, 0.05)), lambda: retinue.limit_shared_memory(None))

    def _owner_descriptors(self):
        """The owner cannot open anything for a while."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 100:
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        self._note("owner-descriptors")
        self._later(self._random.choice((0.002, 0.02)), lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))

    def _jump(self):
        """The time of day jumps: for Python code, since the machine's clock is not ours to set."""
        real, by = REAL_TIME, self._random.choice((-1e9, -60.0, 60.0, 1e9))
        time.time = lambda: real() + by
        self._note("jump")

        def back():
            time.time = real

        self._later(self._random.choice((0.005, 0.05)), back)

    def _signals(self):
        """A timer's signals interrupt what the owner's main thread waits in."""
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)
        self._note("signals")
        self._later(0.05, lambda: signal.setitimer(signal.ITIMER_REAL, 0))

    def _collect(self):
        gc.collect()
        self._note("collect")

    def _owner_forks(self):
        """A child of the owner that leaves at once."""
        child = os.fork()
        if child == 0:
            os._exit(0)
        self._note("owner-forks")
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
            raise AssertionError("a child of the owner did not leave as it should")


REAL_TIME = time.time
