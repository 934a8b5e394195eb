"""Pool.imap and imap_unordered: their inputs are read in a thread, which is in nobody's way."""

import itertools
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

import retinue
from retinue.multiprocessing import Pool
from tasks import gated, square

ORDERS = pytest.mark.parametrize("imap", ["imap", "imap_unordered"])


def eventually(true, seconds=20):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "retinue-inputs"]


@pytest.fixture
def pool():
    with Pool(2) as pool:
        yield pool


class Waits:
    """An input that gives a few and then waits; reports when it waits, and when it was released."""

    def __init__(self, given=3):
        self.given = given
        self.waiting, self.go, self.over = threading.Event(), threading.Event(), threading.Event()

    def __iter__(self):
        try:
            yield from range(self.given)
            self.waiting.set()
            self.go.wait(30)
            yield from range(self.given, 2 * self.given)
        finally:
            self.over.set()


@ORDERS
def test_a_result_is_given_while_the_input_waits(pool, imap):
    todo = queue.Queue()
    todo.put(1)
    results = getattr(pool, imap)(square, iter(todo.get, None))
    for i in range(1, 50):
        assert results.next(timeout=20) == i * i
        todo.put(i + 1)
    todo.put(None)
    assert list(results) == [2500]


def children(n):
    return [2 * n, 2 * n + 1] if n < 500 else []


@ORDERS
def test_what_comes_out_may_go_in_again(pool, imap):
    todo, waiting, seen = queue.Queue(), 1, []
    todo.put(1)
    for new in getattr(pool, imap)(children, iter(todo.get, None)):
        seen += new
        waiting += len(new) - 1
        for n in new:
            todo.put(n)
        if waiting == 0:
            todo.put(None)
    assert sorted(seen) == list(range(2, 1000))


@ORDERS
def test_many_inputs_come_out_once_each(pool, imap):
    def inputs(n):
        buffer = [0]
        for i in range(n):
            buffer[0] = i
            yield buffer

    for n in (0, 1, 17, 1000, 50_000):
        results = list(getattr(pool, imap)(abs_of, inputs(n)))
        assert (results if imap == "imap" else sorted(results)) == list(range(n))


def abs_of(row):
    return abs(row[0])


def test_no_thread_reads_what_cannot_change(pool):
    numbers = [1, 2, 3]
    for inputs in (range(3), (1, 2, 3), numbers, itertools.count(), itertools.repeat(3)):
        results = pool.imap(square, inputs)
        assert readers() == []
        if inputs is numbers:
            numbers.clear()
        assert next(results) in (0, 1, 9)
        results.close()


def test_tasks_begin_though_nobody_asks_for_results(pool, tmp_path):
    def touch(path):
        path.touch()

    inputs = Waits()
    results = pool.imap(touch, (tmp_path / str(i) for i in inputs))
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 3)
    inputs.go.set()
    assert list(results) == [None] * 6


def test_what_an_input_raises_comes_after_the_results_before_it(pool):
    def inputs(error):
        yield from range(100)
        raise error

    for error in (KeyError("inputs"), KeyboardInterrupt(), SystemExit(3)):
        results = pool.imap(square, inputs(error))
        assert [next(results) for _ in range(100)] == [i * i for i in range(100)]
        with pytest.raises(type(error)):
            next(results)
        assert list(results) == []
    assert pool.apply(square, (3,)) == 9


def test_an_input_that_cannot_be_sent_fails_in_its_place(pool):
    results = pool.imap(type, iter([1, threading.Lock(), 2]))
    assert next(results) is int
    with pytest.raises(retinue.PicklingError):
        next(results)
    assert list(results) == [int]


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_map_that_is_left_does_not_wait_for_its_input(pool, way):
    inputs = Waits()
    results = pool.imap(square, iter(inputs))
    assert next(results) == 0 and inputs.waiting.wait(20)
    began = time.monotonic()
    if way == "close":
        results.close()
        assert list(results) == []
    del results
    assert time.monotonic() - began < 10 and not inputs.over.is_set()
    inputs.go.set()
    assert inputs.over.wait(20), "the generator is closed as soon as it comes back"
    assert eventually(lambda: readers() == [])
    assert pool.apply(square, (3,)) == 9


@pytest.mark.parametrize("way", ["close", "drop"])
def test_an_endless_input_is_read_a_little_ahead_and_closed_with_its_map(pool, way):
    read, over = 0, threading.Event()

    def inputs():
        nonlocal read
        try:
            for read in itertools.count():
                yield read
        finally:
            over.set()

    results = pool.imap(time.sleep, (0.001 + 0 * i for i in inputs()))
    for _ in range(20):
        next(results)
    time.sleep(0.2)
    assert read < 20_000
    if way == "close":
        results.close()
    del results
    assert over.wait(20)


def test_the_end_of_the_pool_does_not_wait_for_an_input():
    inputs = Waits()
    pool = Pool(2)
    results = pool.imap(square, iter(inputs))
    assert next(results) == 0 and inputs.waiting.wait(20)
    ender = threading.Timer(0.2, pool.terminate)
    ender.start()
    got = []
    with pytest.raises(retinue.PoolClosed):
        for result in results:  # the last ones wait for an input when the pool ends
            got.append(result)
    assert got == [1, 4]
    ender.join()
    pool.join()
    assert not inputs.over.is_set()
    inputs.go.set()
    assert inputs.over.wait(20)
    assert eventually(lambda: readers() == [])


@pytest.mark.parametrize("ending", ["", "next(results)", "pool.terminate()", "results.close()", "del results", "del pool, results"])
def test_the_end_of_the_program_does_not_wait_for_an_input(ending):
    program = f"""
import threading
from retinue.multiprocessing import Pool

def inputs():
    yield 1
    waiting.set()
    threading.Event().wait()

waiting = threading.Event()
pool = Pool(2)
results = pool.imap(abs, inputs())
waiting.wait()
{ending}
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_ctrl_c_ends_a_wait_for_an_input(pool):
    inputs = Waits(0)
    results = pool.imap(square, iter(inputs))
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    inputs.go.set()
    assert list(results) == []


def test_two_maps_of_one_generator_read_it_one_after_the_other(pool):
    def numbers():
        for i in range(3000):
            yield i

    generator = numbers()
    maps = [pool.imap(square, generator), pool.imap_unordered(square, generator)]
    assert list(maps[0]) == [i * i for i in range(3000)]
    assert list(maps[1]) == []


def test_a_closed_pool_finishes_what_its_maps_have_yet_to_read():
    for when in ("begun", "untouched"):
        pool = Pool(2)
        todo = queue.Queue()
        todo.put(0)
        results = pool.imap(square, iter(todo.get, None))
        if when == "begun":
            assert next(results) == 0
        pool.close()
        with pytest.raises(ValueError):
            pool.imap(square, iter([1]))
        with pytest.raises(ValueError):
            pool.apply(square, (1,))
        for i in range(1, 3000):
            todo.put(i)
        todo.put(None)
        assert list(results) == [i * i for i in range(when == "begun", 3000)]
        pool.join()
        assert pool.worker_pids() == []


def test_join_has_all_inputs_run_though_nobody_takes_results():
    pool = Pool(2)
    results = pool.imap(square, (i for i in range(20_000)))
    unordered = pool.imap_unordered(square, (i for i in range(20_000)))
    assert next(results) == 0
    pool.close()
    pool.join()
    assert list(results) == [i * i for i in range(1, 20_000)]
    assert sorted(unordered) == [i * i for i in range(20_000)]


def test_join_is_ended_by_terminate_while_an_input_waits():
    inputs = Waits()
    pool = Pool(2)
    results = pool.imap(square, iter(inputs))
    assert inputs.waiting.wait(20)
    pool.close()
    joiner = threading.Thread(target=pool.join)
    joiner.start()
    time.sleep(0.1)
    assert joiner.is_alive()
    pool.terminate()
    joiner.join(20)
    assert not joiner.is_alive()
    inputs.go.set()
    del results


def test_a_map_nobody_looks_at_runs_all_the_same(pool, tmp_path):
    def touch(path):
        path.touch()

    pool.imap(touch, (tmp_path / str(i) for i in range(6000)))
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 6000)
    assert eventually(lambda: readers() == [])


def test_next_has_a_timeout_while_the_input_waits(pool):
    inputs = Waits(1)
    results = pool.imap(square, iter(inputs))
    assert results.next(20) == 0
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(0.1)
    inputs.go.set()
    assert results.next(20) == 1


def test_a_slow_task_stops_neither_the_input_nor_others(pool, tmp_path):
    gate = tmp_path / "gate"
    results = pool.imap_unordered(gated_if_first, ((i, gate) for i in range(3000)))
    assert sorted(next(results) for _ in range(2999)) == list(range(1, 3000))
    gate.touch()
    assert list(results) == [0]


def gated_if_first(both):
    i, gate = both
    return gated(i, gate) if i == 0 else i


def test_a_child_of_a_fork_is_not_held_by_its_parents_reader(pool):
    inputs = Waits()
    results = pool.imap(square, iter(inputs))
    assert next(results) == 0 and inputs.waiting.wait(20)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(results)
        except retinue.PoolClosed:
            results.close()
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    assert ended == (child, 0)
    inputs.go.set()
    assert list(results) == [1, 4, 9, 16, 25]


def test_without_a_thread_the_inputs_are_read_as_results_are_taken(pool, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(pool.imap(square, (i for i in range(5000)))) == [i * i for i in range(5000)]
