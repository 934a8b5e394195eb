"""NumPy arrays as arguments and results, shared arrays, shared values."""

import copy
import functools
import gc
import itertools
import os
import pickle
import threading
import time

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
from retinue.futures import ProcessPoolExecutor  # noqa: E402


def total(a):
    return float(a.sum())


def fill(a, i):
    a[i] = i


def eventually(holds):
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def double_in_place(a):
    a *= 2
    return a


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 100_000, 5_000_000])
def test_arrays_travel_there_and_back(pool, size):
    a = np.arange(size, dtype="float64")
    assert pool.submit(total, a).result() == a.sum()
    back = pool.submit(np.sqrt, a).result()
    assert np.array_equal(back, np.sqrt(a))
    back += 1  # it is the owner's to write to


def test_arrays_of_every_layout_travel(pool):
    def echo(x):
        return x

    base = np.arange(24, dtype="int32").reshape(2, 3, 4)
    for a in (base, base.T, base[:, ::2], np.asfortranarray(base), base[::-1], np.array("x"), np.array([1, "a", None])):
        back = pool.submit(echo, a).result()
        assert np.array_equal(back, a) and back.dtype == a.dtype and back.shape == a.shape


def test_an_argument_is_the_tasks_to_change(pool):
    a = np.ones(10_000)
    assert pool.submit(double_in_place, a).result().sum() == 20_000
    assert a.sum() == 10_000


def test_many_arrays_in_one_argument_travel(pool):
    def add_up(parts):
        return {name: a.sum() for name, a in parts.items()}

    parts = {str(i): np.full(1000 * i, i) for i in range(10)}
    assert pool.submit(add_up, parts).result() == {name: a.sum() for name, a in parts.items()}


def test_a_shared_array_is_read_and_written_by_all(pool):
    shared = retinue.shared_array(100, dtype="int64")
    assert isinstance(shared, np.ndarray) and shared.sum() == 0
    list(pool.map(fill, [shared] * 100, range(100)))
    assert shared.sum() == 4950
    shared[:] = 1
    assert pool.submit(total, shared).result() == 100


def test_views_of_a_shared_array_travel_by_name_too(pool):
    shared = retinue.shared_array((10, 20))

    def set_to(view, value):
        view[...] = value

    list(pool.map(set_to, [shared[i, ::2] for i in range(10)], range(10)))
    assert shared[:, ::2].tolist() == [[i] * 10 for i in range(10)]
    assert shared[:, 1::2].sum() == 0
    pool.submit(set_to, shared.T[5:, ::-1], 7).result()
    assert (shared[:, 5:] == 7).all()


def test_arithmetic_on_a_shared_array_gives_ordinary_ones(pool):
    shared = retinue.shared_array(10)
    for made in (shared + 1, shared.copy(), np.sqrt(shared), shared.astype("int32")):
        back = pool.submit(double_in_place, made).result()
        assert np.array_equal(back, made * 2)
    assert float(shared.sum()) == 0.0


def test_a_shared_array_lives_as_long_as_a_task_may_use_it(pool):
    def look(a, _):
        return float(a[0]), len(a)

    futures = [pool.submit(look, retinue.shared_array(1000) + 0, i) for i in range(10)]
    futures += [pool.submit(look, filled(i), i) for i in range(10)]
    gc.collect()
    assert [f.result() for f in futures[10:]] == [(float(i), 1000) for i in range(10)]
    assert list(pool.map(look, (filled(i) for i in range(50)), range(50))) == [(float(i), 1000) for i in range(50)]


def filled(value):
    a = retinue.shared_array(1000)
    a[:] = value
    return a


def test_a_shared_array_comes_back_as_the_same_memory(pool):
    shared = retinue.shared_array(10)

    def unchanged(a):
        a[3] = 3
        return a

    back = pool.submit(unchanged, shared).result()
    back[4] = 4
    assert shared[3] == 3 and shared[4] == 4


def test_a_shared_array_that_a_task_makes_returns_by_value(pool):
    assert pool.submit(filled, 5).result().tolist() == [5.0] * 1000


def test_shared_arrays_take_no_objects():
    with pytest.raises(TypeError):
        retinue.shared_array(3, dtype=object)
    with pytest.raises(retinue.ResourceExhausted):
        retinue.shared_array(1 << 50)


def test_the_memory_of_shared_arrays_is_freed(pool):
    def in_use():
        gc.collect()
        return pool.stats()["bytes_in_use"]

    list(pool.map(total, [filled(1)] * 3))
    before = in_use()
    for _ in range(20):
        a = retinue.shared_array(1_000_000)
        pool.submit(total, a).result()
    del a
    assert eventually(lambda: in_use() <= before + 100_000)


def test_a_shared_value_arrives_as_itself_and_read_only(pool):
    big = np.ones(100_000)
    table = retinue.share(big)
    assert list(pool.map(total, [table] * 10)) == [100_000.0] * 10
    assert np.array_equal(table.value, big) and table.value is table.value
    with pytest.raises(ValueError, match="read-only"):
        table.value[0] = 2
    with pytest.raises(ValueError, match="read-only"):
        pool.submit(double_in_place, table).result()


def test_a_shared_value_is_loaded_once_in_each_worker(pool):
    table = retinue.share({"words": ["a", "b"] * 100, "array": np.arange(10)})

    def identity(value):
        assert value["words"][:2] == ["a", "b"]
        return os.getpid(), id(value)

    assert len(set(pool.map(identity, [table] * 100))) <= 2


def test_shared_values_that_are_dropped_free_their_memory(pool):
    def in_use():
        gc.collect()
        return pool.stats()["bytes_in_use"]

    before = in_use()
    for i in range(20):
        table = retinue.share(np.full(500_000, i))
        assert pool.submit(total, table).result() == 500_000 * i
    del table
    assert eventually(lambda: in_use() <= before + 100_000)


def test_shared_arrays_can_be_made_before_the_pool_and_captured():
    shared = retinue.shared_array(5)

    def set_one(i):
        shared[i] = i

    with ProcessPoolExecutor(2) as executor:
        list(executor.map(set_one, range(5)))
    assert shared.tolist() == [0, 1, 2, 3, 4]


def fill_all(a, value):
    a[:] = value
    return a


def test_a_shared_array_that_lives_only_in_its_result_is_not_freed(pool):
    results = [pool.submit(fill_all, retinue.shared_array(1000), i).result() for i in range(5)]
    others = [filled(99) for _ in range(5)]
    assert [float(a[0]) for a in results] == [0.0, 1.0, 2.0, 3.0, 4.0]
    del others
    mapped = list(pool.map(fill_all, (retinue.shared_array(1000) for _ in range(20)), range(20)))
    others = [filled(99) for _ in range(20)]
    assert [float(a[-1]) for a in mapped] == [float(i) for i in range(20)]
    del others


class Holder:
    def __init__(self, array):
        self.array = array

    def total(self):
        time.sleep(0.05)
        return float(self.array.sum())


@pytest.mark.parametrize("kind", ["closure", "partial", "method"])
def test_a_shared_array_that_a_function_holds_is_not_freed(pool, kind):
    def start():
        a = filled(1)
        holder = Holder(a)
        if kind == "closure":
            return pool.submit(lambda: time.sleep(0.05) or float(a.sum()))
        return pool.submit(functools.partial(total, a) if kind == "partial" else holder.total)

    futures = [start() for _ in range(10)]
    gc.collect()
    others = [filled(99) for _ in range(10)]
    assert [f.result() for f in futures] == [1000.0] * 10
    del others


def test_a_shared_array_pickled_for_other_purposes_is_its_data():
    shared = filled(3)
    data = pickle.dumps(shared)
    assert len(data) > 8000
    back = pickle.loads(data)
    assert type(back) is np.ndarray and back.tolist() == shared.tolist()
    assert copy.deepcopy(shared).tolist() == shared.tolist()
    assert pickle.loads(pickle.dumps(retinue.share([1, 2]))) == [1, 2]


def test_a_shared_value_that_a_task_makes_returns_as_itself(pool):
    back = [pool.submit(lambda i=i: retinue.share(np.full(1000, i))).result() for i in range(5)]
    assert [int(a[0]) for a in back] == [0, 1, 2, 3, 4]


def test_shared_arrays_are_kept_apart_by_threads_that_submit_at_once(pool):
    class Slow:
        def __reduce__(self):
            time.sleep(0.002)
            return int, ()

    totals = []

    def submit(value):
        futures = [pool.submit(lambda a, _: float(a.sum()), filled(value), Slow()) for _ in range(20)]
        totals.append({f.result() for f in futures})

    threads = [threading.Thread(target=submit, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert sorted(min(t) for t in totals) == [0.0, 1000.0, 2000.0, 3000.0] and all(len(t) == 1 for t in totals)


def test_a_map_over_many_shared_arrays_releases_each(pool):
    most = 0
    with pytest.warns(RuntimeWarning, match="buffersize"):
        sums = pool.map(total, (retinue.shared_array(100_000) for _ in range(300)))
    for _ in sums:
        most = max(most, pool.stats()["bytes_in_use"])
    assert most < 200 * 800_000


def fill_slowly(a, value):
    time.sleep(0.2)
    a[:] = value


def test_a_map_that_is_closed_keeps_what_its_running_tasks_write_to(pool):
    arrays = (retinue.shared_array(1000) for _ in itertools.count())
    results = pool.map(fill_slowly, arrays, itertools.count(1), buffersize=10)
    while pool.stats()["in_slots"] == 0:
        time.sleep(0.001)
    time.sleep(0.05)
    results.close()
    del results
    gc.collect()
    others = [retinue.shared_array(1000) for _ in range(50)]
    time.sleep(0.6)
    assert all(other.sum() == 0 for other in others)
