"""When a map of an executor reads its inputs: in the call that makes it, but for what cannot change."""

import collections
import gc
import itertools
import signal
import tempfile
import threading
import time
import warnings

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
from tasks import add, gated, square

MANY = 20_000  # more than are submitted without being asked for


def first(row):
    return row[0]


def eventually(true, seconds=20):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


@pytest.fixture
def one():
    executor = ProcessPoolExecutor(1)
    yield executor
    executor.kill_workers()


@pytest.fixture
def small_bound():
    """An eighth of 64 MB is read in the call."""
    before = retinue.shared_memory_usage()["bytes_limit"]
    retinue.limit_shared_memory(64 << 20)
    yield 8 << 20
    retinue.limit_shared_memory(before or None)


class OwnWay(list):
    """A list whose iterator is code, which sees what it has become."""

    def __iter__(self):
        for i in range(len(self)):
            yield self[i]


@pytest.mark.parametrize("kind", [list, OwnWay, dict.fromkeys, collections.deque, dict.fromkeys, iter, lambda n: map(int, n)])
def test_what_a_map_works_on_is_settled_when_it_returns(pool, kind):
    numbers = list(range(MANY))
    inputs = kind(numbers)
    results = pool.map(square, inputs)
    if hasattr(inputs, "clear"):
        inputs.clear()
    numbers.clear()
    assert list(results) == [i * i for i in range(MANY)]


def test_inputs_that_look_at_what_changes_are_read_as_it_was(pool):
    scale = 1
    results = pool.map(first, ((i * scale,) for i in range(MANY)))
    scale = 1000
    assert sum(results) == sum(range(MANY))
    with tempfile.TemporaryFile("w+") as lines:
        lines.write("abc\n" * MANY)
        lines.seek(0)
        lengths = pool.map(len, lines)
    assert list(lengths) == [4] * MANY


def test_a_buffer_that_the_inputs_fill_anew_is_sent_as_it_was(pool):
    def lines():
        buffer, row = bytearray(4), [0]
        for i in range(MANY):
            buffer[:] = i.to_bytes(4, "little")
            row[0] = i
            yield buffer, row

    assert list(pool.map(lambda both: int.from_bytes(both[0], "little") - both[1][0], lines())) == [0] * MANY


def test_inputs_are_walked_as_zip_walks_them(pool):
    def noted(name, n):
        for i in range(n):
            notes.append((name, i))
            yield i
        notes.append((name, "end"))

    notes = []
    expected = [a + b for a, b in zip(noted("a", 3), noted("b", 2))]
    by_zip, notes = notes, []
    assert list(pool.map(add, noted("a", 3), noted("b", 2))) == expected
    assert notes == by_zip


def test_an_iterator_that_the_caller_goes_on_with_is_where_the_standard_leaves_it(pool):
    for make in (itertools.count, lambda: iter(range(10)), lambda: iter(list(range(10))), lambda: iter(tuple(range(10)))):
        numbers = make()
        maps = [pool.map(add, numbers, [0, 0]) for _ in range(2)]
        after = next(numbers)
        standard = make()
        expected = [[a + b for a, b in zip(standard, [0, 0])] for _ in range(2)]
        assert [list(m) for m in maps] == expected and after == next(standard)


def test_what_cannot_change_is_not_read_in_the_call(pool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for inputs in (itertools.count(), range(10**15), itertools.repeat(7)):
            endless = pool.map(abs, inputs)
            assert [next(endless) for _ in range(3)] in ([0, 1, 2], [7, 7, 7])
            endless.close()
        numbers = itertools.count()
        endless = pool.map(abs, numbers)
        assert next(endless) == 0
        endless.close()


def test_what_the_inputs_raise_leaves_the_call_and_nothing_more_begins(one, tmp_path):
    def inputs(n):
        for i in range(n):
            yield i
        raise KeyError("inputs")

    for n in (0, 3, MANY):
        with pytest.raises(KeyError, match="inputs"):
            one.map(gated, inputs(n), itertools.repeat(tmp_path / "no"))
    (tmp_path / "no").touch()
    assert one.submit(square, 3).result(20) == 9
    done = one.stats()
    assert done["finished"] - done["cancelled"] <= 3
    with pytest.raises(TypeError):
        one.map(square, 5)


def test_workers_begin_while_inputs_are_read(one, tmp_path):
    def waits_for_each():
        for i in range(20):
            yield tmp_path / str(i)
            assert eventually((tmp_path / str(i)).exists)

    def waits_for_many():
        paths = [tmp_path / f"many {i}" for i in range(1000)]
        yield from paths
        assert eventually(paths[-1].exists)

    assert list(one.map(lambda path: path.touch(), waits_for_each())) == [None] * 20
    assert list(one.map(lambda path: path.touch(), waits_for_many())) == [None] * 1000


def test_inputs_that_wait_for_room_made_by_workers_are_read_to_their_end(one):
    """As a semaphore does that workers release: more of them than are submitted without being asked for."""
    done = retinue.shared_array(1, dtype="int64")

    def note(i):
        done[0] = i
        return i

    def inputs():
        for i in range(3 * 4096):
            assert done[0] >= i - 200 or eventually(lambda: done[0] >= i - 200)
            yield i

    assert list(one.map(note, inputs())) == list(range(3 * 4096))


def test_many_inputs_of_all_kinds_come_out_in_order(pool):
    np = pytest.importorskip("numpy")
    table = retinue.shared_array(10)
    large, lock = np.ones(30_000), threading.Lock()
    kinds = [lambda i: i, lambda i: "x" * (i % 5000), lambda i: [i] * 300, lambda i: table, lambda i: large, lambda i: lock]
    outcomes = [lambda i: i, lambda i: i % 5000, lambda i: 300, lambda i: 10, lambda i: 30_000, lambda i: retinue.PicklingError]

    def size(x):
        return x if isinstance(x, int) else len(x)

    results = pool.map(size, (kinds[i % 6](i) for i in range(MANY)))
    for i in range(MANY):
        try:
            assert next(results) == outcomes[i % 6](i)
        except retinue.PicklingError:
            assert i % 6 == 5
    assert list(results) == []
    unordered = pool.options(ordered=False).map(square, (i for i in range(MANY)))
    assert sorted(unordered) == [i * i for i in range(MANY)]


def test_a_task_that_waits_takes_little_memory(one, tmp_path):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    gate, n = tmp_path / "gate", 400_000
    blocker = one.submit(gated, 0, gate)
    gc.collect()
    before = resident()
    results = one.map(abs, (i for i in range(n)))
    assert resident() - before < 50 * n
    gate.touch()
    assert blocker.result(20) == 0 and sum(results) == sum(range(n))


def test_beyond_the_bound_inputs_are_read_lazily_with_one_warning(small_bound):
    read = 0

    def inputs():
        nonlocal read
        for i in range(3000):
            read = i
            yield bytes([i % 256]) * 20_000
        raise KeyError("inputs")

    with ProcessPoolExecutor(2) as pool:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            results = pool.map(first, inputs())
            assert small_bound / 20_000 * 0.8 < read < small_bound / 20_000 * 1.2
            assert [next(results) for _ in range(3000)] == [i % 256 for i in range(3000)]
        with pytest.raises(KeyError):
            next(results)
        assert list(results) == []
        (warning,) = seen
        assert "buffersize=" in str(warning.message) and warning.filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning):
                pool.map(first, inputs())
            list(itertools.islice(pool.map(first, inputs(), buffersize=5), 2900))
        assert pool.submit(square, 3).result() == 9


def test_a_list_beside_too_many_inputs_is_as_it_was(small_bound):
    with ProcessPoolExecutor(2) as pool:
        numbers = list(range(3000))
        with pytest.warns(RuntimeWarning):
            results = pool.map(lambda a, b: b, (b"x" * 20_000 for _ in range(3000)), numbers)
        numbers.clear()
        assert list(results) == list(range(3000))


@pytest.mark.parametrize("begun", [False, True])
def test_what_was_read_in_the_call_is_run_though_the_pool_ends(begun):
    with ProcessPoolExecutor(2) as pool:
        results = pool.map(square, (i for i in range(MANY)))
        if begun:
            assert next(results) == 0
    assert list(results) == [i * i for i in range(begun, MANY)]


def test_a_map_that_is_dropped_unread_runs_and_one_that_is_left_does_not(tmp_path):
    def touch(path):
        path.touch()

    with ProcessPoolExecutor(2) as pool:
        pool.map(touch, (tmp_path / str(i) for i in range(6000)))
        pool._wait_until_idle(30)
        assert len(list(tmp_path.iterdir())) == 6000
        gate = tmp_path / "gate"
        left = pool.map(gated, (i for i in range(MANY)), itertools.chain([tmp_path], itertools.repeat(gate)))
        assert next(left) == 0
        left.close()
        assert list(left) == []
        gate.touch()
    done = pool.stats()
    assert done["finished"] - done["cancelled"] < 6100


def test_inputs_that_end_the_pool_get_an_error(own_pool):
    def inputs():
        yield 1
        own_pool.shutdown()
        yield 2

    with pytest.raises(RuntimeError):
        own_pool.map(square, inputs())
    with pytest.raises(RuntimeError):
        own_pool.map(square, (i for i in range(3)))


class Interrupted(Exception):
    pass


def test_a_signal_ends_the_reading_of_inputs_that_run_no_python(pool):
    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(100):
                pool.map(abs, itertools.cycle([1])).close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list(pool.map(square, range(3))) == [0, 1, 4]


def test_a_finished_result_is_given_before_a_lazy_input_is_touched_again(one, tmp_path):
    got, seen_by_input = [], []

    def inputs():
        for i in range(10):
            yield tmp_path / str(i)
            assert eventually((tmp_path / str(i)).exists)
            time.sleep(0.05)  # by now its result is there
            seen_by_input.append(len(got))

    for result in one.map(lambda path: path.touch(), inputs(), buffersize=4):
        got.append(result)
    assert len(got) == 10
    assert all(i - 1 <= seen for i, seen in enumerate(seen_by_input))


def test_a_map_in_the_background_reads_its_inputs_in_the_call():
    def inputs():
        yield 1
        raise KeyError("inputs")

    with Pool(2) as pool:
        with pytest.raises(KeyError):
            pool.map_async(square, inputs())
        numbers = list(range(MANY))
        results = [pool.map_async(square, numbers), pool.starmap_async(add, ((i, 0) for i in numbers))]
        numbers.clear()
        assert results[0].get(30) == [i * i for i in range(MANY)]
        assert results[1].get(30) == list(range(MANY))
