"""What goes wrong in a task costs that task: exceptions, deaths, time limits, retries."""

import asyncio
import concurrent.futures
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool

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


def test_wait_for_several_executors_at_once():
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(1) as two:
        futures = [one.submit(abs, -1), two.submit(abs, -2), one.submit(die_on_seven, 7)]
        done, _ = concurrent.futures.wait(futures, timeout=20)
        assert len(done) == 3


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
