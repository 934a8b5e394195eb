"""What goes wrong in a task costs that task: exceptions, deaths, time limits, retries."""

import asyncio
import concurrent.futures
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from tasks import gated


class TwoArgumentError(Exception):
    """Its pickle cannot be loaded again."""

    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


class WithState(Exception):
    def __init__(self, text, code):
        super().__init__(text, code)
        self.code = code


def raise_(error):
    raise error


def raise_two_arguments(x):
    raise TwoArgumentError(x, "boom")


def die_on_seven(x):
    if x == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def forever():
    while True:
        pass


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def test_an_exception_comes_back_with_the_workers_traceback(pool):
    with pytest.raises(WithState) as caught:
        pool.submit(raise_, WithState("text", 5)).result(timeout=10)
    assert caught.value.code == 5 and caught.value.args == ("text", 5)
    assert "in raise_" in str(caught.value.__cause__)


@pytest.mark.parametrize("error", [KeyError("k"), OSError(2, "gone"), SystemExit(3), KeyboardInterrupt(), StopIteration(4)])
def test_exceptions_of_every_kind_come_back(pool, error):
    back = pool.submit(raise_, error).exception(timeout=10)
    assert type(back) is type(error) and back.args == error.args
    assert pool.submit(abs, -1).result() == 1


def test_an_exception_that_pickle_cannot_load_is_itself(pool):
    with pytest.raises(TwoArgumentError, match="1 boom") as caught:
        pool.submit(raise_two_arguments, 1).result(timeout=10)
    assert "raise_two_arguments" in str(caught.value.__cause__)


def raise_of_a_class_that_cannot_travel():
    class Local(Exception):
        lock = threading.Lock()

    raise Local("boom")


def test_an_exception_whose_class_cannot_travel_is_reported_with_its_text(pool):
    with pytest.raises(retinue.RemoteError) as caught:
        pool.submit(raise_of_a_class_that_cannot_travel).result(timeout=10)
    assert "Local: boom" in str(caught.value)
    assert "raise_of_a_class_that_cannot_travel" in str(caught.value.__cause__)
    assert pickle.loads(pickle.dumps(caught.value)).message == "boom"


def test_an_exception_class_made_in_a_function_comes_back_as_itself(pool):
    class LocalError(Exception):
        pass

    def fail():
        raise LocalError("here")

    with pytest.raises(LocalError, match="here"):
        pool.submit(fail).result(timeout=10)


def test_one_killed_worker_costs_one_task(pool):
    futures = [pool.submit(die_on_seven, i) for i in range(100)]
    dead = [i for i, f in enumerate(futures) if f.exception(timeout=30) is not None]
    assert dead == [7]
    death = futures[7].exception()
    assert isinstance(death, retinue.WorkerDied) and isinstance(death, BrokenProcessPool)
    assert death.signal == signal.SIGKILL and death.pid > 0
    assert pool.submit(die_on_seven, 1).result(timeout=10) == 1
    copy = pickle.loads(pickle.dumps(death))
    assert (copy.signal, copy.pid, str(copy)) == (death.signal, death.pid, str(death))


def test_a_map_goes_on_past_a_killed_worker(pool):
    results = pool.map(die_on_seven, range(20))
    got = []
    while True:
        try:
            got.append(next(results))
        except StopIteration:
            break
        except retinue.WorkerDied as death:
            assert death.task_index == 7
            got.append("dead")
    assert got == [*range(7), "dead", *range(8, 20)]


def test_a_death_reports_its_exit_code(pool):
    with pytest.raises(retinue.WorkerDied) as caught:
        pool.submit(os._exit, 3).result(timeout=10)
    assert caught.value.exit_code == 3 and caught.value.signal == 0
    assert "options(retries=1)" in str(caught.value)


def test_a_crash_reports_where_it_was(pool):
    ctypes = pytest.importorskip("ctypes")
    with pytest.raises(retinue.WorkerDied) as caught:
        pool.submit(ctypes.string_at, 0).result(timeout=30)
    assert caught.value.signal == signal.SIGSEGV
    assert "string_at" in caught.value.stack or "PyEval" in caught.value.stack


def test_a_task_that_died_is_run_again_where_that_was_asked_for(pool, tmp_path):
    def die_at_first():
        if not (tmp_path / "seen").exists():
            (tmp_path / "seen").touch()
            os._exit(1)
        return "at last"

    assert pool.options(retries=1).submit(die_at_first).result(timeout=10) == "at last"
    with pytest.raises(retinue.WorkerDied):
        pool.options(retries=2).submit(os._exit, 1).result(timeout=10)


def test_a_runaway_task_is_stopped_at_its_deadline(pool):
    with pytest.raises(retinue.TaskTimeout) as caught:
        pool.options(timeout=0.2).submit(forever).result(timeout=30)
    assert isinstance(caught.value, TimeoutError)
    results = pool.options(timeout=2).map(lambda x: time.sleep(x) or x, [0, 60, 0])
    assert next(results) == 0
    with pytest.raises(retinue.TaskTimeout):
        next(results)
    assert next(results) == 0


def test_with_break_one_death_ends_the_pool(tmp_path):
    gate = tmp_path / "all are submitted"
    with ProcessPoolExecutor(2, on_worker_death="break") as executor:
        executor.submit(abs, -1).result()
        dying = executor.submit(lambda: os._exit(gated(1, gate)))
        others = [executor.submit(time.sleep, 60) for _ in range(4)]
        gate.touch()
        with pytest.raises(BrokenProcessPool):
            dying.result(timeout=10)
        for other in others:
            with pytest.raises(BrokenProcessPool):
                other.result(timeout=10)
        with pytest.raises(BrokenProcessPool):
            executor.submit(abs, -1)
    with pytest.raises(ValueError):
        ProcessPoolExecutor(1, on_worker_death="shrug")


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


def test_wait_for_several_executors_at_once():
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(1) as two:
        futures = [one.submit(abs, -1), two.submit(abs, -2), one.submit(die_on_seven, 7)]
        done, _ = concurrent.futures.wait(futures, timeout=20)
        assert len(done) == 3


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


def test_a_pool_that_is_over_says_so_whatever_it_is_given():
    def fail():
        raise ValueError("no licence")

    with ProcessPoolExecutor(1, initializer=fail) as executor:
        with pytest.raises(retinue.PoolClosed, match="no licence"):
            executor.submit(abs, -1).result(timeout=10)
        with pytest.raises(retinue.PoolClosed, match="no licence"):
            executor.submit(print, threading.Lock())


def test_a_worker_that_should_be_replaced_does_not_wait_for_threads_for_ever():
    def leave_a_thread():
        threading.Thread(target=time.sleep, args=(100,)).start()

    with ProcessPoolExecutor(1, max_tasks_per_child=1) as executor:
        executor.submit(leave_a_thread).result(timeout=10)
        assert executor.submit(abs, -1).result(timeout=30) == 1


def run_a_loop():
    async def nothing():
        pass

    asyncio.run(nothing())


def interrupt_itself():
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


def test_workers_leave_ctrl_c_to_the_owner_also_after_a_task_that_used_asyncio():
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(interrupt_itself).result(timeout=10) == "went on"
        executor.submit(run_a_loop).result(timeout=10)
        assert executor.submit(interrupt_itself).result(timeout=10) == "went on"


def test_a_ctrl_c_in_a_worker_is_not_one_of_the_owners_asyncio_loop():
    async def main():
        heard = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: heard.append(1))
        try:
            with ProcessPoolExecutor(1) as executor:
                assert await loop.run_in_executor(executor, interrupt_itself) == "went on"
                await asyncio.sleep(0.1)
                assert not heard
                os.kill(os.getpid(), signal.SIGINT)
                while not heard:
                    await asyncio.sleep(0.01)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        assert heard == [1]

    asyncio.run(asyncio.wait_for(main(), 20))


def test_workers_ignore_ctrl_c_where_the_owner_does():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ProcessPoolExecutor(1) as executor:
            child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
            done = executor.submit(subprocess.run, [sys.executable, "-c", child], capture_output=True, text=True)
            assert done.result(timeout=20).stdout == "True\n"
    finally:
        signal.signal(signal.SIGINT, before)


class EndsTheBase(BaseException):
    pass


class RaisesWhenLoaded:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return raise_, (self.error,)


@pytest.mark.parametrize("error", [KeyboardInterrupt("k"), SystemExit(3), GeneratorExit("g"), EndsTheBase("e")])
def test_who_waits_for_a_result_is_notified_whatever_loading_it_raises(pool, error, tmp_path):
    future = pool.submit(lambda: gated(RaisesWhenLoaded(error), tmp_path / "gate"))
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    (tmp_path / "gate").touch()
    done, _ = concurrent.futures.wait([future], timeout=10)
    assert done == {future} and called.wait(10)
    # In the main thread it may have been a Ctrl-C.
    assert isinstance(future.exception(timeout=1), (retinue.UnpicklingError, KeyboardInterrupt))


class CannotBeLoaded(Exception):
    def __reduce__(self):
        return sys.exit, (3,)

    def __str__(self):
        raise SystemExit(4)


def test_an_exception_that_would_end_the_interpreter_when_it_is_loaded_is_itself(pool):
    error = pool.submit(raise_made_by, CannotBeLoaded).exception(timeout=10)
    assert type(error) is CannotBeLoaded and error.args == ("text",)
    assert pool.submit(abs, -1).result(timeout=10) == 1


def raise_made_by(cls):
    raise cls("text")


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
