"""What the program deletes is not kept alive by its pools."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import gc, os, sys, time, weakref
import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

class Thing:
    pass

def gone(reference):
    end = time.monotonic() + 20
    while reference() is not None and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return reference() is None

def noop(*_):
    return None
"""


def run(body):
    program = PROGRAM + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("container", ["[Thing()]", "{1: Thing()}", "(Thing(),)", "Thing()", "[[Thing()]] * 3"])
def test_what_the_main_module_deletes_goes_though_it_was_there_at_the_fork(container):
    find = {"[Thing()]": "big[0]", "Thing()": "big", "[[Thing()]] * 3": "big[0][0]"}.get(container, "big[1]")
    find = "big[0]" if container == "(Thing(),)" else find
    run(
        f"""
        big = {container}
        watch = weakref.ref({find})
        with ProcessPoolExecutor(2) as one, ProcessPoolExecutor(1) as two, Pool(1) as three:
            assert one.submit(lambda: len(str(big)) > 0).result() and two.submit(noop).result() is None
            three.apply(noop)
            del big
            assert gone(watch)
            assert one.submit(lambda: "big" in globals()).result()  # there it stays, as it was
        """
    )


def test_a_name_that_is_bound_anew_is_sent_though_the_old_object_has_gone():
    run(
        """
        table = [1] * 10
        with ProcessPoolExecutor(1) as pool:
            assert pool.submit(lambda: sum(table)).result() == 10
            for i in range(2, 30):
                table = [i] * 10          # often at the address of the one before
                if i % 3 == 0: gc.collect()
                assert pool.submit(lambda: sum(table)).result() == 10 * i
            text = "x" * 5000
            assert pool.submit(lambda: len(text)).result() == 5000
            del text
            gc.collect()
            text = "y" * 5000
            assert pool.submit(lambda: text[0]).result() == "y"
        """
    )


def test_what_still_is_there_is_not_sent_again():
    run(
        """
        table = [bytes(100_000) for _ in range(100)]
        with ProcessPoolExecutor(1) as pool:
            pool.submit(noop).result()
            for _ in range(5): gc.collect()
            before = retinue.shared_memory_usage()["bytes_peak"] if isinstance(retinue.shared_memory_usage(), dict) else retinue.shared_memory_usage().bytes_peak
            assert pool.submit(lambda: len(table)).result() == 100
            after = retinue.shared_memory_usage()
            after = after["bytes_peak"] if isinstance(after, dict) else after.bytes_peak
            assert after - before < 1_000_000, (before, after)
        """
    )


def test_functions_that_were_sent_go_with_their_names():
    run(
        """
        def f(x, kept=[Thing()]):
            return x
        watch = weakref.ref(f.__defaults__[0][0])
        with ProcessPoolExecutor(1) as pool, Pool(1) as other:
            assert pool.submit(f, 1).result() == 1 and list(pool.map(f, [2])) == [2] and other.map(f, [3]) == [3]
            del f
            assert gone(watch)
            for i in range(2000):              # others at the same address are not taken for it
                exec(f"def f(x): return x + {i}")
                assert pool.submit(f, 1).result() == 1 + i
        """
    )


def test_the_arguments_of_initializers_tasks_and_failed_tasks_go():
    run(
        """
        import threading
        things = [Thing() for _ in range(6)]
        watches = [weakref.ref(it) for it in things]
        def fail(*_): raise ValueError("no")
        def pass_on(*_): return 1
        with ProcessPoolExecutor(1, initializer=noop, initargs=(things[0],)) as pool, Pool(1, noop, (things[1],)) as other:
            kept = [
                pool.submit(noop, things[2]), pool.submit(fail, things[3]), pool.submit(noop, things[4], threading.Lock()),
            ]
            for future in kept: future.exception(20)
            assert list(pool.map(noop, [things[5]])) == [None]
            try:
                other.map(fail, [things[5]])
            except ValueError:
                pass
            del things[:]
            for i, watch in enumerate(watches):
                assert gone(watch), i
            assert len(kept) == 3
        """
    )


def test_the_results_of_a_failed_map_go_at_once():
    run(
        """
        def half(i):
            if i == 5: raise ValueError(i)
            return Thing()
        gc.disable()
        with Pool(1) as pool:
            try:
                pool.map(half, range(6))
                raise SystemExit("no error")
            except ValueError:
                pass
            assert not [it for it in gc.get_objects() if type(it) is Thing]
        """
    )


def test_a_pool_that_was_shut_down_keeps_nothing():
    run(
        """
        big = [Thing()]
        watch = weakref.ref(big[0])
        pool = ProcessPoolExecutor(1)
        pool.submit(noop).result()
        pool.shutdown()
        gc.disable()
        del big
        assert watch() is None
        """
    )


def test_a_worker_keeps_no_argument_of_its_last_task():
    run(
        """
        def count(_=None):
            gc.collect()
            return sum(type(it) is Thing for it in gc.get_objects())
        def fail(it): raise ValueError("no")
        def hold(it): return None
        with ProcessPoolExecutor(1) as pool:
            assert pool.submit(count).result() == 0
            pool.submit(hold, [Thing()]).result()
            pool.submit(fail, [Thing()]).exception()
            list(pool.map(hold, [Thing()] * 3))
            assert pool.submit(count).result() == 0
        """
    )
