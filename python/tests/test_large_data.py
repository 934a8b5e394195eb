"""Large arguments and results: what is not copied, and that nobody can tell."""

import functools
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
import retinue.multiprocessing  # noqa: E402
from retinue.futures import ProcessPoolExecutor  # noqa: E402

N = 1_000_000  # of doubles: 8 MB, far more than what is copied


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def one():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def in_use():
    return retinue.shared_memory_usage()["bytes_in_use"]


def eventually(holds):
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def total(a):
    return float(a.sum())


def double_in_place(a):
    a *= 2
    return float(a.sum())


def make(n, value=0.5):
    return np.full(n, value)


def first(a, *_):
    return float(a[0])


kept = []


def keep(a):
    kept.append(a)


def look_at_kept():
    return [(float(a.min()), float(a.max())) for a in kept]


# Arguments


def test_an_argument_is_private_and_writable(pool):
    a = np.ones(N)
    assert [pool.submit(double_in_place, a).result() for _ in range(4)] == [2.0 * N] * 4
    assert list(pool.map(double_in_place, [a] * 20)) == [2.0 * N] * 20
    assert a.sum() == N


def test_an_argument_that_a_task_keeps_stays_as_it_was(one):
    for i in range(5):
        one.submit(keep, np.full(N, float(i))).result()
    for i in range(10):  # which lie where those lay
        one.submit(total, np.full(N, 100.0 + i)).result()
    assert one.submit(look_at_kept).result() == [(float(i), float(i)) for i in range(5)]
    one.submit(kept_clear).result()


def kept_clear():
    kept.clear()


def test_what_a_thread_still_reads_after_its_task_stays_as_it_was(one):
    def start(a):
        def later():
            time.sleep(0.3)
            kept.append(a)

        threading.Thread(target=later).start()

    one.submit(start, np.full(N, 7.0)).result()
    for i in range(10):
        one.submit(total, np.full(N, 100.0 + i)).result()
    time.sleep(0.5)
    assert one.submit(look_at_kept).result() == [(7.0, 7.0)]
    one.submit(kept_clear).result()


def test_a_retried_task_gets_its_argument_as_it_was():
    def spoil_and_die(a, once):
        if once[0] == 0:
            once[0] = 1
            a[:] = -1
            os.kill(os.getpid(), signal.SIGKILL)
        return float(a.sum())

    with ProcessPoolExecutor(1) as pool:
        once = retinue.shared_array(1)
        a = np.ones(N)
        assert pool.options(retries=2).submit(spoil_and_die, a, once).result() == N
        assert list(pool.options(retries=2).map(spoil_and_die, [a] * 3, [once] * 3)) == [N] * 3


def test_a_child_that_a_task_forks_sees_its_argument(one):
    def fork_and_look(a):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, repr((float(a.min()), float(a.max()))).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        return os.read(read, 100).decode()

    assert one.submit(fork_and_look, np.full(N, 3.0)).result() == "(3.0, 3.0)"


def test_bytes_and_bytearrays_travel(pool):
    def change(b):
        b[0] = 1
        return type(b).__name__, len(b), b[-1], b

    data = bytearray(os.urandom(3_000_000))
    name, length, last, back = pool.submit(change, data).result()
    assert (name, length, last) == ("bytearray", len(data), data[-1])
    assert back[0] == 1 and back[1:] == data[1:] and type(back) is bytearray
    small = bytearray(b"xyz")
    assert pool.submit(change, small).result()[3] == b"\x01yz" and small == b"xyz"
    fixed = bytes(data)
    assert pool.submit(bytes.__len__, fixed).result() == len(fixed)
    assert pool.submit(bytes, fixed).result() == fixed
    same = pool.submit(lambda a, b: a is b, data, data).result()
    assert same is True, "what is one object in a call is one object in the task"


class Block:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Block, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_buffers_of_other_types_travel(pool, size):
    data = os.urandom(size)
    back = pool.submit(lambda b: Block(bytes(b.data[:10])) if b.data == data else None, Block(data)).result()
    assert back.data[:10] == data[:10]
    back = pool.submit(lambda b: b, Block(bytearray(data))).result()
    back.data[0] = 1
    assert back.data[1:] == data[1:]


def test_a_pandas_frame_travels(pool):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": np.arange(N, dtype=float), "y": np.arange(N), "name": ["a"] * N})
    back = pool.submit(lambda f: f.assign(x=f.x * 2), frame).result()
    assert back.x.sum() == 2 * frame.x.sum() and back.name.iloc[-1] == "a"
    back.loc[0, "x"] = 5.0
    assert back.x[0] == 5.0 and frame.x[0] == 0.0


def test_an_arrow_table_travels(pool):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"x": np.arange(N, dtype=float)})
    back = pool.submit(lambda t: t.slice(10), table).result()
    assert back.num_rows == N - 10 and back.column("x")[0].as_py() == 10.0


# Results


def test_a_result_is_writable_and_its_memory_goes_with_it(pool):
    before = in_use()
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
    before = in_use()
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
    before = in_use()
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


# The same for many tasks


def peak_of(work):
    """What the most memory in use during `work` was beyond that before it, in bytes."""
    retinue.trim_shared_memory()
    program = "import retinue, numpy as np, functools, itertools\nfrom retinue.futures import ProcessPoolExecutor\n"
    program += textwrap.dedent(work)
    program += "\nprint(retinue.shared_memory_usage()['bytes_peak'], retinue.shared_memory_usage()['bytes_in_use'])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stderr
    peak, left = map(int, run.stdout.split())
    return peak, left


@pytest.mark.parametrize(
    "call",
    [
        "p.map(f, [a] * 1000, range(1000))",
        "p.map(f, itertools.repeat(a), range(1000))",
        "p.map(f, (a for _ in range(1000)), range(1000))",
        "p.map(functools.partial(f, a), range(1000))",
        "p.map(functools.partial(f, b=3, a=a), [()] * 1000)",
        "p.map(f, [a.tobytes()] * 1000, range(1000))",
    ],
)
def test_what_a_thousand_tasks_are_given_is_stored_once(call):
    setup = """
    a = np.arange(1_000_000.0)
    def f(*args, **names):
        a = names.get("a", args[0] if args else None)
        a = np.frombuffer(a) if isinstance(a, bytes) else a
        assert a[-1] == 999_999.0 and len(a) == 1_000_000
        if a.flags.writeable:
            a[-1] = 0
        return True
    with ProcessPoolExecutor(2) as p:
        assert all(%s)
    """
    peak, left = peak_of(setup % call)
    assert peak < 1.5 * 8_000_000
    assert left < 1_000_000


def test_two_arrays_in_turn_are_stored_once_each():
    peak, _ = peak_of(
        """
        a, b = np.zeros(1_000_000), np.ones(1_000_000)
        with ProcessPoolExecutor(2) as p:
            assert list(p.map(np.sum, [a, b] * 200)) == [0, 1_000_000] * 200
        """
    )
    assert peak < 2.5 * 8_000_000


@pytest.mark.parametrize("inputs", ["(np.full(1_000_000, i * 1.0) for i in range(100))", "[np.full(1_000_000, i * 1.0) for i in range(100)]"])
def test_large_inputs_are_not_read_far_ahead(inputs):
    peak, _ = peak_of(
        """
        with ProcessPoolExecutor(2) as p:
            for i, x in enumerate(p.map(np.sum, %s)):
                assert x == 1_000_000 * i
        """
        % inputs
    )
    assert peak < 15 * 8_000_000


def test_a_buffer_that_a_generator_fills_anew_is_not_taken_for_the_same(pool):
    def numbers():
        buffer = np.empty(N)
        for i in range(30):
            buffer[:] = i
            yield buffer

    assert list(pool.map(total, numbers())) == [float(i * N) for i in range(30)]
    assert list(pool.map(total, (np.full(N, float(i)) for i in range(30)))) == [float(i * N) for i in range(30)]
    assert list(pool.map(total, [np.full(N, float(i)) for i in range(30)])) == [float(i * N) for i in range(30)]


class Frame:
    """Pickles through one buffer, which it fills anew each time."""

    scratch = np.empty(N)

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        self.scratch[:] = self.value
        return total, (self.scratch,)


def test_what_pickling_changes_is_not_taken_for_the_same_but_what_the_loop_changes_is(pool):
    assert list(pool.map(float, [Frame(i) for i in range(10)])) == [float(i * N) for i in range(10)]
    a = np.zeros(N)
    seen = []
    for sum_of_then in pool.map(total, [a] * 100, buffersize=4):
        seen.append(sum_of_then)
        a += 1
    assert seen == [0.0] * 100, "as it was when the map began"


class Item:
    scratch = np.empty(N)

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        self.scratch[:] = self.value
        return first, (self.scratch,)


def test_what_getting_at_the_arguments_changes_is_not_taken_for_the_same():
    buffer = np.empty(N)

    def arguments(value):
        buffer[:] = value
        yield buffer

    def objects(value):
        array = np.empty(1, dtype=object)
        array[0] = Item(value)
        return array

    with retinue.multiprocessing.Pool(2) as pool:
        assert pool.starmap(first, [arguments(i) for i in range(6)]) == [float(i) for i in range(6)]
        assert pool.map(first, [objects(i) for i in range(6)]) == [float(i) for i in range(6)]


def test_a_shared_value_is_read_by_children_as_it_was_or_not_at_all(pool):
    table = retinue.share(np.full(N, 7.0))
    answers = multiprocessing.SimpleQueue()
    go = multiprocessing.Event()

    def look():
        answers.put(float(table.value.sum()) / N)

    def look_late():
        go.wait(20)
        try:
            answers.put(float(table.value.sum()) / N)
        except ValueError as error:
            answers.put(str(error))

    children = [multiprocessing.get_context("fork").Process(target=look) for _ in range(2)]
    children.append(multiprocessing.get_context("fork").Process(target=look_late))
    for child in children:
        child.start()
    assert [answers.get(), answers.get()] == [7.0, 7.0]
    del table, look, look_late
    gc.collect()
    others = [retinue.share(np.full(N, -1.0)) for _ in range(3)]
    go.set()
    assert "is gone" in answers.get()
    for child in children:
        child.join(20)
    assert others[0].value[0] == -1.0


def test_memory_of_a_map_that_nobody_reads_goes_as_its_tasks_end():
    with ProcessPoolExecutor(2) as pool:
        before = in_use()
        unread = pool.map(total, (np.full(N, float(i)) for i in range(20)))
        pool.map(total, [np.full(N, float(i)) for i in range(20)])
        assert pool._wait_until_idle(20)
        assert eventually(lambda: pool.stats()["in_slots"] == 0 and in_use() <= before + 1.1 * 8 * N)
    assert list(unread) == [float(i * N) for i in range(20)]
    assert in_use() <= before + 1.1 * 8 * N


def test_what_runs_is_not_robbed_of_its_arguments_when_reading_inputs_fails(one):
    seen = retinue.shared_array(2)

    def look(a, seen):
        seen[0] = a[0]
        time.sleep(0.5)
        seen[1] = a[-1]
        seen[0] += a.sum() / N

    def inputs():
        yield np.full(N, 5.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(one.map(look, inputs(), [seen] * 2))
    assert eventually(lambda: seen[0] == 5.0)
    for _ in range(20):
        one.submit(first, np.full(N, -1.0))
    assert eventually(lambda: seen.tolist() == [10.0, 5.0])


def test_a_heavy_map_with_a_slow_task_waits_without_spinning():
    def slow_first(a):
        if a[0] == 0:
            time.sleep(1.0)
        return float(a[0])

    with ProcessPoolExecutor(2) as pool:
        start = time.process_time()
        assert list(pool.map(slow_first, (np.full(3 * N, float(i)) for i in range(30)))) == list(range(30))
        used = time.process_time() - start
        began = time.monotonic()
        results = pool.map(slow_first, (np.full(3 * N, float(i)) for i in range(30)), timeout=0.3)
        with pytest.raises(TimeoutError):
            list(results)
        assert time.monotonic() - began < 0.9
    assert used < 1.2, "most of it is writing 30 arrays"


def test_bound_arguments_of_a_partial_are_each_tasks_own(pool):
    def use(a, b, i, scale=None, shift=0.0):
        a += i
        return float(a[0]), b, float(scale[-1]), shift

    f = functools.partial(use, np.zeros(N), "b", scale=np.full(N, 2.0), shift=0.5)
    assert list(pool.map(f, range(20))) == [(float(i), "b", 2.0, 0.5) for i in range(20)]
    objects = [{"i": i} for i in range(3)]  # which need pickle
    assert list(pool.map(functools.partial(lambda a, d, e: (a.sum(), d["i"], e["i"]), np.ones(N)), objects, objects)) == [
        (N, i, i) for i in range(3)
    ]


def test_memory_of_a_map_goes_with_it(pool):
    before = in_use()
    a = np.ones(N)
    assert len(list(pool.map(first, [a] * 10, range(10)))) == 10
    assert len(list(pool.map(functools.partial(first, a), range(10)))) == 10
    assert eventually(lambda: in_use() <= before)
    left_early = pool.map(first, [a] * 1000, range(1000))
    next(left_early)
    left_early.close()
    del left_early
    pool.submit(len, "").result()
    assert eventually(lambda: pool.submit(len, "").result() == 0 and in_use() <= before)


# Shared arrays by name


@pytest.mark.parametrize("dtype", ["float64", "int8", "uint16", "bool", "complex64", ">i4", "datetime64[s]", "f4,i8", "S5", "f2"])
def test_shared_arrays_of_every_type_travel_by_name(pool, dtype):
    def ones(a):
        a[...] = np.ones(1).astype(a.dtype)[0]
        return a.dtype.str, a.shape

    a = retinue.shared_array((4, 6), dtype)
    for view in (a, a[1:3, ::2], a.T, a[::-1, ::-1], a[2], np.asfortranarray(a).view(), a[:0], a[3, 3:4].reshape(())):
        a.view("u1")[...] = 0
        assert pool.submit(ones, view).result() == (a.dtype.str, view.shape)
    a.view("u1")[...] = 0
    pool.submit(ones, a[1:3, ::2]).result()
    assert a.view("u1").reshape(4, 6, -1).any(axis=2).sum() == 6


def test_the_shape_of_a_shared_array_is_each_tasks_own(one):
    def reshape(a):
        before = a.shape
        a.shape = (-1,)
        return before

    a = retinue.shared_array((3, 4))
    assert list(one.map(reshape, [a] * 5)) == [(3, 4)] * 5


def test_shared_values_travel_inside_and_beside_others(pool):
    table, array = retinue.share({"x": np.arange(N)}), retinue.shared_array(4)

    def use(i, t, a, more=None):
        a[i] = t["x"][i]
        return more is None or more[0] is t

    assert all(pool.map(use, range(4), [table] * 4, [array] * 4))
    assert array.tolist() == [0, 1, 2, 3]
    assert pool.submit(use, 0, table, array, more=[table]).result()
    assert pool.submit(lambda t: t["x"].flags.writeable, table).result() is False


# Limits


def test_usage_is_told(pool):
    before = retinue.shared_memory_usage()
    array = retinue.shared_array(N)
    after = retinue.shared_memory_usage()
    assert after["bytes_in_use"] >= before["bytes_in_use"] + 8 * N
    assert after["blocks"] == before["blocks"] + 1
    assert after["bytes_peak"] >= after["bytes_in_use"] and after["bytes_reserved"] >= after["bytes_in_use"]
    assert pool.stats()["blocks"] == after["blocks"]
    del array
    assert retinue.shared_memory_usage()["bytes_in_use"] == before["bytes_in_use"]


def test_a_limit_is_kept_to_by_owner_and_workers():
    peak_of(  # in a process of its own, where nothing is warm
        """
        N = 1_000_000
        def make(n):
            return np.ones(n)
        def refused(work):
            try:
                work()
            except retinue.ResourceExhausted as error:
                return "limit of shared memory" in str(error)
        with ProcessPoolExecutor(2) as pool:
            limit = retinue.shared_memory_usage()["bytes_reserved"] + 20_000_000
            retinue.limit_shared_memory(limit)
            assert pool.submit(np.sum, np.ones(N)).result() == N
            assert refused(lambda: pool.submit(np.sum, np.ones(4 * N)))
            assert refused(lambda: list(pool.map(np.sum, [np.ones(4 * N)])))
            assert refused(lambda: pool.submit(make, 4 * N).result())
            assert refused(lambda: retinue.shared_array(4 * N))
            assert retinue.shared_memory_usage()["bytes_reserved"] <= limit
            sums = pool.map(np.sum, (np.full(N, i) for i in range(20)))  # as many as there is memory for, one after the other
            assert list(sums) == [i * N for i in range(20)]
            results = pool.map(np.sum, (np.full(n * N, 1.0) for n in [1, 4, 1]))
            assert next(results) == N
            assert refused(lambda: next(results))
            assert list(results) == [N]
            with ProcessPoolExecutor(1) as unread:
                results = unread.map(np.sum, (np.full(N, i) for i in range(20)))
            assert list(results) == [i * N for i in range(20)]
            full = []
            with ProcessPoolExecutor(1) as unread:
                unread.submit(len, "").result()
                try:
                    while True:
                        full.append(retinue.shared_array(30_000))
                except retinue.ResourceExhausted:
                    pass
                results = unread.map(str, itertools.chain(range(100), [__import__("_thread").allocate_lock()]))
            for i in range(100):
                assert next(results) == str(i)
            try:
                next(results)
            except retinue.Error:
                full.clear()
            assert not full
            assert pool.submit(np.sum, np.ones(1000)).result() == 1000
            assert pool.submit(np.sum, np.ones(2 * N)).result() == 2 * N  # in what one of 1 N has left
            retinue.limit_shared_memory(None)
            assert pool.submit(np.sum, np.ones(4 * N)).result() == 4 * N
        """
    )
    for wrong in (0, -1, "1G"):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            retinue.limit_shared_memory(wrong)


def test_a_limit_can_come_from_outside():
    program = "import retinue; print(retinue.shared_memory_usage()['bytes_limit']); retinue.shared_array(10_000_000)"

    def run(text):
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RETINUE_SHARED_MEMORY_LIMIT": text},
            capture_output=True,
            text=True,
            timeout=30,
        )

    told = run("50M")
    assert told.stdout.strip() == str(50 << 20) and "ResourceExhausted" in told.stderr
    assert run("1G").returncode == 0
    assert "must be a number of bytes" in run("much").stderr


def test_huge_pages_can_be_asked_for():
    program = """
    import retinue, numpy as np
    from retinue.futures import ProcessPoolExecutor
    assert retinue.use_huge_pages() in (True, False)
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(np.sum, np.ones(1_000_000)).result() == 1_000_000
    """
    for environment in ({}, {"RETINUE_HUGE_PAGES": "1"}):
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env={**os.environ, **environment}, check=True, timeout=30)
