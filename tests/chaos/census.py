"""What this process holds: children and theirs, descriptors, mappings, threads, shared memory, objects."""

import collections
import ctypes
import gc
import os
import time

import retinue

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Processes whose parents end become our children, so that none escapes the census."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def processes():
    """(pid, parent, state, name) of all that can be seen."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    head, _, rest = file.read().rpartition(")")
            except OSError:
                continue
            state, parent = rest.split()[:2]
            yield int(name), int(parent), state, head.partition("(")[2]


def descendants(of=None):
    """{pid: (state, name)}."""
    children = collections.defaultdict(list)
    for pid, parent, state, name in processes():
        children[parent].append((pid, state, name))
    found, ahead = {}, [os.getpid() if of is None else of]
    while ahead:
        for pid, state, name in children[ahead.pop()]:
            found[pid] = state, name
            ahead.append(pid)
    return found


class Reaper:
    """Reaps zombies that came to us because their parents were killed. Not at once: a fork server of ours is its
    pool's to reap."""

    def __init__(self):
        self._since = {}

    def reap(self):
        now = time.monotonic()
        zombies = [pid for pid, (state, _) in descendants().items() if state == "Z"]
        self._since = {pid: self._since.get(pid, now) for pid in zombies}
        for pid in [pid for pid, since in self._since.items() if now - since > 0.1]:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def descriptors():
    """How many of each kind are open."""
    count = collections.Counter()
    with open("/proc/self/maps") as file:
        code = {line.split(maxsplit=5)[5] for line in file.read().splitlines() if line.split()[1][2] == "x" and "/" in line}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the one by which we look
        if target.endswith(".debug") or target in code:
            continue  # once a stack was described, libdw keeps what it has read of programs and libraries
        kind, colon, _ = target.partition(":")
        count[target if kind == "anon_inode" or not colon or target.startswith("/") else f"{kind} {name}"] += 1
    return count


def mappings():
    """(all, those of shared memory of retinue's)."""
    with open("/proc/self/maps") as file:
        lines = file.read().splitlines()
    return len(lines), sum("/memfd:retinue" in line for line in lines)


def objects():
    """Objects of retinue's that only pools and what they give are made of."""
    count = collections.Counter()
    for it in gc.get_objects():
        cls = type(it)
        if cls.__module__.startswith("retinue") and cls.__name__ in _COUNTED:
            count[cls.__name__] += 1
    return count


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


_COUNTED = {"Future", "MapIterator", "ProcessPoolExecutor", "ExecutorWithOptions", "Pool", "AsyncResult", "MapResult",
            "SharedArray", "SharedMemory", "Shared", "Scope", "FreshScope"}  # fmt: skip


def holdings():
    gc.collect()
    retinue.trim_shared_memory()
    everything, shared = mappings()
    usage = retinue.shared_memory_usage()
    return {
        "processes": descendants(),
        "descriptors": descriptors(),
        "threads": len(os.listdir("/proc/self/task")),
        "shared mappings": shared,
        "mappings": everything,
        "shared memory": usage["bytes_in_use"],
        "blocks": usage["blocks"],
        "objects": objects(),
        "/dev/shm": sorted(name for name in _listed("/dev/shm") if "retinue" in name),  # others have theirs
    }


_SLACK = {"mappings": 400}  # malloc's and the interpreter's own, which come and go


class Census:
    """What was held before, to which all must come back."""

    def __init__(self):
        self._reaper = Reaper()
        end = time.monotonic() + 5
        while descendants() and time.monotonic() < end:
            self._reaper.reap()
            time.sleep(0.02)
        self.before = {**holdings(), "processes": {}}
        self.most_mappings = self.before["mappings"]

    def complaints(self, seconds):
        """What is held beyond that. Ends of threads and of orphans may take this long."""
        end = time.monotonic() + seconds
        pause = 0.001
        while True:
            self._reaper.reap()
            now = holdings()
            wrong = [
                f"{what}: {now[what]} but before {self.before[what]}" for what in now if not self._holds(what, now[what])
            ]
            if not wrong or time.monotonic() > end:
                self.most_mappings = max(self.most_mappings, now["mappings"])
                return wrong
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _holds(self, what, now):
        before = self.before[what]
        if isinstance(now, int):
            return now <= before + _SLACK.get(what, 0)
        return now == before
