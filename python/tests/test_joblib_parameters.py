"""joblib's own parameters do what they say on this backend, others are refused, and functions see their modules as they are."""

import os
import sys
import time
import types

import pytest

import retinue

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed, parallel_backend  # noqa: E402

from retinue._internal import joblib_pools  # noqa: E402

retinue.register_joblib_backend()
NEW_JOBLIB = tuple(int(part) for part in joblib.__version__.split(".")[:2]) >= (1, 5)


def begin(value):
    os.environ["BEGUN"] = value


def look(_):
    return os.environ.get("BEGUN")


def fail():
    raise KeyError("no start")


def pid(_):
    time.sleep(0.001)
    return os.getpid()


def add_one(array, i):
    array[i] += 1


def run(function, count=8, **options):
    return Parallel(2, **{"backend": "retinue", **options})(delayed(function)(i) for i in range(count))


@pytest.fixture
def module():
    made = types.ModuleType("settings_as_they_are")
    exec(
        "from joblib import Parallel, delayed\n"
        "SETTING, TABLE = 1, [1]\n"
        "def helper(): return SETTING\n"
        "def run(f): return {str(it) for it in Parallel(2, 'retinue')(delayed(f)() for _ in range(4))}\n"
        "def setting(): return run(lambda: SETTING)\n"
        "def new(): return run(lambda: NEW)\n"
        "def table(): return run(lambda: TABLE)\n"
        "def nested(): return run(lambda: [x + SETTING for x in (1, 2)])\n",
        vars(made),
    )
    sys.modules["settings_as_they_are"] = made
    yield made
    del sys.modules["settings_as_they_are"]


def test_a_function_by_value_sees_its_module_as_it_is_now(module):
    assert module.setting() == {"1"}
    for i in range(2, 5):
        module.SETTING = i
        module.TABLE.append(i)
        assert module.setting() == {str(i)} and module.nested() == {str([1 + i, 2 + i])}
        assert module.table() == {str(list(range(1, i + 1)))}
    module.NEW = "new"
    assert module.new() == {"new"}
    module.NEW = "newer"
    assert module.new() == {"newer"}


def test_what_is_unknown_is_refused():
    with pytest.raises(TypeError, match="no_such_option"):
        Parallel(2, backend="retinue", no_such_option=1)(delayed(abs)(i) for i in range(2))
    with pytest.raises(TypeError, match="no_such_option"):
        with parallel_backend("retinue", no_such_option=1):
            pass
    assert run(abs, 3) == [0, 1, 2]


def test_an_initializer_named_with_the_backend_runs_in_each_worker():
    with parallel_backend("retinue", n_jobs=2, initializer=begin, initargs=("one",)):
        assert set(Parallel()(delayed(look)(i) for i in range(8))) == {"one"}
        assert set(Parallel()(delayed(look)(i) for i in range(8))) == {"one"}
    with parallel_backend("retinue", n_jobs=2, initializer=begin, initargs=("two",)):
        assert set(Parallel()(delayed(look)(i) for i in range(8))) == {"two"}
    assert set(run(look)) == {None}


def test_an_initializer_that_raises_ends_the_call_with_its_error():
    with parallel_backend("retinue", n_jobs=2, initializer=fail):
        with pytest.raises(retinue.PoolClosed, match="no start"):
            Parallel()(delayed(abs)(i) for i in range(3))


def test_workers_that_are_idle_leave_after_their_time_and_a_later_call_has_others():
    with parallel_backend("retinue", n_jobs=2, idle_worker_timeout=0.2):
        first = set(Parallel(batch_size=1)(delayed(pid)(i) for i in range(10)))
        pools = list(joblib_pools._pools.values())
        end = time.monotonic() + 20
        while list(joblib_pools._pools.values()) == pools and time.monotonic() < end:
            time.sleep(0.01)
        assert not joblib_pools._pools
        assert not first & set(Parallel(batch_size=1)(delayed(pid)(i) for i in range(10)))


def test_workers_are_replaced_after_so_many_batches():
    with parallel_backend("retinue", n_jobs=2, maxtasksperchild=1):
        assert len(set(Parallel(batch_size=1)(delayed(pid)(i) for i in range(6)))) == 6


@pytest.mark.parametrize("mode, seen", [("r+", 8), ("w+", 8), ("c", 1), (None, 1)])
def test_arrays_are_mapped_as_was_asked(mode, seen):
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(8)

    def add(array, i):
        array[i] += 1
        return float(array.sum())

    sums = Parallel(2, backend="retinue", max_nbytes=1, mmap_mode=mode, batch_size=1)(delayed(add)(array, i) for i in range(8))
    assert max(sums) == seen
    assert array.sum() == 0  # the program's own is never written to
    with pytest.raises(ValueError, match="read-only"):
        Parallel(2, backend="retinue", max_nbytes=1)(delayed(add_one)(array, i) for i in range(8))


def test_joblibs_other_parameters_are_accepted(tmp_path):
    options = dict(
        temp_folder=str(tmp_path), max_nbytes="1M", mmap_mode="r", prefer="processes", timeout=50, batch_size=2,
        pre_dispatch="all", verbose=0,
    )  # fmt: skip
    assert run(abs, 5, **options) == list(range(5))
    assert not list(tmp_path.iterdir())
    with parallel_backend("retinue", n_jobs=2, inner_max_num_threads=3):
        assert set(Parallel()(delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(4))) == {"3"}
    assert run(abs, 3, require="sharedmem", backend=None) == [0, 1, 2]


@pytest.mark.skipif(not NEW_JOBLIB, reason="joblib passes a backend's parameters on since 1.5")
def test_parallel_itself_takes_the_backends_parameters():
    assert set(run(look, initializer=begin, initargs=("yes",))) == {"yes"}
    assert set(run(look, initializer=begin, initargs=("no",))) == {"no"}
    assert len(set(run(pid, 6, maxtasksperchild=1, batch_size=1))) == 6
    assert run(abs, 3, idle_worker_timeout=100) == [0, 1, 2]
    with pytest.raises(TypeError, match="callable"):
        run(abs, 3, initializer=5)


@pytest.mark.skipif(not hasattr(joblib, "parallel_config"), reason="since joblib 1.3")
def test_parallel_config_takes_them_too():
    with joblib.parallel_config("retinue", n_jobs=2, initializer=begin, initargs=("here",), max_nbytes=None):
        assert set(Parallel()(delayed(look)(i) for i in range(4))) == {"here"}
    with pytest.raises(TypeError, match="unheard_of"):
        with joblib.parallel_config("retinue", unheard_of=1):
            pass
