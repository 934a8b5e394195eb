"""Programs with pools: how they end, what they print, what they leave, and what they can do without."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import retinue


def run(program):
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, env=buffered)


def test_the_end_of_the_program_finishes_what_was_submitted():
    done = run(
        """
import time
from retinue.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(2)
def late(x):
    time.sleep(0.2)
    return x
for i in range(4):
    pool.submit(late, i).add_done_callback(lambda f: print("done", f.result(), flush=True))
"""
    )
    assert done.returncode == 0 and done.stderr == ""
    assert sorted(done.stdout.split("\n"))[1:] == ["done 0", "done 1", "done 2", "done 3"]


def test_an_exception_in_the_program_does_not_keep_it_from_ending():
    done = run(
        """
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
executor, pool = ProcessPoolExecutor(2), Pool(2)
executor.map(abs, range(1000))
results = pool.imap(abs, iter(int, 1))
next(results)
raise LookupError("the program's own")
"""
    )
    assert done.returncode == 1 and "the program's own" in done.stderr


def test_what_tasks_print_is_seen_once(tmp_path):
    done = run(
        """
from retinue.futures import ProcessPoolExecutor
print("before", end=" ")
with ProcessPoolExecutor(2) as pool:
    list(pool.map(lambda x: print("task", x, flush=x == 1), range(3)))
print("after")
"""
    )
    assert done.returncode == 0
    words = done.stdout.replace("\n", " ").split()
    assert sorted(words) == sorted("before task 0 task 1 task 2 after".split())


def test_pools_that_come_and_go_leave_nothing():
    done = run(
        """
import os, time
from retinue.futures import ProcessPoolExecutor

def holdings():
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

def use():
    with ProcessPoolExecutor(2) as executor:
        assert executor.submit(abs, -1).result() == 1
        executor.submit(abs, -1).add_done_callback(lambda f: None)
        list(executor.map(lambda x: x, range(10)))

use()
before = holdings()
for _ in range(20):
    use()
end = time.monotonic() + 5
while holdings() != before and time.monotonic() < end:
    time.sleep(0.05)
assert holdings() == before, (before, holdings())
"""
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "loop", ["executor.submit(int).result()", "pool.map(abs, range(100))", "list(executor.map(abs, range(100)))"]
)
def test_a_daemon_thread_may_use_a_pool_while_the_program_ends(loop):
    for _ in range(4):
        done = run(
            f"""
import threading, time
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
executor, pool = ProcessPoolExecutor(2), Pool(2)
executor.submit(int).result()
def use():
    while True:
        try:
            {loop}
        except BaseException:
            pass
threading.Thread(target=use, daemon=True).start()
time.sleep(0.1)
"""
        )
        assert done.returncode == 0, done.stderr


def test_results_of_the_parent_end_in_a_forked_child():
    done = run(
        """
import os, time
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
pool, executor = Pool(2), ProcessPoolExecutor(2)
mapped = pool.map_async(time.sleep, [0.5] * 4)
applied = pool.apply_async(time.sleep, (0.5,), callback=print)
held = executor.map(time.sleep, (0.01 for _ in range(100)))
if os.fork() == 0:
    import signal
    signal.alarm(20)
    for result in (mapped, applied):
        try:
            result.get(timeout=10)
            os._exit(1)
        except Exception as error:
            pass
    del held
    try:
        list(executor.map(abs, [1]))
        os._exit(2)
    except Exception:
        os._exit(0)
_, status = os.wait()
assert status == 0, status
assert mapped.get(timeout=20) == [None] * 4 and len(list(held)) == 100
"""
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        """
class Interrupts:
    def __reduce__(self):
        raise KeyboardInterrupt
executor.submit(abs, Interrupts())
""",
        """
def inputs():
    yield from [3, 3, 3, 3]
    raise KeyboardInterrupt
list(executor.map(time.sleep, inputs()))
""",
    ],
    ids=["pickling", "reading_inputs"],
)
def test_a_keyboard_interrupt_in_the_owner_is_raised_at_once(program):
    begin = time.monotonic()
    done = run(
        f"""
import time
from retinue.futures import ProcessPoolExecutor
executor = ProcessPoolExecutor(2)
executor.submit(abs, -1).result()
begin = time.monotonic()
try:
{chr(10).join("    " + line for line in program.strip().split(chr(10)))}
except KeyboardInterrupt:
    executor.kill_workers()
    print("raised", time.monotonic() - begin < 2)
"""
    )
    assert done.stdout == "raised True\n", done.stdout + done.stderr
    assert time.monotonic() - begin < 30


WITHOUT_DESCRIPTORS = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from retinue.futures import ProcessPoolExecutor
executor = ProcessPoolExecutor(1)
assert executor.submit(abs, -1).result(timeout=30) == 1
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
names = []
for function, arguments in (os._exit, (3,)), (int, ("x",)):
    try:
        executor.submit(function, *arguments).result(timeout=30)
    except Exception as error:
        names.append(type(error).__name__)
executor.shutdown()
try:
    executor.submit(abs, 1)
except RuntimeError as error:
    names.append(type(error).__name__)
for fd in held:
    os.close(fd)
print(*names)
"""


def test_errors_are_raised_without_a_descriptor_to_import_them_with():
    done = subprocess.run([sys.executable, "-c", WITHOUT_DESCRIPTORS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("WorkerDied ValueError PoolClosed\n", 0), done.stderr


HIDDEN = """
import os, shutil, sys
os.chmod(sys.argv[1], 0o700)
from retinue import WorkerLimits
from retinue.futures import ProcessPoolExecutor
def make(x):
    return lambda: x + os.getuid()
with ProcessPoolExecutor(1, limits=WorkerLimits(user="nobody")) as executor:
    by_value = executor.submit(make, 1).result(timeout=30)
    try:
        executor.submit(int, "x").result(timeout=30)
    except ValueError as error:
        print(type(error).__name__, by_value())
os.setuid(65534)
executor = ProcessPoolExecutor(1)
try:
    executor.submit(os._exit, 3).result(timeout=30)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_a_user_who_cannot_read_the_package_gets_errors_and_results(tmp_path):
    hidden = tmp_path / "hidden"
    shutil.copytree(Path(retinue.__file__).parent, hidden / "retinue", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(hidden), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", HIDDEN, str(hidden)], capture_output=True, text=True, timeout=90, env=environment)
    assert (done.stdout, done.returncode) == ("ValueError 1\nWorkerDied\n", 0), done.stderr
