"""What an error says: which wait was too short, what cannot travel, where a worker crashed."""

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

import programs
import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
from tasks import gated, square


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(1) as executor:
        yield executor


# Which wait -----------------------------------------------------------------------------------------------------------


def test_a_wait_for_a_future_says_how_long_it_was_and_what_the_task_does(tmp_path):
    gate = str(tmp_path / "gate")
    with ProcessPoolExecutor(1) as executor:
        runs, waits = executor.submit(gated, 1, gate), executor.submit(square, 2)
        end = time.monotonic() + 20
        while not runs.running() and time.monotonic() < end:
            time.sleep(0.001)
        with pytest.raises(TimeoutError, match=r"^result\(timeout=0.01\): the task is still running, and goes on$"):
            runs.result(timeout=0.01)
        with pytest.raises(TimeoutError, match=r"^exception\(timeout=0\): the task has not started yet"):
            waits.exception(timeout=0)
        results = executor.map(square, range(3), timeout=0.01)
        with pytest.raises(TimeoutError, match=r"^map\(timeout=0.01\): not all results were there in time$"):
            list(results)
        open(gate, "w").close()
        assert runs.result(timeout=20) == 1


def test_a_wait_for_a_result_of_a_pool_says_so_too(tmp_path):
    gate = str(tmp_path / "gate")
    with Pool(1) as workers:
        one = workers.apply_async(gated, (1, gate))
        many = workers.map_async(functools.partial(gated, gate=gate), range(2))
        lazy = workers.imap(square, range(2))
        for call, words in (
            (lambda: one.get(0.01), r"^get\(timeout=0.01\): the task "),
            (lambda: many.get(timeout=0.01), r"^get\(timeout=0.01\): only 0 results of the map"),
            (lambda: lazy.next(timeout=0.01), r"^next\(timeout=0.01\): the next result is not there yet"),
        ):
            with pytest.raises(multiprocessing.TimeoutError, match=words):
                call()
        open(gate, "w").close()
        assert (one.get(20), many.get(20), list(lazy)) == (1, [0, 1], [0, 1])


def test_a_callback_that_is_still_running_is_said_to_be_the_cause():
    wait = threading.Event()
    with Pool(1) as workers:
        result = workers.apply_async(square, (2,), callback=lambda _: wait.wait(20))
        try:
            end = time.monotonic() + 20
            while not result._future.done() and time.monotonic() < end:
                time.sleep(0.001)
            with pytest.raises(multiprocessing.TimeoutError, match="its callback is still running"):
                result.get(0.01)
        finally:
            wait.set()


# What cannot travel ---------------------------------------------------------------------------------------------------


class Reader:
    def __init__(self):
        self.name = "reader"
        self.cache = {"locks": [1, threading.Lock()]}

    def read(self, x):
        return x


class Slotted:
    __slots__ = ("first", "lock")

    def __init__(self):
        self.first, self.lock = 1, threading.Lock()


class Refuses:
    def __reduce__(self):
        raise ValueError("I stay here")

    def method(self):
        pass


def refusal(call):
    with pytest.raises(retinue.PicklingError) as caught:
        call()
    return str(caught.value)


def test_a_bound_method_names_the_attribute_of_self(pool):
    for call in (
        lambda: pool.submit(Reader().read, 1).result(timeout=20),
        lambda: list(pool.map(Reader().read, [1])),
    ):
        text = refusal(call)
        assert "self.cache['locks'][1], of type _thread.lock, where self is the test_messages.Reader of the method read" in text


def test_any_other_value_names_the_part_of_it(pool):
    lock = threading.Lock()
    for value, words in (
        (Reader(), "(test_messages.Reader).cache['locks'][1], of type _thread.lock"),
        (Slotted(), "(test_messages.Slotted).lock, of type _thread.lock"),
        ([1, (2, {"a": lock})], "(list)[1][1]['a'], of type _thread.lock"),
        (functools.partial(square, x=lock), "(functools.partial).keywords['x'], of type _thread.lock"),
    ):
        assert words in refusal(lambda: pool.submit(square, value).result(timeout=20))
    text = refusal(lambda: pool.submit(lambda: lock).result(timeout=20))
    assert "<lambda>'s variable lock, of type _thread.lock" in text
    assert "self, of type test_messages.Refuses" in refusal(lambda: pool.submit(Refuses().method).result(timeout=20))
    assert "I stay here" in refusal(lambda: pool.submit(Refuses().method).result(timeout=20))


def make_reader():
    return Reader()


def test_a_result_names_the_part_as_well(pool):
    text = refusal(lambda: pool.submit(make_reader).result(timeout=20))
    assert "(test_messages.Reader).cache['locks'][1], of type _thread.lock" in text


def test_the_search_for_the_part_ends_with_values_that_lead_to_themselves_or_are_large(pool):
    ring = [threading.Lock()]
    ring.insert(0, ring)
    assert "cannot be pickled" in refusal(lambda: pool.submit(square, ring).result(timeout=20))
    large = [*range(10_000), threading.Lock()]
    assert "cannot be pickled" in refusal(lambda: pool.submit(square, large).result(timeout=20))


# Where a worker crashed -----------------------------------------------------------------------------------------------


def inner_crash():
    ctypes.string_at(0)


def crash():
    inner_crash()


class Crasher:
    def crash(self):
        os.kill(os.getpid(), signal.SIGSEGV)


def recurse(x):
    return list(map(recurse, [x]))


def death(call):
    with pytest.raises(retinue.WorkerDied) as caught:
        call()
    return caught.value


HAS_STACK = sys.version_info < (3, 13)  # what writes it is exported up to there


def test_a_crash_names_the_function_that_ran_and_the_python_stack(pool):
    error = death(lambda: pool.submit(crash).result(timeout=20))
    assert error.signal == signal.SIGSEGV
    lines = error.stack.splitlines()
    assert lines[0].startswith("  in the Python function crash (") and lines[0].endswith(
        f"test_messages.py:{crash.__code__.co_firstlineno})"
    )
    assert error.stack in str(error)
    if HAS_STACK:
        assert lines[1] == "  Python stack, innermost call first:"
        assert 'in string_at' in lines[2]
        assert f'test_messages.py", line {inner_crash.__code__.co_firstlineno + 1} in inner_crash' in lines[3]
        assert f'test_messages.py", line {crash.__code__.co_firstlineno + 1} in crash' in lines[4]
    assert any(line.startswith("  at ") for line in lines)
    assert pool.submit(square, 3).result(timeout=20) == 9


def test_a_crash_names_functions_of_every_kind(pool):
    def local(x):
        ctypes.string_at(0)

    for submit, name in (
        (lambda: pool.submit(Crasher().crash), "Crasher.crash"),
        (lambda: pool.submit(local, 1), "local"),
        (lambda: pool.submit(functools.partial(local, 1)), "local"),
        (lambda: pool.submit(ctypes.string_at, 0), "string_at"),
    ):
        first = death(lambda: submit().result(timeout=20)).stack.splitlines()[0]
        assert first.startswith("  in the Python function ") and name in first


class CrashesWhenLoaded:
    def __call__(self):
        pass

    def __reduce__(self):
        return os.abort, ()


@pytest.mark.skipif(not HAS_STACK, reason="CPython writes it up to 3.12")
def test_a_crash_while_the_function_is_loaded_has_a_python_stack(pool):
    error = death(lambda: pool.submit(CrashesWhenLoaded()).result(timeout=20))
    lines = error.stack.splitlines()
    assert lines[0] == "  Python stack, innermost call first:" and "in load_function" in error.stack


def größer():
    ctypes.string_at(0)


def test_a_crash_names_functions_in_any_script(pool):
    assert "größer" in death(lambda: pool.submit(größer).result(timeout=20)).stack


def test_a_crash_of_a_map_names_them_too(pool):
    results = pool.map(functools.partial(ctypes.string_at), [0])
    assert "in the Python function string_at" in death(lambda: next(results)).stack


overflows = pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python counts such calls itself, whatever its limit")


@overflows
def test_a_stack_overflow_is_called_one(tmp_path):
    done = programs.run(
        """
        def recurse(x):
            return list(map(recurse, [x]))

        def crash():
            import ctypes
            ctypes.string_at(0)

        if __name__ == "__main__":
            sys.setrecursionlimit(10**9)
            with ProcessPoolExecutor(1) as pool:
                try:
                    pool.submit(recurse, 1).result(timeout=40)
                except retinue.WorkerDied as error:
                    assert error.signal == signal.SIGSEGV
                    lines = error.stack.splitlines()
                    assert lines[0].startswith("  its stack overflowed"), error
                    assert "in the Python function recurse" in lines[1], error
                try:
                    pool.submit(crash).result(timeout=40)
                except retinue.WorkerDied as error:
                    assert "stack overflowed" not in str(error), error
                    print("both")
        """,
        tmp_path=tmp_path,
    )
    assert done.stdout == "both\n"


@overflows
def test_a_stack_overflow_in_a_thread_of_the_owner_that_forks_is_called_one(tmp_path):
    done = programs.run(
        """
        def recurse(x):
            return list(map(recurse, [x]))

        def run():
            with ProcessPoolExecutor(1) as pool:
                try:
                    pool.submit(recurse, 1).result(timeout=40)
                except retinue.WorkerDied as error:
                    print("stack overflowed" in str(error))

        if __name__ == "__main__":
            sys.setrecursionlimit(10**9)
            thread = threading.Thread(target=run)
            thread.start()
            thread.join(45)
        """,
        tmp_path=tmp_path,
    )
    assert done.stdout == "True\n"


def test_a_death_without_a_crash_has_no_stack(pool):
    error = death(lambda: pool.submit(os._exit, 3).result(timeout=20))
    assert error.stack == "" and error.exit_code == 3
