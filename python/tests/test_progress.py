"""map(..., progress=True)."""

import itertools
import subprocess
import sys
import time

import pytest

from retinue._internal import progress
from retinue.futures import ProcessPoolExecutor


def square(x):
    return x * x


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def test_a_bar_shows_how_many_of_how_many(pool, capsys):
    pytest.importorskip("tqdm")
    assert list(pool.map(square, range(50), progress=True)) == [i * i for i in range(50)]
    assert "50/50" in capsys.readouterr().err


def test_an_input_without_a_length_shows_how_many(pool, capsys):
    pytest.importorskip("tqdm")
    assert list(pool.map(square, iter(range(50)), progress=True)) == [i * i for i in range(50)]
    assert "50it" in capsys.readouterr().err


def test_options_go_with_progress(pool, capsys):
    pytest.importorskip("tqdm")
    results = pool.options(ordered=False).map(square, range(50), progress=True)
    assert sorted(results) == [i * i for i in range(50)]
    assert "50/50" in capsys.readouterr().err


def test_the_length_of_a_map_is_that_of_its_shortest_input():
    assert progress.length((range(5), [1, 2, 3])) == 3
    assert progress.length((range(5), itertools.repeat(1))) == 5
    assert progress.length((iter(range(5)),)) is None


def test_items_that_fail_are_counted(pool, capsys):
    pytest.importorskip("tqdm")
    results = pool.map(lambda x: 1 // x, [1, 0, 1], progress=True)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 1
    assert list(results) == []
    assert "3/3" in capsys.readouterr().err


def test_a_map_that_runs_out_of_time_has_not_lost_an_item(capsys):
    pytest.importorskip("tqdm")
    pool = ProcessPoolExecutor(1)
    assert pool.submit(square, 3).result(timeout=10) == 9  # the map's time is not that of the pool's start
    results = pool.map(time.sleep, [0, 1000], timeout=1, progress=True)
    next(results)
    with pytest.raises(TimeoutError):
        next(results)
    results.close()
    pool.kill_workers()
    err = capsys.readouterr().err
    assert "1/2" in err and "2/2" not in err


def test_a_map_that_is_closed_is_at_its_end(pool):
    results = pool.map(square, itertools.count(), progress=True)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.close()
    assert list(results) == []
    results.close()


def test_a_map_that_is_dropped_cancels_what_has_not_started(pool):
    read = 0

    def inputs():
        nonlocal read
        while True:
            read += 1
            yield 0.001

    results = pool.map(time.sleep, inputs(), progress=True, buffersize=10)
    next(results)
    del results
    after = read
    assert pool.submit(square, 3).result(timeout=10) == 9
    assert read == after


WITHOUT_TQDM = """if True:
    import sys
    sys.modules["tqdm"] = None
    from retinue.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(abs, range(5), progress=True)) == [0, 1, 2, 3, 4]
"""


def test_without_tqdm_nothing_is_shown_where_nobody_looks():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TQDM], stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_tqdm_a_terminal_shows_a_count():
    import os
    import pty

    owner, terminal = pty.openpty()
    done = subprocess.run([sys.executable, "-c", WITHOUT_TQDM], stderr=terminal, timeout=30)
    os.close(terminal)
    shown = os.read(owner, 10_000).decode()
    os.close(owner)
    assert done.returncode == 0
    assert shown.endswith("\r5 of 5 done\r\n")
