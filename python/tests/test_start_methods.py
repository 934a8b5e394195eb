"""Start methods of multiprocessing: fork, spawn and forkserver."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor

METHODS = ["fork", "spawn", "forkserver"]
HERE = pathlib.Path(__file__).parent


def run(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=50, **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_program_runs_the_same_with_every_start_method(method):
    done = run(str(HERE / "started.py"), method)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all is well\n"


@pytest.mark.parametrize("method", METHODS)
def test_set_start_method_is_followed(method):
    done = run(
        "-c",
        f"""
import multiprocessing, os
from retinue.futures import ProcessPoolExecutor
os.inherited = True
if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with ProcessPoolExecutor(1) as pool:
        print(pool.submit(lambda: hasattr(__import__("os"), "inherited")).result())
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{method == 'fork'}\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_without_a_guard_is_an_error_that_says_so(tmp_path, method):
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"""
import multiprocessing
from retinue.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
    print(pool.submit(abs, -1).result())
"""
    )
    done = run(str(script))
    assert done.returncode != 0
    assert "__name__ == '__main__'" in done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_that_raises_ends_the_pool_and_says_why(method):
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context(method), initializer=int, initargs=("no number",)
    ) as pool:
        with pytest.raises(retinue.PoolClosed, match="no number"):
            pool.submit(abs, -1).result(timeout=30)


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_dies_is_replaced(method):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        with pytest.raises(retinue.WorkerDied) as caught:
            pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result(timeout=30)
        assert caught.value.signal == signal.SIGKILL
        assert pool.submit(abs, -1).result(timeout=30) == 1


@pytest.mark.parametrize("method", METHODS)
def test_an_owner_that_is_killed_leaves_no_process(method):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""
import multiprocessing, os, time
from retinue.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r}))
futures = [pool.submit(time.sleep, 100) for _ in range(4)]
print(*pool.worker_pids(), flush=True)
time.sleep(100)
""",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        workers = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(workers) == 2
    finally:
        owner.kill()
        owner.wait(10)
        owner.stdout.close()
    end = time.monotonic() + 10
    while any(is_running(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in workers)


def is_running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone, or just going
        return False
    return state != "Z"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_is_defined_in_the_guarded_part_travels_by_value(tmp_path, method):
    script = tmp_path / "guarded.py"
    script.write_text(
        f"""
import multiprocessing
from retinue.futures import ProcessPoolExecutor
if __name__ == "__main__":
    factor = 7
    def scale(x):
        return factor * x
    class Point:
        def __init__(self, x): self.x = x
        def scaled(self): return Point(scale(self.x))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
        assert pool.submit(scale, 2).result() == 14
        back = pool.submit(Point(3).scaled).result()
        assert type(back) is Point and back.x == 21
        print("well")
"""
    )
    done = run(str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "well\n"


def test_a_main_module_with_very_many_names_is_no_hindrance(tmp_path):
    script = tmp_path / "many.py"
    script.write_text(
        """
import multiprocessing
from retinue.futures import ProcessPoolExecutor
for i in range(20_000):
    globals()[f"a_name_that_is_not_short_{i}"] = i
text = "x" * 1_000_000
def look(): return a_name_that_is_not_short_7, len(text)
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(look).result() == (7, 1_000_000)
        assert pool.submit(lambda: look()).result() == (7, 1_000_000)
"""
    )
    done = run(str(script))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_shared_arrays_are_shared_with_every_start_method(tmp_path, method):
    pytest.importorskip("numpy")
    script = tmp_path / "shared.py"
    script.write_text(
        f"""
import multiprocessing, retinue
from retinue.futures import ProcessPoolExecutor
own = retinue.shared_array(3)
def set_up(array, value):
    global table, constants
    table, constants = array, value
def write(i):
    table[i] = constants["offset"] + i
if __name__ == "__main__":
    array = retinue.shared_array(10)
    context = multiprocessing.get_context({method!r})
    with ProcessPoolExecutor(2, context, set_up, (array, retinue.share({{"offset": 5}}))) as pool:
        list(pool.map(write, range(10)))
    assert array.tolist() == [5.0 + i for i in range(10)]
"""
    )
    done = run(str(script))
    assert done.returncode == 0, done.stderr


def test_ctrl_c_ends_the_start_of_a_pool(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(
        """
import multiprocessing, os, signal, threading, time
from retinue.futures import ProcessPoolExecutor
if __name__ != "__main__":
    time.sleep(1000)
if __name__ == "__main__":
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")).submit(abs, 1)
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    done = run(str(script))
    assert done.stdout == "interrupted\n", done.stderr
