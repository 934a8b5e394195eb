"""Nothing outlives its owner, and code that closes every descriptor stops nothing and damages no file."""

import asyncio
import ctypes
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from retinue.futures import ProcessPoolExecutor

PRCTL = ctypes.CDLL(None).prctl
PR_SET_PDEATHSIG = 1
MB = 1 << 20
kept = []


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    return state_of(pid) not in (None, "Z", "X")


def eventually(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(pids):
    """True once none lives; those that do are killed, so that a failure leaves none."""
    gone = eventually(lambda: not any(alive(pid) for pid in pids))
    for pid in pids:
        if not gone and alive(pid):
            os.kill(pid, signal.SIGKILL)
    return gone


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


# What an owner may be, started as a program of its own: it makes a pool of two, has its tasks do `action`, prints the
# numbers of its processes, and does `end`.
OWNER = """
import ctypes, multiprocessing, os, signal, subprocess, sys, threading, time
from retinue.futures import ProcessPoolExecutor

def change_user():
    if os.geteuid() == 0:
        os.seteuid(65534); os.seteuid(0)

def forget_parent():
    ctypes.CDLL(None).prctl(1, 0)

def forget_parent_aside():                       # over and over, while the worker sleeps
    def again():
        while True:
            change_user()
            time.sleep(0.05)
    threading.Thread(target=again, daemon=True).start()

def do(action):
    if action: globals()[action]()
    time.sleep(0.02)
    return os.getpid()

def server_of(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

def busy(action, path):
    if action: globals()[action]()
    open(path, "w").close()
    while os.path.exists(path): time.sleep(0.01)

if __name__ == "__main__":
    action, end = sys.argv[1:3]
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(os.environ.get("METHOD", "fork")))
    pids = set()
    while len(pids) < 2:
        pids |= set(pool.map(do, [action] * 8))
    if end.startswith("busy"):
        for i in range(2): pool.submit(busy, action, sys.argv[3] + str(i))
        while len([n for n in "01" if os.path.exists(sys.argv[3] + n)]) < 2: time.sleep(0.01)
        for i in range(5000): pool.submit(do, None)
    server = server_of(min(pids))
    if end == "exec beside a process":
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True).start()
    print(*pids, server, flush=True)
    sys.stdin.readline()
    if "exec" in end:
        os.execv("/bin/sleep", ["sleep", "60"])
    if end == "start others":                    # none of which is an end of this process
        assert subprocess.run(["true"]).returncode == 0
        os.posix_spawn("/bin/true", ["true"], os.environ)
        os.system("true")
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            os.execv("/bin/true", ["true"])
        os.waitpid(child, 0)
        try:
            os.execv("/does/not/exist", ["x"])
        except FileNotFoundError:
            pass
        time.sleep(0.1)
        print(set(pool.map(do, [None] * 8)) <= pids, flush=True)
    time.sleep(60)
"""


class Owner:
    def __init__(self, tmp_path, action="", end="", method="fork", **options):
        program = tmp_path / "owner.py"
        program.write_text(OWNER)
        self.process = subprocess.Popen(
            [sys.executable, program, action, end, str(tmp_path / "busy")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "METHOD": method}, **options)
        *self.workers, self.server = map(int, self.process.stdout.readline().split())
        self.pids = [*self.workers, self.server]

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        all_gone(self.pids)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("end", ["exec", "exec beside a process", "busy exec"])
def test_an_owner_that_execs_another_program_leaves_no_process(tmp_path, end, method):
    with Owner(tmp_path, "", end, method) as owner:
        owner.go_on()
        assert all_gone(owner.pids)
        assert owner.process.poll() is None


def test_children_of_the_owner_that_exec_are_not_its_end(tmp_path):
    with Owner(tmp_path, "", "start others") as owner:
        owner.go_on()
        assert owner.process.stdout.readline() == "True\n"
        assert all(alive(pid) for pid in owner.pids)


@pytest.mark.parametrize("action", ["", "change_user", "forget_parent", "forget_parent_aside"])
def test_idle_workers_go_with_owner_and_fork_server_whatever_their_tasks_did_about_it(tmp_path, action):
    with Owner(tmp_path, action) as owner:
        time.sleep(0.2)  # they are asleep
        os.kill(owner.server, signal.SIGSTOP)  # so that it cannot do it
        os.kill(owner.server, signal.SIGKILL)
        owner.process.kill()
        assert all_gone(owner.pids)


@pytest.mark.parametrize("action", ["change_user", "forget_parent"])
def test_a_busy_orphan_ends_with_its_task_though_others_are_waiting(tmp_path, action):
    if action == "change_user" and os.geteuid() != 0:
        pytest.skip("not root")
    with Owner(tmp_path, action, "busy") as owner:
        owner.process.send_signal(signal.SIGSTOP)  # it must not kill them itself
        os.kill(owner.server, signal.SIGKILL)
        owner.process.kill()
        owner.process.wait()
        assert eventually(lambda: not alive(owner.server))
        assert all(alive(pid) for pid in owner.workers), "its death signal was cleared"
        for i in range(2):
            (tmp_path / f"busy{i}").unlink()
        assert all_gone(owner.pids)


def test_the_owner_kills_workers_that_their_fork_server_left_behind(tmp_path):
    with Owner(tmp_path, "forget_parent", "busy") as owner:
        os.kill(owner.server, signal.SIGKILL)
        assert all_gone(owner.pids)
        assert owner.process.poll() is None


@pytest.mark.parametrize("group", ["session", "none"])
def test_a_stopped_fork_server_goes_with_its_owner(tmp_path, group):
    with Owner(tmp_path, start_new_session=group == "session") as owner:
        os.kill(owner.server, signal.SIGSTOP)
        assert eventually(lambda: state_of(owner.server) == "T")
        owner.process.kill()
        assert all_gone(owner.pids)


GIVEN_UP = """
import os, signal, sys, time
import retinue
from retinue.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(1)
worker = pool.submit(os.getpid).result()
server = int(open(f"/proc/{worker}/stat").read().rpartition(")")[2].split()[1])
print(worker, server, flush=True)
os.setuid(65534)
assert pool.submit(abs, -1).result(timeout=20) == 1
if sys.argv[1] == "stopped":
    sys.stdin.readline()
    try:
        pool.options(timeout=0.1).submit(time.sleep, 100).result(timeout=40)
    except retinue.TaskTimeout:
        pass
    try:
        pool.submit(abs, 1)
        raise SystemExit("the pool is open")
    except retinue.PoolClosed as e:
        assert "EPERM" in str(e), e
else:
    try:
        pool.options(timeout=0.1).submit(time.sleep, 100).result(timeout=20)
    except retinue.TaskTimeout:
        assert pool.submit(abs, -1).result(timeout=20) == 1
pool.shutdown()
print("ended", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
@pytest.mark.parametrize("server", ["runs", "stopped"])
def test_an_owner_that_has_given_up_root_waits_for_nothing_for_ever(server):
    owner = subprocess.Popen([sys.executable, "-c", GIVEN_UP, server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = list(map(int, owner.stdout.readline().split()))
    try:
        if server == "stopped":
            os.kill(pids[1], signal.SIGSTOP)
        out, _ = owner.communicate("\n", timeout=55)
        assert owner.returncode == 0 and out == "ended\n"
        assert all_gone(pids), "it was continued when its owner ended"
    finally:
        owner.kill()
        owner.communicate()
        for pid in pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


# Closed descriptors ---------------------------------------------------------------------------------------------------


def close_all():
    os.closerange(3, 65_536)


def close_and_open(folder):
    close_all()
    kept.extend(open(os.path.join(folder, f"{os.getpid()}-{i}"), "wb", buffering=0) for i in range(16))


def nothing_written(folder):
    """Blocks too: a file may have been made larger behind its length, or holes may have been punched."""
    stats = [os.stat(os.path.join(folder, name)) for name in os.listdir(folder)]
    return len(stats) >= 16 and all(s.st_size == 0 and s.st_blocks == 0 for s in stats)


def large(megabytes):
    return np.full(megabytes * MB, 7, np.uint8)


def total(array):
    return int(array[::4096].sum()), array.nbytes


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["task", "initializer"])
def test_who_closes_every_descriptor_in_a_worker_stops_nothing(how, method):
    async def through_asyncio(pool):
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.run_in_executor(pool, close_all), 20)
        return await asyncio.wait_for(loop.run_in_executor(pool, abs, -1), 20)

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, initializer=close_all if how == "initializer" else None, mp_context=context) as pool:
        assert asyncio.run(through_asyncio(pool)) == 1
        called = threading.Event()
        pool.submit(abs, -1).add_done_callback(lambda _: called.set())
        assert called.wait(20)
        futures = [pool.submit(abs, i) for i in range(20_000)]  # more than there are slots
        assert futures[-1].result(timeout=30) == 19_999


@pytest.mark.parametrize("megabytes", [1, 100])
def test_large_data_travels_to_and_from_a_worker_that_has_closed_every_descriptor(tmp_path, megabytes):
    with ProcessPoolExecutor(1) as pool:
        pool.submit(close_and_open, tmp_path).result(timeout=20)
        for _ in range(3):
            assert pool.submit(total, large(megabytes)).result(timeout=50) == total(large(megabytes))
            assert total(pool.submit(large, megabytes).result(timeout=50)) == total(large(megabytes))
        assert nothing_written(tmp_path)


# Each does this in a process of its own, as it would close what the tests need.
CLOSER = """
import asyncio, os, signal, sys, threading, time
import numpy as np
import retinue
from retinue.futures import BrokenExecutor, ProcessPoolExecutor
sys.path.insert(0, sys.argv[2])
from test_leftovers import *

folder = sys.argv[1]
pool = ProcessPoolExecutor(2)
pool.submit(abs, 1).result()
close_and_open(folder)
"""

AFTER = {
    "tasks run": "assert list(pool.map(abs, range(10_000))) == list(range(10_000))",
    "callbacks run": """
called = threading.Event()
pool.submit(abs, -1).add_done_callback(lambda _: called.set())
assert called.wait(20)
""",
    "asyncio waits": """
async def wait():
    return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, abs, -1), 20)
assert asyncio.run(wait()) == 1
""",
    "workers are replaced": """
for _ in range(3):
    try:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result(timeout=20)
    except Exception:
        pass
    assert pool.submit(abs, -1).result(timeout=20) == 1
""",
    "time limits hold": """
try:
    pool.options(timeout=0.3).submit(time.sleep, 60).result(timeout=20)
    raise SystemExit("no limit")
except retinue.TaskTimeout:
    pass
assert pool.submit(abs, -1).result(timeout=20) == 1
""",
    "large data travels": """
for megabytes in (1, 100):
    assert pool.submit(total, large(megabytes)).result(timeout=50) == total(large(megabytes))
    assert total(pool.submit(large, megabytes).result(timeout=50)) == total(large(megabytes))
""",
    "the fork server's death is noticed": """
os.kill(parent_of(pool.submit(os.getpid).result()), signal.SIGKILL)
try:
    while True:
        pool.submit(abs, 1).result(timeout=20)
except BrokenExecutor:
    pass
""",
    "another pool can be made": """
with ProcessPoolExecutor(2) as other:
    assert other.submit(total, large(1)).result(timeout=20) == total(large(1))
    assert list(other.map(abs, range(100))) == list(range(100))
""",
    "another pool can be made when the first is gone": """
pool.shutdown()
with ProcessPoolExecutor(2) as other:
    assert other.submit(total, large(1)).result(timeout=20) == total(large(1))
    assert list(other.map(abs, range(100))) == list(range(100))
""",
    "a pool of fresh processes works or says why not": """
pool.shutdown()
import multiprocessing
try:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        assert other.submit(abs, -1).result(timeout=40) == 1
except retinue.Error as e:
    assert "closed the descriptors" in str(e), e
""",
    "workers are looked at": """
workers = list(pool._processes.values())
assert all(worker.is_alive() for worker in workers)
""",
    "workers that were looked at are forgotten": """
workers = list(pool._processes.values())
kept[:] = []
close_and_open(folder)
assert all(worker.is_alive() for worker in workers)
try:
    workers[0].terminate()
    raise SystemExit("whom did that reach?")
except OSError:
    pass
del workers
""",
    "nothing": "",
}


@pytest.mark.parametrize("after", AFTER)
def test_after_the_owner_has_closed_every_descriptor(tmp_path, after):
    folder = tmp_path / "files"
    folder.mkdir()
    program = tmp_path / "closer.py"
    program.write_text(CLOSER + AFTER[after] + "\npool.shutdown()\nassert nothing_written(folder), 'a file was written to'\n"
                       "for f in kept: f.write(b'x')  # still open\n")
    done = subprocess.run([sys.executable, program, folder, os.path.dirname(__file__)], capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr


# Old kernels and sandboxes --------------------------------------------------------------------------------------------

SANDBOXED = """
import ctypes, os, signal, struct, sys, time
import numpy as np
import retinue
from retinue.futures import ProcessPoolExecutor

REFUSED = [319, 434, 284, 290, 282, 289]   # memfd_create, pidfd_open, eventfd, eventfd2, signalfd, signalfd4
def step(code, value, yes=0, no=0):
    return struct.pack("HBBI", code, yes, no, value)
program = step(0x20, 0) + b"".join(step(0x15, n, 0, 1) + step(0x06, 0x50000 | int(sys.argv[1])) for n in REFUSED)
program = ctypes.create_string_buffer(program + step(0x06, 0x7fff0000))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
filter = Filter(2 * len(REFUSED) + 2, ctypes.addressof(program))
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
try:
    os.memfd_create("x")
    raise SystemExit("it is not refused")
except OSError:
    pass

if sys.argv[2] == "spawn":
    import multiprocessing
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(abs, -1).result(timeout=40) == 1
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(abs, range(2000))) == list(range(2000))
    a = np.full(1 << 22, 3, np.uint8)
    assert (pool.submit(np.add, a, 1).result(timeout=20) == 4).all()
    try:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result(timeout=20)
    except retinue.WorkerDied:
        pass
    try:
        pool.options(timeout=0.2).submit(time.sleep, 60).result(timeout=20)
        raise SystemExit("no limit")
    except retinue.TaskTimeout:
        pass
    assert pool.submit(abs, -1).result(timeout=20) == 1
    print(*pool.map(lambda _: os.getpid(), range(50)), os.getpid(), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter has that machine's numbers")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
@pytest.mark.parametrize("end", ["ends", "killed", "spawn"])
def test_pools_need_no_memfd_pidfd_eventfd_or_signalfd(number, end):
    before = set(os.listdir("/dev/shm"))
    done = subprocess.run([sys.executable, "-c", SANDBOXED, str(number), end], capture_output=True, text=True, timeout=55)
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0), done.stderr
    assert all_gone({int(pid) for pid in done.stdout.split()})
    assert not any("retinue" in name for name in set(os.listdir("/dev/shm")) - before)
