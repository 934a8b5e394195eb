"""multiprocessing's Pool: callbacks, the end, its processes."""

import threading
import time

import pytest

from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool


def square(x):
    return x * x


def fail(x):
    raise KeyError(x)


@pytest.fixture
def pool():
    with Pool(2) as pool:
        yield pool


class SlowNotes:
    """A callback that takes its time, so that whoever does not wait for it comes too early."""

    def __init__(self):
        self.values = []

    def __call__(self, value):
        time.sleep(0.02)
        self.values.append(value)


def test_who_has_waited_for_a_result_finds_its_callback_done(pool):
    notes = SlowNotes()
    pool.apply_async(square, (3,), callback=notes).wait(10)
    assert notes.values == [9]
    pool.map_async(square, range(3), callback=notes).get(10)
    assert notes.values == [9, [0, 1, 4]]
    with pytest.raises(KeyError):
        pool.apply_async(fail, (1,), error_callback=notes).get(10)
    assert isinstance(notes.values[2], KeyError)


def test_a_result_is_not_ready_while_its_callback_runs(pool):
    may_end = threading.Event()
    result = pool.apply_async(square, (3,), callback=lambda value: may_end.wait(10))
    result.wait(0.1)
    assert not result.ready()
    may_end.set()
    assert result.get(10) == 9


def test_who_has_joined_a_pool_finds_all_callbacks_done():
    notes = SlowNotes()
    pool = Pool(2)
    pool.apply_async(square, (3,), callback=notes)
    pool.map_async(square, range(3), callback=notes)
    pool.map_async(fail, range(3), error_callback=notes)
    pool.close()
    pool.join()
    assert len(notes.values) == 3


def test_a_callback_may_look_at_its_own_result(pool):
    seen = []
    there = threading.Event()

    def look(value):
        there.wait(10)
        seen.append(result.get(10))

    result = pool.apply_async(square, (4,), callback=look)
    there.set()
    assert result.get(10) == 16
    assert seen == [16]


def test_a_callback_may_want_a_lock_that_the_caller_of_apply_async_holds(pool):
    lock = threading.Lock()
    got_it = []

    def take(value):
        got_it.append(lock.acquire(timeout=10))
        lock.release()

    for _ in range(50):  # some of these tasks are done before apply_async has returned
        with lock:
            result = pool.apply_async(square, (4,), callback=take)
        result.get(10)
    assert got_it == [True] * 50


def test_a_pool_that_ends_calls_no_callback_for_what_it_dropped():
    notes = SlowNotes()
    pool = Pool(1)
    pool.apply_async(time.sleep, (30,))
    given_up = pool.apply_async(square, (3,), callback=notes, error_callback=notes)
    pool.terminate()
    pool.join()
    given_up.wait(10)
    assert given_up.ready() and notes.values == []


def interrupt_at_two(x):
    if x == 2:
        raise KeyboardInterrupt("from a task")
    return x


def test_a_keyboard_interrupt_of_a_task_is_an_error_like_others(pool):
    notes = []
    reported = pool.map_async(interrupt_at_two, range(5), callback=notes.append, error_callback=notes.append)
    reported.wait(10)
    assert reported.ready() and [type(note) for note in notes] == [KeyboardInterrupt]
    with pytest.raises(KeyboardInterrupt):
        reported.get(10)
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]


def test_all_items_of_a_map_run_though_one_raises_keyboard_interrupt(pool):
    results = pool.map_async(interrupt_at_two, range(5))
    results.wait(10)
    assert results.ready() and not results.successful()
    with pytest.raises(KeyboardInterrupt, match="from a task"):
        pool.map(interrupt_at_two, range(5))


def test_closed_pools_whose_workers_are_replaced_end():
    # Each replacement may be forked while a thread of the owner is ending the pool.
    for _ in range(20):
        pool = Pool(3, maxtasksperchild=1)
        results = [pool.apply_async(square, (i,)) for i in range(6)]
        pool.close()
        pool.join()
        assert [result.get(10) for result in results] == [0, 1, 4, 9, 16, 25]


def test_the_workers_of_a_pool_can_be_looked_at(pool):
    first, second = pool._pool
    assert first.is_alive() and second.is_alive()
    assert {first.pid, second.pid} == set(pool.worker_pids())
    pool.terminate()
    first.join(10)
    second.join(10)
    assert not first.is_alive() and not second.is_alive()


def test_a_worker_of_an_executor_can_be_ended_and_is_replaced():
    with ProcessPoolExecutor(1) as executor:
        executor.submit(square, 3).result(10)
        ((pid, worker),) = executor._processes.items()
        worker.kill()
        worker.join(10)
        assert not worker.is_alive()
        assert executor.submit(square, 3).result(10) == 9
        assert pid not in executor._processes
