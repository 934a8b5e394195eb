"""dask's graphs on the executor: compute(scheduler=executor)."""

import os
import signal
import time

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor

dask = pytest.importorskip("dask")


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def double(x):
    return 2 * x


def test_delayed_functions_are_computed_in_workers(pool):
    assert dask.delayed(os.getpid)().compute(scheduler=pool) in pool.worker_pids()
    parts = [dask.delayed(double)(i) for i in range(20)]
    assert dask.delayed(sum)(parts).compute(scheduler=pool) == 380
    assert dask.compute(*parts, scheduler=pool) == tuple(2 * i for i in range(20))


def test_lambdas_and_closures_are_computed(pool):
    offset = 5
    assert dask.delayed(lambda x: x + offset)(1).compute(scheduler=pool) == 6


def test_the_scheduler_may_be_set_for_a_block(pool):
    with dask.config.set(scheduler=pool):
        assert dask.delayed(os.getpid)().compute() != os.getpid()


def test_a_bag_is_computed(pool):
    bag = pytest.importorskip("dask.bag")
    numbers = bag.from_sequence(range(1000), npartitions=8)
    assert numbers.map(double).filter(lambda x: x % 3 == 0).sum().compute(scheduler=pool) == 333 * 334 * 3
    assert numbers.groupby(lambda x: x % 2).map(lambda kv: (kv[0], len(kv[1]))).compute(scheduler=pool) is not None


def test_an_array_is_computed(pool):
    pytest.importorskip("numpy")
    array = pytest.importorskip("dask.array")
    ones = array.ones((400, 400), chunks=(100, 100))
    assert (ones @ ones.T).sum().compute(scheduler=pool) == 400.0**3


def test_an_exception_is_raised_and_the_pool_goes_on(pool):
    with pytest.raises(ZeroDivisionError):
        dask.delayed(lambda x: 1 // x)(0).compute(scheduler=pool)
    assert dask.delayed(double)(4).compute(scheduler=pool) == 8


def test_a_worker_that_dies_raises_worker_died_and_the_pool_goes_on(pool):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(retinue.WorkerDied):
        dask.delayed(die)().compute(scheduler=pool)
    assert dask.delayed(double)(4).compute(scheduler=pool) == 8


def test_options_hold_for_a_graph(pool):
    begin = time.monotonic()
    with pytest.raises(retinue.TaskTimeout):
        dask.delayed(time.sleep)(30).compute(scheduler=pool.options(timeout=0.2))
    assert time.monotonic() - begin < 10
