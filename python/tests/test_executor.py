"""ProcessPoolExecutor: submit, futures, the end."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor, as_completed, wait
from tasks import add, gated, slow, square


def test_a_function_runs_in_another_process(pool):
    assert pool.submit(os.getpid).result() != os.getpid()
    assert pool.submit(os.getpid).result() in pool.worker_pids()


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 127, 128, -128, -129, 2**31, 2**63 - 1, -(2**63), 2**63, 10**100, 1.5, float("inf"),
        1j, "", "ascii", "ümläut", "漢字", "\U0001f600", "\udc80", "x" * 5000, "ü" * 5000, b"", b"bytes", b"y" * 100_000,
        (), (1, "a", None), ((1, 2), (3, (4,))), [], [1, 2, 3], [[1], [2]], {}, {"a": 1, 2: "b"}, {"n": {"m": [1]}},
        {1, 2}, frozenset("ab"), bytearray(b"z" * 10_000), range(5), slice(1, 2), Ellipsis, int, square,
    ],
    ids=lambda v: repr(v)[:20],
)  # fmt: skip
def test_values_travel_there_and_back_unchanged(pool, value):
    def echo(x):
        return x

    back = pool.submit(echo, value).result()
    assert back == value
    assert type(back) is type(value)
    assert list(pool.map(echo, [value, value])) == [value, value]


def test_one_object_given_twice_arrives_as_one(pool):
    shared = [1]
    assert pool.submit(lambda a, b: a is b, shared, shared).result()
    assert pool.submit(lambda pair: pair[0] is pair[1], (shared, shared)).result()
    assert pool.submit(lambda a, b: a is b, [shared], {"a": 1}).result() is False
    loop = []
    loop.append(loop)
    assert pool.submit(lambda x: x[0] is x, loop).result()


def test_keyword_arguments_travel(pool):
    assert pool.submit(add, 1).result() == 11
    assert pool.submit(add, 1, c=5, b=2).result() == 8
    assert pool.submit(add, *range(2), c="x" and 3).result() == 4


def test_futures_are_those_of_the_standard_library(pool):
    future = pool.submit(square, 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 9 and future.done() and not future.cancelled() and not future.running()
    assert future.exception() is None
    assert "returned int" in repr(future)


def test_wait_and_as_completed_work_on_futures(own_pool):
    futures = [own_pool.submit(slow, i) for i in range(6)]
    done, pending = wait(futures)
    assert len(done) == 6 and not pending
    futures = [own_pool.submit(slow, i, i % 3 * 0.02) for i in range(30)]
    assert sorted(f.result() for f in as_completed(futures)) == list(range(30))
    futures = [own_pool.submit(slow, 1, 0), own_pool.submit(slow, 2, 1000)]
    done, pending = wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
    assert futures[0] in done and futures[1] in pending
    with pytest.raises(TimeoutError):
        list(as_completed(futures, timeout=0.01))


def test_wait_returns_at_the_first_exception(own_pool):
    futures = [own_pool.submit(slow, 1, 1000), own_pool.submit(lambda: 1 // 0)]
    done, pending = wait(futures, timeout=30, return_when=concurrent.futures.FIRST_EXCEPTION)
    assert futures[1] in done and futures[0] in pending


def test_callbacks_are_called_with_their_future(pool):
    seen, all_seen = [], threading.Event()

    def note(future):
        seen.append(future.result())
        if len(seen) == 3:
            all_seen.set()

    future = pool.submit(slow, 7)
    future.add_done_callback(note)
    future.add_done_callback(note)
    future.result()
    future.add_done_callback(note)
    assert all_seen.wait(10)
    assert seen == [7, 7, 7]


def test_a_callback_that_raises_is_logged_and_the_others_are_called(pool, caplog):
    called = threading.Event()
    future = pool.submit(slow, 7)
    future.add_done_callback(lambda f: 1 // 0)
    future.add_done_callback(lambda f: called.set())
    assert called.wait(10)
    assert "exception calling callback" in caplog.text


def test_a_callback_may_submit_and_wait(pool):
    got, done = [], threading.Event()

    def again(future):
        got.append(pool.submit(square, future.result()).result())
        done.set()

    pool.submit(slow, 3).add_done_callback(again)
    assert done.wait(10)
    assert got == [9]


def test_result_has_a_timeout(pool, tmp_path):
    future = pool.submit(gated, 1, tmp_path / "gate")
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    (tmp_path / "gate").touch()
    assert future.result(timeout=10) == 1


def test_many_threads_may_wait_for_one_future(pool):
    future = pool.submit(slow, 5, 0.2)
    got = []
    threads = [threading.Thread(target=lambda: got.append(future.result())) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10)
    assert got == [5] * 8


def test_futures_work_in_asyncio(own_pool):
    async def main():
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*[loop.run_in_executor(own_pool, square, i) for i in range(200)])
        assert results == [i * i for i in range(200)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(own_pool.submit(slow, 1, 1)), 0.01)

    asyncio.run(main())


def test_a_task_not_started_can_be_cancelled():
    with ProcessPoolExecutor(1) as executor:
        first = executor.submit(slow, 1, 0.3)
        while not first.running():
            time.sleep(0.005)
        second = executor.submit(slow, 2)
        assert second.cancel() and second.cancelled() and second.done()
        assert not first.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            second.result()
        with pytest.raises(concurrent.futures.CancelledError):
            second.exception()
        assert first.result() == 1


def test_a_running_task_can_be_stopped():
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(time.sleep, 100)
        while not future.running():
            time.sleep(0.005)
        assert future.cancel(force=True)
        with pytest.raises(retinue.Cancelled):
            future.result(timeout=10)
        assert executor.submit(square, 4).result(timeout=10) == 16


def test_an_executor_that_was_shut_down_refuses():
    executor = ProcessPoolExecutor(2)
    executor.submit(square, 2)
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(square, 2)
    with pytest.raises(RuntimeError):
        executor.map(square, [2])
    never_used = ProcessPoolExecutor(2)
    never_used.shutdown()
    with pytest.raises(RuntimeError):
        never_used.submit(square, 2)


def test_shutdown_may_cancel_what_has_not_started():
    executor = ProcessPoolExecutor(1)
    first = executor.submit(slow, 1, 0.2)
    while not first.running():
        time.sleep(0.005)
    others = [executor.submit(slow, i) for i in range(10)]
    executor.shutdown(cancel_futures=True)
    assert first.result() == 1
    assert all(f.cancelled() for f in others)


def test_shutdown_need_not_be_waited_for(tmp_path):
    executor = ProcessPoolExecutor(1)
    future = executor.submit(gated, 1, tmp_path / "gate")
    executor.shutdown(wait=False)
    assert not future.done()
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)
    (tmp_path / "gate").touch()
    assert future.result(timeout=10) == 1


def test_an_executor_that_is_dropped_finishes_its_work():
    executor = ProcessPoolExecutor(1)
    future = executor.submit(slow, 1, 0.2)
    del executor
    assert future.result(timeout=10) == 1


def test_workers_can_be_ended_at_once():
    for end in "terminate_workers", "kill_workers":
        executor = ProcessPoolExecutor(2)
        running = executor.submit(time.sleep, 100)
        while not running.running():
            time.sleep(0.005)
        getattr(executor, end)()
        with pytest.raises(retinue.Error):
            running.result(timeout=10)
        with pytest.raises(RuntimeError):
            executor.submit(square, 1)


def test_arguments_of_the_constructor_are_checked():
    with pytest.raises(ValueError):
        ProcessPoolExecutor(0)
    with pytest.raises(ValueError):
        ProcessPoolExecutor(-1)
    with pytest.raises(TypeError):
        ProcessPoolExecutor(1, initializer=5)
    with pytest.raises(TypeError):
        ProcessPoolExecutor(1, max_tasks_per_child="5")
    with pytest.raises(ValueError):
        ProcessPoolExecutor(1, max_tasks_per_child=0)
    executor = ProcessPoolExecutor(1)
    with pytest.raises(TypeError):
        executor.submit()
    with pytest.raises(ValueError):
        executor.map(square, [1], chunksize=0)
    with pytest.raises(TypeError):
        executor.map(square, 5)
    with pytest.raises(TypeError):
        executor.submit(5).result()
    with pytest.raises(ValueError):
        executor.options(timeout=0)
    executor.shutdown()


def test_an_initializer_runs_once_in_each_worker():
    def set_up(value):
        global _was_set
        _was_set = value

    def seen(_):
        time.sleep(0.01)
        return os.getpid(), _was_set

    with ProcessPoolExecutor(2, initializer=set_up, initargs=(42,)) as executor:
        assert {value for _, value in executor.map(seen, range(20))} == {42}


def test_an_initializer_that_raises_ends_the_pool_and_says_why():
    def fail():
        raise LookupError("no licence")

    executor = ProcessPoolExecutor(1, initializer=fail)
    future = None
    with pytest.raises(concurrent.futures.process.BrokenProcessPool, match="no licence"):
        future = executor.submit(square, 1)
        future.result(timeout=10)
    executor.shutdown()


def test_workers_are_replaced_after_so_many_tasks():
    with ProcessPoolExecutor(1, max_tasks_per_child=3) as executor:
        pids = [executor.submit(os.getpid).result() for _ in range(9)]
    assert len(set(pids)) == 3


def test_what_was_global_when_the_first_task_was_submitted_is_seen():
    global _late
    executor = ProcessPoolExecutor(1)
    _late = "set after the executor was made"

    assert executor.submit(_read_late).result() == "set after the executor was made"
    executor.shutdown()


def _read_late():
    return _late


def test_pools_nest():
    def inner(n):
        with ProcessPoolExecutor(2) as executor:
            return sum(executor.map(square, range(n)))

    with ProcessPoolExecutor(2) as executor:
        assert list(executor.map(inner, [3, 4, 5])) == [5, 14, 30]


def test_pools_can_be_made_and_used_in_threads():
    results = []

    def use(n):
        with ProcessPoolExecutor(2) as executor:
            results.append(sum(executor.map(square, range(n))))

    threads = [threading.Thread(target=use, args=(100,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert results == [328350] * 4


def test_one_pool_can_be_used_by_many_threads(pool):
    results = []

    def use():
        results.append([pool.submit(square, i).result() for i in range(100)])
        results.append(list(pool.map(square, range(100))))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert results == [[i * i for i in range(100)]] * 16


def test_a_forked_child_cannot_use_its_parents_pool_and_does_not_hang(pool):
    future = pool.submit(slow, 1, 0.3)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                pool.submit(square, 1)
            except retinue.PoolClosed:
                try:
                    future.result(timeout=5)
                except retinue.PoolClosed:
                    code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert future.result() == 1


def test_workers_are_children_to_multiprocessing_and_leave_stdin_alone(pool):
    def who(_):
        process = multiprocessing.current_process()
        time.sleep(0.01)
        return process._identity, process.name, multiprocessing.parent_process().pid, sys.stdin.read()

    seen = set(pool.map(who, range(20)))
    assert {identity for identity, _, _, _ in seen} <= {(1,), (2,)}
    assert {parent for _, _, parent, _ in seen} == {os.getpid()}
    assert {read for _, _, _, read in seen} == {""}
