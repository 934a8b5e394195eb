"""What many tasks of a map are given is stored once, is right, and goes."""

import functools
import gc
import multiprocessing
import threading
import time

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
import retinue.multiprocessing  # noqa: E402
from large_data import eventually, first, in_use, in_use_at_rest, N, one, peak_of, pool, total  # noqa: E402, F401
from retinue.futures import ProcessPoolExecutor  # noqa: E402
from tasks import gated  # noqa: E402


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
        before = in_use_at_rest()
        unread = pool.map(total, (np.full(N, float(i)) for i in range(20)))
        pool.map(total, [np.full(N, float(i)) for i in range(20)])
        assert pool._wait_until_idle(20)
        assert eventually(lambda: pool.stats()["in_slots"] == 0 and in_use() <= before + 1.1 * 8 * N)
    assert list(unread) == [float(i * N) for i in range(20)]
    assert in_use() <= before + 1.1 * 8 * N


def test_what_runs_is_not_robbed_of_its_arguments_when_reading_inputs_fails(one, tmp_path):
    seen = retinue.shared_array(2)
    gate = tmp_path / "others are stored"

    def look(a, seen):
        seen[0] = a[0]
        gated(None, gate)
        seen[1] = a[-1]
        seen[0] += a.sum() / N

    def inputs():
        yield np.full(N, 5.0)
        assert eventually(lambda: seen[0] == 5.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(one.map(look, inputs(), [seen] * 2))
    assert eventually(lambda: seen[0] == 5.0)
    for _ in range(20):
        one.submit(first, np.full(N, -1.0))
    gate.touch()
    assert eventually(lambda: seen.tolist() == [10.0, 5.0])


def test_a_heavy_map_with_a_slow_task_waits_without_spinning(tmp_path):
    gate, last_read = tmp_path / "gate", [0, 0.0]

    def slow_first(a):
        return gated(float(a[0]), gate if a[0] == 0 else tmp_path)

    def inputs():
        for i in range(30):
            last_read[:] = i, time.monotonic()
            yield np.full(3 * N, float(i))

    with ProcessPoolExecutor(2) as pool:
        results = []
        reader = threading.Thread(target=lambda: results.extend(pool.map(slow_first, inputs())))
        reader.start()
        assert eventually(lambda: last_read[0] > 0 and time.monotonic() - last_read[1] > 1), "it stops for the slow one"
        used, elapsed = time.process_time(), time.monotonic()
        time.sleep(1)
        used, elapsed = time.process_time() - used, time.monotonic() - elapsed
        gate.touch()
        reader.join(30)
        assert results == list(range(30))
        gate.unlink()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            list(pool.map(slow_first, inputs(), timeout=0.3))
        assert time.monotonic() - began < 20, "the slow one is not waited for"
        gate.touch()
    assert used < elapsed / 4


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
    before = in_use_at_rest()
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
