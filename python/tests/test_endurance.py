"""Many pools one after the other take no more of anything. For what takes longer there is tests/endurance/endurance.py,
whose measures these tests use."""

import importlib.util
import io
import multiprocessing
import os
import pathlib
import threading

import pytest

from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
from tasks import square

ENDURANCE = pathlib.Path(__file__).resolve().parents[2] / "tests/endurance/endurance.py"


@pytest.fixture(scope="module")
def endurance():
    pytest.importorskip("numpy")
    spec = importlib.util.spec_from_file_location("endurance", ENDURANCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grown(endurance, samples):
    table = io.StringIO()
    names = endurance.judge(samples, allow_kb=2048, allow_count=3, out=table)
    return table.getvalue() if names else ""


@pytest.mark.timeout(240)  # each takes milliseconds, but on a busy machine half a second
def test_a_hundred_pools_in_a_row_take_no_more_of_anything(endurance):
    samples = []
    for i in range(100):
        with ProcessPoolExecutor(2) as pool:
            if i % 4 == 0:
                endurance.use(pool, i)
            else:
                assert pool.submit(square, i).result(60) == i * i
        samples.append(endurance.usage())
    assert grown(endurance, samples) == ""


@pytest.mark.timeout(240)
def test_pools_that_are_forgotten_or_killed_take_no_more_of_anything(endurance):
    samples = []
    for i in range(40):
        pool = ProcessPoolExecutor(2) if i % 2 else Pool(2)
        if i % 4 == 0:
            assert pool.apply(square, (i,)) == i * i
            pool.terminate()
        elif i % 4 == 1:
            assert pool.submit(square, i).result(30) == i * i
            pool.kill_workers()
        elif i % 4 == 3:
            assert sum(pool.map(square, range(100))) == sum(k * k for k in range(100))
        del pool
        samples.append(endurance.usage())
    assert grown(endurance, samples) == ""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_pools_that_start_anew_take_no_more_of_anything(endurance, method):
    samples = []
    for i in range(8):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            assert pool.submit(square, i).result(30) == i * i
        samples.append(endurance.usage())
    assert grown(endurance, samples) == ""


@pytest.mark.parametrize("way", ["submit", "map"])
def test_functions_that_hold_much_are_not_kept_for_ever(endurance, way):
    numpy = pytest.importorskip("numpy")

    def function(i):
        if way == "submit":
            text = f"{i:7}" * 150_000  # what is sent again is known by its content
            return lambda x: len(text) + x
        array = numpy.full(131_072, float(i))
        return lambda x: int(array[-1]) + x

    samples = []
    with ProcessPoolExecutor(1) as pool:
        for i in range(80):
            if way == "submit":
                assert pool.submit(function(i), 1).result(60) == 1_050_001
            else:
                assert list(pool.map(function(i), [1, 2])) == [i + 1, i + 2]
            if i % 4 == 3:
                samples.append(endurance.usage())
    table = io.StringIO()
    assert not endurance.judge(samples, allow_kb=15_000, allow_count=3, out=table), table.getvalue()  # 40 are 40,000


def test_growth_is_found_and_what_comes_and_goes_is_not_taken_for_it(endurance):
    with ProcessPoolExecutor(1) as pool:  # NumPy's threads end with the first fork
        assert pool.submit(square, 3).result(30) == 9
    base = endurance.usage()

    def samples(**changes):
        return [base | {name: base[name] + change(i) for name, change in changes.items()} for i in range(40)]

    assert grown(endurance, samples()) == ""
    assert grown(endurance, samples(all_pss=lambda i: i % 5 * 10_000)) == ""
    assert "all_pss" in grown(endurance, samples(all_pss=lambda i: i * 200))
    assert "owner_descriptors" in grown(endurance, samples(owner_descriptors=lambda i: i // 4))

    fd, stop = os.dup(0), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with ProcessPoolExecutor(2) as pool:
        assert pool.submit(square, 3).result(30) == 9
        more = endurance.usage()
    stop.set()
    thread.join()
    os.close(fd)
    assert more["owner_descriptors"] > base["owner_descriptors"]
    assert more["threads"] == base["threads"] + 3, "the thread here, and the pool's two"
    assert more["processes"] == base["processes"] + 3, "a fork server and two workers"
    assert more["all_pss"] > base["all_pss"] and more["owner_private"] > 0


@pytest.mark.parametrize("mode", ["steady", "workers"])
def test_the_program_runs(endurance, mode, tmp_path, monkeypatch, capsys):
    table = tmp_path / "samples.csv"
    arguments = [mode, "--seconds", "2", "--sample", "0.3", "--rest", "0", "--allow-kb", "1e6", "--allow-count", "1e6"]
    monkeypatch.setattr("sys.argv", ["endurance.py", *arguments, "--csv", str(table)])
    with pytest.raises(SystemExit) as ended:
        endurance.main()
    assert ended.value.code == 0, capsys.readouterr().out
    lines = table.read_text().splitlines()
    assert lines[0].startswith("run,seconds,owner_private,") and len(lines) >= 5
