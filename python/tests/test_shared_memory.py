"""Shared arrays by name; how much memory is shared, and how much may be."""

import os
import subprocess
import sys
import textwrap

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
from large_data import make, N, one, peak_of, pool  # noqa: E402, F401


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


def test_usage_is_reported(pool):
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

    reported = run("50M")
    assert reported.stdout.strip() == str(50 << 20) and "ResourceExhausted" in reported.stderr
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
