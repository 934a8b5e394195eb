"""What an option cannot be is refused where it is given, in words that name it and what it may be."""

import multiprocessing
import threading

import pytest

import retinue
from retinue import futures
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool, get_context
from tasks import square


class Index:
    """What NumPy's whole numbers are to Python."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


NO_NUMBERS = [2.5, "4", b"4", [2], (), 1j]
NAMES = "fork.*spawn.*forkserver"


@pytest.fixture(scope="module")
def executor():
    with ProcessPoolExecutor(1) as it:
        yield it


@pytest.fixture(scope="module")
def workers():
    with Pool(1) as it:
        yield it


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_a_number_of_workers_is_a_whole_number(number):
    with pytest.raises(TypeError, match="max_workers must be a whole number, not "):
        ProcessPoolExecutor(number)
    with pytest.raises(TypeError, match="processes must be a whole number, not "):
        Pool(number)


def test_what_has_an_index_is_a_whole_number_and_so_is_true():
    for number in (Index(1), True):
        with ProcessPoolExecutor(number) as pool:
            assert pool._max_workers == 1
            assert list(pool.map(square, range(3), chunksize=number)) == [0, 1, 4]
            assert pool.options(retries=number).submit(square, 3).result(timeout=20) == 9
        with Pool(Index(1)) as pool:
            assert pool.map(square, range(3), number) == [0, 1, 4]


@pytest.mark.parametrize("chunksize", ["x", 2.5, [1]])
def test_chunk_sizes_are_whole_numbers(executor, workers, chunksize):
    words = "chunksize must be a whole number"
    with pytest.raises(TypeError, match=words):
        executor.map(square, [1], chunksize=chunksize)
    with pytest.raises(TypeError, match=words):
        executor.options().map(square, [1], chunksize=chunksize)
    for method in (workers.map, workers.map_async, workers.imap, workers.imap_unordered):
        with pytest.raises(TypeError, match=words):
            method(square, [1], chunksize)
    for method in (workers.starmap, workers.starmap_async):
        with pytest.raises(TypeError, match=words):
            method(square, [(1,)], chunksize)


def test_flags_are_true_or_false(executor):
    for flag in ("no", "False", None, 2, 0.0, []):
        for options in ({"ordered": flag},):
            with pytest.raises(TypeError, match="ordered must be True or False, not "):
                executor.options(**options)
        with pytest.raises(TypeError, match="progress must be True or False, not "):
            executor.map(square, [1], progress=flag)
        for name in ("network", "programs"):
            with pytest.raises(TypeError, match=f"{name} must be True or False, not "):
                retinue.WorkerLimits(**{name: flag})
        with pytest.raises(TypeError, match="make_default must be True or False, not "):
            retinue.register_joblib_backend(flag)
    assert sorted(executor.options(ordered=0).map(square, range(3))) == [0, 1, 4]
    numpy = pytest.importorskip("numpy")
    assert list(executor.options(ordered=numpy.True_).map(square, range(3))) == [0, 1, 4]


def test_force_is_true_or_false(executor):
    future = executor.submit(square, 1)
    with pytest.raises(TypeError, match="force must be True or False, not 'no'"):
        future.cancel(force="no")
    assert future.result(timeout=20) == 1


@pytest.mark.parametrize("timeout", ["x", "1.5", b"1", [1]])
def test_timeouts_are_numbers_of_seconds(executor, workers, timeout):
    words = "timeout must be a number of seconds"
    waits = threading.Event()
    future = executor.submit(square, 1)
    asynchronous = workers.apply_async(square, (1,))
    with_callback = workers.apply_async(square, (1,), callback=lambda _: waits.wait(20))
    many = workers.map_async(square, range(3))
    try:
        for call in (
            lambda: future.exception(timeout),
            lambda: executor.submit(square, 1).result(timeout),
            lambda: executor.map(square, [1], timeout=timeout),
            lambda: executor.options(timeout=timeout),
            lambda: workers.imap(square, [1]).next(timeout),
            lambda: asynchronous.get(timeout),
            lambda: asynchronous.wait(timeout),
            lambda: with_callback.get(timeout),
            lambda: many.get(timeout),
            lambda: many.wait(timeout),
        ):
            with pytest.raises(TypeError, match=words):
                call()
    finally:
        waits.set()


def test_a_timeout_is_not_nan(executor, workers):
    nan = float("nan")
    for call in (
        lambda: executor.submit(square, 1).result(nan),
        lambda: executor.map(square, [1], timeout=nan),
        lambda: executor.options(timeout=nan),
        lambda: workers.map_async(square, [1]).get(nan),
    ):
        with pytest.raises(ValueError, match="timeout must be a number of seconds"):
            call()


@pytest.mark.parametrize("retries", [1.5, "2", None])
def test_retries_are_a_whole_number(executor, retries):
    with pytest.raises(TypeError, match="retries must be a whole number, not "):
        executor.options(retries=retries)
    with pytest.raises(TypeError, match="retries must be a whole number, not "):
        executor.options().options(retries=retries)


def test_a_start_method_may_be_given_by_its_name():
    for method in ("fork", "spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=method) as pool:
            assert pool._mp_context.get_start_method() == method
            assert pool.submit(abs, -3).result(timeout=60) == 3
        with Pool(1, context=method) as pool:
            assert pool.apply(abs, (-3,)) == 3
    for context in (multiprocessing.get_context("fork"), get_context("fork"), multiprocessing):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(abs, -3).result(timeout=20) == 3


def test_what_is_no_start_method_is_refused_with_their_names():
    for make in (lambda it: ProcessPoolExecutor(1, mp_context=it), lambda it: Pool(1, context=it)):
        with pytest.raises(ValueError, match=f"no start method 'spwan', only .*{NAMES}"):
            make("spwan")
        for it in (5, b"spawn", object()):
            with pytest.raises(TypeError, match=f"context must be a start method .*{NAMES}"):
                make(it)


def test_arguments_of_an_initializer_are_a_tuple():
    for make in (ProcessPoolExecutor, Pool):
        with pytest.raises(TypeError, match=r"initargs must be a tuple of arguments, such as \(5,\), not 5"):
            make(1, initializer=print, initargs=5)
        with pytest.raises(TypeError, match="initializer must be a callable"):
            make(1, initializer="print")


def test_arguments_of_apply_are_a_tuple(workers):
    for apply in (workers.apply, workers.apply_async):
        with pytest.raises(TypeError, match=r"args must be a tuple of arguments, such as \(5,\), not 5"):
            apply(square, 5)
        with pytest.raises(TypeError, match="kwds must be a dict of named arguments, not 5"):
            apply(square, (5,), 5)
    assert workers.apply(square, [5]) == 25
    assert workers.apply(square, iter([5])) == 25


def test_what_an_iterator_of_arguments_raises_is_raised(workers):
    def broken():
        raise TypeError("of its own")
        yield

    with pytest.raises(TypeError, match="of its own"):
        workers.apply(square, broken())


@pytest.mark.parametrize("name", ["callback", "error_callback"])
def test_callbacks_can_be_called(workers, name):
    words = f"^{name} must be a function or None, not 5$"
    with pytest.raises(TypeError, match=words):
        workers.apply_async(square, (1,), **{name: 5})
    for method, inputs in ((workers.map_async, [1]), (workers.starmap_async, [(1,)])):
        with pytest.raises(TypeError, match=words):
            method(square, inputs, **{name: 5})


def test_what_a_message_shows_is_short_and_never_fails():
    class Wordless:
        def __repr__(self):
            raise ValueError

    with pytest.raises(TypeError, match="not a Wordless$"):
        ProcessPoolExecutor(Wordless())
    with pytest.raises(TypeError) as caught:
        ProcessPoolExecutor("9" * 1000)
    assert len(str(caught.value)) < 120


def test_shapes_of_shared_arrays():
    numpy = pytest.importorskip("numpy")
    for shape in (2.5, "3", None, object()):
        with pytest.raises(TypeError, match="shape must be a whole number or a tuple of them"):
            retinue.shared_array(shape)
    with pytest.raises(TypeError, match="each number of the shape must be a whole number, not 2.5"):
        retinue.shared_array((1, 2.5))
    with pytest.raises(ValueError, match="shape must not be negative"):
        retinue.shared_array((2, -1))
    with pytest.raises(TypeError):
        retinue.shared_array(2, dtype="no such type")
    for shape in (3, (3,), [3], numpy.int64(3), numpy.array([3]), (numpy.int8(3),)):
        assert retinue.shared_array(shape).shape == (3,)
    assert retinue.shared_array(()).shape == () and retinue.shared_array((2, 0)).shape == (2, 0)


def test_limits_of_shared_memory_are_numbers_of_bytes():
    for function in (retinue.limit_shared_memory, retinue.keep_shared_memory):
        for bytes_ in ("4G", 1.5):
            with pytest.raises(TypeError, match=f"{function.__name__}.. takes a whole number of bytes or None, not "):
                function(bytes_)
        for bytes_ in (-1, 1 << 64):
            with pytest.raises(ValueError, match="number of bytes"):
                function(bytes_)


def test_limits_of_workers():
    for user in (5.5, True, b"nobody"):
        with pytest.raises(TypeError, match="user must be a name, a number or None, not "):
            retinue.WorkerLimits(user=user)
    with pytest.raises(TypeError, match="cpu_seconds must be a whole number or None, not '3'"):
        retinue.WorkerLimits(cpu_seconds="3")


def test_options_of_the_joblib_backend():
    joblib = pytest.importorskip("joblib")
    retinue.register_joblib_backend()
    for error, options, words in (
        (TypeError, {"retries": "2"}, "retries must be a whole number, not '2'"),
        (TypeError, {"idle_worker_timeout": "x"}, "idle_worker_timeout must be a number of seconds"),
        (TypeError, {"maxtasksperchild": 1.5}, "maxtasksperchild must be a whole number"),
        (ValueError, {"maxtasksperchild": 0}, "maxtasksperchild must be a whole number above zero"),
        (TypeError, {"initializer": print, "initargs": 5}, "initargs must be a tuple"),
        (TypeError, {"initializer": 5}, "initializer must be a callable"),
    ):
        with pytest.raises(error, match=words):
            joblib.parallel_backend("retinue", **options)
    with joblib.parallel_backend("retinue", n_jobs=2, initializer=print, initargs=iter(())):
        assert joblib.Parallel()(joblib.delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_the_names_of_the_standard_keep_their_errors():
    with pytest.raises(ValueError, match="must be greater than 0"):
        futures.ProcessPoolExecutor(0)
    with pytest.raises(ValueError, match="at least 1"):
        Pool(0)
