"""What travels: functions and classes from everywhere, and what cannot is reported by name."""

import functools
import pathlib
import pickle
import subprocess
import sys
import threading

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor


class Scaler:
    def __init__(self, k):
        self.k = k

    def scale(self, x):
        return self.k * x

    @classmethod
    def doubled(cls, x):
        return cls(2).scale(x)

    @staticmethod
    def halved(x):
        return x / 2

    def __call__(self, x):
        return self.scale(x) + 1


class NotLoadable:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise ValueError("it will not be loaded")


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def test_closures_lambdas_and_partials_travel(pool):
    k = 3
    assert list(pool.map(lambda x: k * x, range(4))) == [0, 3, 6, 9]
    assert pool.submit(functools.partial(pow, 2), 5).result() == 32
    assert pool.submit(functools.partial(lambda a, b: a - b, b=1), 5).result() == 4

    def outer(x):
        def inner(y):
            return x + y + k

        return inner(1)

    assert pool.submit(outer, 1).result() == 5

    def recursive(n):
        return 1 if n < 2 else n * recursive(n - 1)

    assert pool.submit(recursive, 5).result() == 120


def test_methods_of_every_kind_travel(pool):
    assert list(pool.map(Scaler(2).scale, range(4))) == [0, 2, 4, 6]
    assert pool.submit(Scaler.doubled, 4).result() == 8
    assert pool.submit(Scaler.halved, 4).result() == 2
    assert pool.submit(Scaler(3), 4).result() == 13
    assert pool.submit("a-b".split, "-").result() == ["a", "b"]
    assert pool.submit([3, 1, 2].index, 2).result() == 2


def test_a_changed_object_is_sent_as_it_is_now(pool):
    scaler = Scaler(2)
    assert pool.submit(scaler.scale, 10).result() == 20
    scaler.k = 3
    assert pool.submit(scaler.scale, 10).result() == 30


def test_a_closure_is_sent_as_it_is_now(pool):
    k = 1

    def scale(x):
        return k * x

    assert pool.submit(scale, 10).result() == 10
    k = 2
    assert pool.submit(scale, 10).result() == 20
    assert list(pool.map(scale, [10])) == [20]


def test_classes_made_in_a_function_travel_both_ways(pool):
    class Local:
        def __init__(self, value):
            self.value = value

    def change(it):
        assert isinstance(it, Local)
        return Local(it.value + 1)

    back = pool.submit(change, Local(1)).result()
    assert type(back) is Local and back.value == 2


def test_lambdas_travel_as_results(pool):
    assert pool.submit(lambda k: lambda x: k * x, 3).result()(4) == 12


def test_many_different_functions_travel(pool):
    functions = [lambda x, i=i: x + i for i in range(3000)]
    futures = [pool.submit(f, 1) for f in functions]
    assert [f.result() for f in futures] == [1 + i for i in range(3000)]
    assert all(list(pool.map(f, [1, 2])) == [1 + i, 2 + i] for i, f in enumerate(functions[:300]))


def test_an_argument_that_cannot_be_pickled_fails_its_own_task(pool):
    future = pool.submit(len, threading.Lock())
    with pytest.raises(retinue.PicklingError, match="lock"):
        future.result(timeout=10)
    assert isinstance(future.exception(), pickle.PicklingError)
    results = pool.map(type, [1, threading.Lock(), 2])
    assert next(results) is int
    with pytest.raises(pickle.PicklingError, match="lock"):
        next(results)
    assert next(results) is int


def test_a_result_that_cannot_be_pickled_fails_its_own_task(pool):
    with pytest.raises(retinue.PicklingError, match="lock"):
        pool.submit(threading.Lock).result(timeout=10)
    assert pool.submit(abs, -1).result() == 1


def test_what_cannot_be_loaded_fails_its_own_task(pool):
    with pytest.raises(retinue.UnpicklingError, match="it will not be loaded"):
        pool.submit(id, NotLoadable()).result(timeout=10)
    with pytest.raises(retinue.UnpicklingError, match="it will not be loaded"):
        pool.submit(NotLoadable).result(timeout=10)
    assert pool.submit(abs, -1).result() == 1


PROMPT = """
from retinue.futures import ProcessPoolExecutor
pool = ProcessPoolExecutor(2)
def square(x): return x * x

list(pool.map(square, range(3)))
def cube(x): return square(x) * x

class Point:
    def __init__(self, x): self.x = x
    def moved(self): return Point(self.x + offset)

offset = 5
list(pool.map(cube, range(3)))
def square(x): return -x

[pool.submit(square, 4).result(), pool.submit(cube, 3).result(), pool.submit(lambda: square(7)).result()]
back = pool.submit(Point(1).moved).result()
(type(back) is Point, back.x)
offset = 6
pool.submit(Point(1).moved).result().x
pool.shutdown()
print("the end")
"""


def test_functions_and_classes_from_the_prompt_travel_as_they_are_now():
    done = subprocess.run([sys.executable, "-iq"], input=PROMPT, capture_output=True, text=True, timeout=50)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.split("\n")[:6] == ["[0, 1, 4]", "[0, 1, 8]", "[-4, -9, -7]", "(True, 6)", "7", "the end"]


def test_functions_from_ipython_travel(tmp_path):
    pytest.importorskip("IPython")
    script = tmp_path / "cells.ipy"
    script.write_text(PROMPT)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", str(script)],
        capture_output=True, text=True, timeout=50, env={"HOME": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0 and "the end" in done.stdout, done.stdout + done.stderr


def test_functions_of_a_module_imported_later_travel(tmp_path, monkeypatch):
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1
        (tmp_path / "made_later.py").write_text("def f(x):\n    return x + 1\n")
        monkeypatch.syspath_prepend(tmp_path)
        import made_later

        with pytest.raises(retinue.UnpicklingError, match="made_later"):
            executor.submit(made_later.f, 1).result(timeout=10)
        executor.submit(lambda folder: sys.path.insert(0, folder), str(tmp_path)).result()
        assert executor.submit(made_later.f, 1).result(timeout=10) == 2


def test_a_global_that_an_initializer_set_is_seen_by_functions_of_every_kind(tmp_path):
    script = tmp_path / "globals.py"
    script.write_text(
        """
from retinue.futures import ProcessPoolExecutor
table = None
def set_up(value):
    global table
    table = value
def look(x):
    return table[x]
if __name__ == "__main__":
    with ProcessPoolExecutor(1, initializer=set_up, initargs=({1: "one"},)) as pool:
        def look_later(x): return table[x]
        assert pool.submit(look, 1).result() == "one"
        assert pool.submit(look_later, 1).result() == "one"
        assert pool.submit(lambda x: look(x) + table[x], 1).result() == "oneone"
"""
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def test_usage_of_the_package_from_a_folder_that_is_not_importable(tmp_path):
    script = pathlib.Path(tmp_path, "script without a name for import.py")
    script.write_text(
        "from retinue.multiprocessing import Pool\n"
        "def f(x): return x + 1\n"
        "if __name__ == '__main__':\n"
        "    with Pool(2) as pool: assert pool.map(f, [1, 2]) == [2, 3]\n"
    )
    assert subprocess.run([sys.executable, str(script)], timeout=50).returncode == 0


def run_script(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(text)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def test_functions_sent_at_different_times_keep_their_own_globals(tmp_path):
    run_script(
        tmp_path,
        """
from retinue.futures import ProcessPoolExecutor
def by_name(x): return x * scale
scale = 1
pool = ProcessPoolExecutor(1)
assert pool.submit(by_name, 1).result() == 1
futures = []
for scale in (1, 2, 1, 2, 1):
    futures.append(pool.submit(lambda x: x * scale, 10))
assert [f.result() for f in futures] == [10, 20, 10, 20, 10]
one = pool.map(lambda x: x * scale, range(5000))
scale = 7
two = pool.map(lambda x: x * scale, range(5000))
assert list(two) == [7 * x for x in range(5000)]
assert list(one) == list(range(5000))
assert pool.submit(by_name, 1).result() == 1
pool.shutdown()
""",
    )


def test_what_was_redefined_travels_as_it_was_and_as_it_is(tmp_path):
    run_script(
        tmp_path,
        """
from retinue.futures import ProcessPoolExecutor
def compute(x): return x
class P:
    def __init__(self, x): self.x = x
    def get(self): return ("old", self.x)
pool = ProcessPoolExecutor(1)
assert pool.submit(compute, 1).result() == 1
original, old = compute, P(1)
def compute(x): return original(x) + 1
class P:
    def __init__(self, x): self.x = x
    def get(self): return ("new", self.x)
assert pool.submit(compute, 1).result() == 2
assert pool.submit(original, 1).result() == 1
assert pool.submit(old.get).result() == ("old", 1)
assert pool.submit(P(2).get).result() == ("new", 2)
assert type(pool.submit(lambda: P(3)).result()) is P
pool.shutdown()
""",
    )


def test_functions_that_carry_state_are_sent_anew(pool):
    seen = []

    def remember(x):
        seen.append(x)
        return len(seen)

    def with_default(x, all_seen=[]):
        all_seen.append(x)
        return len(all_seen)

    assert [pool.submit(remember, i).result() for i in range(3)] == [1, 1, 1]
    assert [pool.submit(with_default, i).result() for i in range(3)] == [1, 1, 1]


def test_large_objects_of_main_are_not_kept_alive(tmp_path):
    run_script(
        tmp_path,
        """
import gc, weakref
from retinue.futures import ProcessPoolExecutor
class Big: pass
big = Big()
gone = weakref.ref(big)
pool = ProcessPoolExecutor(1)
pool.submit(abs, 1).result()
del big
assert gone() is None
pids = pool.worker_pids()
del pool
import os, time
end = time.monotonic() + 10
while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end: time.sleep(0.01)
assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
""",
    )


def test_a_global_that_was_bound_to_something_else_is_seen(tmp_path):
    run_script(
        tmp_path,
        """
import functools
from retinue.futures import ProcessPoolExecutor
class Big: pass
model = Big()
@functools.lru_cache
def cached(x): return "old"
pool = ProcessPoolExecutor(1)
assert pool.submit(cached, 1).result() == "old"
model = None
assert pool.submit(lambda: model is None).result()
@functools.lru_cache
def cached(x): return "new"
@functools.cache
def another(x): return x + 1
assert pool.submit(cached, 1).result() == "new"
assert pool.submit(another, 1).result() == 2
pool.shutdown()
""",
    )
