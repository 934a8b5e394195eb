"""Large results: arrays over the memory that the worker wrote, for as long as anybody has them."""

import gc
import multiprocessing
import os
import signal
import threading
import time

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
from large_data import eventually, in_use, in_use_at_rest, keep, look_at_kept, make, N, one, pool  # noqa: E402, F401
from retinue.futures import ProcessPoolExecutor  # noqa: E402


def test_a_result_is_writable_and_its_memory_goes_with_it(pool):
    before = in_use_at_rest()
    a = pool.submit(make, N).result()
    assert a.sum() == N / 2 and a.flags.writeable
    assert in_use() >= before + 8 * N
    part = a[10:20]
    a[:] = 1.0
    del a
    gc.collect()
    assert in_use() >= before + 8 * N, "a view of it lives"
    assert part.sum() == 10.0
    del part
    assert eventually(lambda: in_use() <= before)


def test_results_are_not_disturbed_by_later_ones(pool):
    results = [pool.submit(make, N, float(i)).result() for i in range(20)]
    results[3][:] = -3
    more = list(pool.map(make, [N] * 10, range(100, 110)))
    assert [(r.min(), r.max()) for r in results] == [(i, i) if i != 3 else (-3, -3) for i in range(20)]
    assert [(r.min(), r.max()) for r in more] == [(i, i) for i in range(100, 110)]


def test_a_result_outlives_its_pool_and_its_worker():
    before = in_use_at_rest()
    with ProcessPoolExecutor(1) as pool:
        a = pool.submit(make, N, 4.0).result()
        os.kill(pool.worker_pids()[0], signal.SIGKILL)
        b = pool.submit(make, N, 5.0).result()
        c = list(pool.map(make, [N], [6.0]))[0]
    assert in_use() >= before + 3 * 8 * N
    with ProcessPoolExecutor(1) as pool:
        for i in range(3):
            pool.submit(make, N, 50.0).result()
    assert (a.sum(), b.sum(), c.sum()) == (4.0 * N, 5.0 * N, 6.0 * N)
    a += 1
    assert a.sum() == 5.0 * N
    del a, b, c
    assert eventually(lambda: in_use() <= before)


def test_a_forked_child_keeps_a_result_that_its_parent_has_dropped(pool):
    a = pool.submit(make, N, 2.0).result()
    go, done = multiprocessing.Event(), multiprocessing.SimpleQueue()

    def look():
        go.wait(20)
        done.put((float(a.min()), float(a.max())))
        a[:] = 9
        done.put(float(a.max()))

    child = multiprocessing.get_context("fork").Process(target=look)
    child.start()
    b = a.copy()
    view = a[:1]
    del a
    del look
    gc.collect()
    for i in range(6):
        pool.submit(make, N, 77.0).result()
    go.set()
    assert done.get() == (2.0, 2.0)
    assert done.get() == 9.0
    child.join(20)
    assert b.sum() == 2.0 * N and view[0] == 2.0


def test_workers_of_a_later_pool_keep_results_of_an_earlier_one(pool):
    a = pool.submit(make, N, 2.0).result()
    with ProcessPoolExecutor(1, initializer=keep, initargs=(a,)) as later:
        del a
        for _ in range(6):
            pool.submit(make, N, 77.0).result()
        assert later.submit(look_at_kept).result()[-1] == (2.0, 2.0)


def test_a_forked_child_cannot_take_a_result_of_its_parent(pool):
    future = pool.submit(make, N, 2.0)
    while not future.done():
        time.sleep(0.001)
    pool.submit(len, "").result()
    answers = multiprocessing.SimpleQueue()

    def look():
        try:
            answers.put(future.result().sum())
        except Exception as error:
            answers.put(type(error).__name__)

    for _ in range(3):
        child = multiprocessing.get_context("fork").Process(target=look)
        child.start()
        assert answers.get() == "PoolClosed"
        child.join(20)
    assert future.result().sum() == 2.0 * N
    assert eventually(lambda: pool.submit(make, N, 3.0).result().sum() == 3.0 * N)


def test_one_result_for_many_threads(pool):
    for _ in range(10):
        future = pool.submit(lambda: [np.full(N // 4, float(i)) for i in range(4)])
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(future.result())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(seen) == 8 and all(s is seen[0] for s in seen)
        assert [a.sum() for a in seen[0]] == [i * (N // 4) for i in range(4)]


def test_very_many_results_may_live(pool):
    before = in_use_at_rest()
    results = list(pool.map(make, [140_000] * 600, range(600)))
    assert all(r[0] == i and r[-1] == i for i, r in enumerate(results))
    del results
    assert eventually(lambda: in_use() <= before)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_fresh_workers_do_the_same(method):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        a = np.ones(N)
        assert pool.submit(np.sum, a).result() == N
        assert list(pool.map(np.sum, [a] * 5)) == [N] * 5
        back = pool.submit(np.sqrt, a).result()
        back += 1
        assert back.sum() == 2 * N
        shared = retinue.shared_array((10, 20))
        pool.submit(np.copyto, shared[3], 1.0).result()
        assert shared.sum() == 20


def test_a_pool_inside_a_task_does_the_same(one):
    def outer(a):
        with ProcessPoolExecutor(1) as inner:
            b = inner.submit(np.sqrt, a).result()
            c = list(inner.map(np.sum, [b, b, a]))
        b += a
        return b, c

    b, c = one.submit(outer, np.full(N, 4.0)).result()
    assert c == [2 * N, 2 * N, 4 * N]
    assert b.min() == b.max() == 6.0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_shared_array_is_given_on_to_a_pool_inside_a_task(one, method):
    def outer(a, v, method):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as inner:
            return inner.submit(np.sum, a).result(), inner.submit(sum, [a[0], v]).result().tolist()

    shared = retinue.shared_array((2, 3))
    shared[:] = 2
    assert one.submit(outer, shared, retinue.share(np.ones(3)), method).result() == (12, [3, 3, 3])
