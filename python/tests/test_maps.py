"""ProcessPoolExecutor.map: order, laziness, failures, the end of the inputs and of the pool."""

import itertools
import os
import subprocess
import sys
import threading
import time

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from tasks import add, gated, slow, square


def test_a_map_walks_its_iterables_together(pool):
    assert list(pool.map(add, range(5), [10] * 3)) == [10, 11, 12]
    assert list(pool.map(pow, [2, 3], [5, 2], [7, 7])) == [4, 2]
    assert list(pool.map(square, [])) == []
    assert list(pool.map(square)) == []


def test_an_endless_input_is_read_only_as_far_as_needed(pool):
    read = 0

    def count():
        nonlocal read
        while True:
            yield read
            read += 1

    results = pool.map(square, itertools.count())
    assert [next(results) for _ in range(100)] == [i * i for i in range(100)]
    results.close()
    assert list(results) == []

    few = pool.map(square, count(), buffersize=3)
    assert next(few) == 0
    assert read <= 4
    few.close()


def test_a_map_that_fails_at_an_item_goes_on_after_it(pool):
    results = pool.map(lambda x: 1 // x, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 1
    with pytest.raises(StopIteration):
        next(results)


def test_an_input_that_raises_ends_the_map_after_the_results_before_it(pool):
    def inputs():
        yield 1
        yield 2
        raise KeyError("inputs")

    results = pool.map(square, inputs(), buffersize=10)
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(KeyError):
        next(results)
    assert list(results) == []


def test_an_input_that_asks_for_a_result_of_its_own_map_gets_an_error(pool):
    results = None

    def inputs():
        yield 1
        yield 2
        while True:
            yield next(results)

    results = pool.map(square, inputs(), buffersize=2)
    with pytest.raises(ValueError):
        list(results)


def test_a_map_has_a_timeout(own_pool):
    assert list(own_pool.map(slow, range(2))) == [0, 1]  # the time of the other one is not that of the pool's start
    results = own_pool.map(slow, [0.0, 1], [0, 1000], timeout=2)
    assert next(results) == 0.0
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        next(results)
    assert time.monotonic() - begin < 20


def test_an_unordered_map_gives_what_is_ready(own_pool, tmp_path):
    gates = [tmp_path / "three are read", *[tmp_path] * 3]  # the last are there
    results = own_pool.options(ordered=False).map(gated, [1, 2, 3, 4], gates)
    assert [next(results) for _ in range(3)] == [2, 3, 4]
    (tmp_path / "three are read").touch()
    assert next(results) == 1


def test_a_map_nobody_looks_at_runs_all_the_same(tmp_path):
    def touch(i):
        (tmp_path / str(i)).touch()

    with ProcessPoolExecutor(2) as executor:
        executor.map(touch, (i for i in range(3000)))
    assert len(list(tmp_path.iterdir())) == 3000


def test_results_can_be_read_after_the_pool_has_ended():
    with ProcessPoolExecutor(2) as executor:
        results = executor.map(square, (i for i in range(10_000)))
        future = executor.submit(square, 12)
    assert list(results) == [i * i for i in range(10_000)]
    assert future.result() == 144


def test_a_stop_iteration_in_a_task_does_not_end_the_map_silently(pool):
    def stop_at_three(x):
        if x == 3:
            raise StopIteration
        return x

    results = pool.map(stop_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(results)
    assert list(results) == [4, 5]


def test_few_inputs_are_all_submitted_whether_or_not_somebody_reads(tmp_path):
    with ProcessPoolExecutor(2) as executor:
        results = executor.map(lambda i: (tmp_path / str(i)).touch(), range(300))
        end = time.monotonic() + 20
        while len(list(tmp_path.iterdir())) < 300 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(list(tmp_path.iterdir())) == 300
        assert len(list(results)) == 300


@pytest.mark.parametrize("kind", ["range", "generator"])
def test_a_map_nobody_reads_runs_though_its_pool_is_dropped(kind, tmp_path):
    counted = os.open(tmp_path / "counted", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def start(executor):
        executor.map(lambda _: os.write(counted, b"."), range(20_000) if kind == "range" else (i for i in range(20_000)))

    start(ProcessPoolExecutor(2))
    end = time.monotonic() + 20
    while os.fstat(counted).st_size < 20_000 and time.monotonic() < end:
        time.sleep(0.01)
    assert os.fstat(counted).st_size == 20_000
    os.close(counted)


def test_a_begun_map_over_a_list_can_be_read_to_its_end_after_the_pool():
    with ProcessPoolExecutor(2) as executor:
        results = executor.map(square, range(50_000))
        assert next(results) == 0
    assert list(results) == [i * i for i in range(1, 50_000)]


def test_shutdown_while_another_thread_reads_a_map():
    def slow_inputs():
        for i in range(1000):
            time.sleep(0.005)
            yield i

    executor = ProcessPoolExecutor(2)
    ended = []

    def read():
        try:
            ended.append(list(executor.map(square, slow_inputs())))
        except RuntimeError as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)
    executor.shutdown()
    reader.join(10)
    assert len(ended) == 1 and executor.worker_pids() == []


def test_a_map_that_a_shutdown_reads_to_its_end_can_be_read_meanwhile():
    reading = threading.Event()

    class Slow:
        def __len__(self):
            return 10_000

        def __getitem__(self, i):
            if i >= 10_000:
                raise IndexError
            if i > 9_000:
                reading.set()
                time.sleep(0.0002)
            return i

    with ProcessPoolExecutor(2) as pool:
        results = pool.map(abs, Slow(), buffersize=100)
        assert not reading.is_set()
        ender = threading.Thread(target=pool.shutdown)
        ender.start()
        assert reading.wait(20)
        assert list(results) == list(range(10_000))
        ender.join(20)
        assert not ender.is_alive()


@pytest.mark.parametrize("end", ["shut_down", "cancelled", "terminated"])
def test_a_map_whose_pool_ends_gives_what_was_submitted_and_then_says_so_once(end):
    executor = ProcessPoolExecutor(1)
    results = executor.map(slow, itertools.count(), itertools.repeat(0.001))
    got = [next(results) for _ in range(5)]
    if end == "terminated":
        executor.terminate_workers()
    else:
        executor.shutdown(wait=False, cancel_futures=end == "cancelled")
    while True:
        try:
            got.append(next(results))
        except StopIteration:
            break
        except Exception as error:
            got.append(type(error))
    executor.shutdown()
    values = [x for x in got if isinstance(x, int)]
    assert values == list(range(len(values)))
    assert got[: len(values)] == values  # what was cancelled, or died, comes after them
    assert got.count(retinue.PoolClosed) == 1 and got[-1] is retinue.PoolClosed
    assert len(got) < 500


def test_a_dropped_map_may_end_with_code_that_submits():
    """Which runs where dropped maps are released."""
    program = """
import time
from retinue.futures import ProcessPoolExecutor

class Function:
    def __call__(self, x):
        return x

    def __del__(self):
        time.sleep(0.0001)  # others get the GIL
        if len(ended) < 300:
            ended.append([executor.submit(abs, -1) for _ in range(3)])

ended = []
with ProcessPoolExecutor(2) as executor:
    while len(ended) < 300:
        for _ in range(10):
            executor.map(Function(), range(3))
        executor.submit(time.sleep, 0.005).result()
    assert all(future.result() == 1 for futures in list(ended) for future in futures)
print("fine")
"""
    ended = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")


def test_a_map_that_is_dropped_while_a_shutdown_reads_it_runs_to_its_end(tmp_path, monkeypatch):
    def touch(i):
        (tmp_path / str(i)).touch()

    reading, dropped = threading.Event(), threading.Event()

    def inputs():
        for i in range(3000):
            if i == 2000:
                reading.set()
                assert dropped.wait(20)
            yield i

    faults = []
    monkeypatch.setattr("sys.unraisablehook", faults.append)
    executor = ProcessPoolExecutor(2)
    results = executor.map(touch, inputs(), buffersize=100)
    ender = threading.Thread(target=executor.shutdown)
    ender.start()
    assert reading.wait(20)
    del results
    dropped.set()
    ender.join(20)
    assert not ender.is_alive() and faults == []
    assert len(list(tmp_path.iterdir())) == 3000
