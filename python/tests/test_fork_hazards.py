"""Libraries that wait for ever in a forked worker for threads that they had in the owner: one warning, and no false one."""

import shutil
import subprocess
import textwrap

import pytest

import programs

# A library is played by an empty module of its name, and its threads by ours under the names that it gives to its own.
BEGIN = """
import types, warnings

class Threads:
    def __init__(self, *names):
        self._end = threading.Event()
        ready = threading.Barrier(len(names) + 1)

        def run(name):
            with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:
                file.write(name)
            ready.wait(20)
            self._end.wait(40)

        self._threads = [threading.Thread(target=run, args=(name,)) for name in names]
        for thread in self._threads:
            thread.start()
        ready.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(20)

def module(name, **attributes):
    sys.modules[name] = made = types.ModuleType(name)
    vars(made).update(attributes)
    return made

def start(kind="executor", **options):
    '''The warnings of a pool that is started.'''
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind == "executor":
            with ProcessPoolExecutor(1, **options) as pool:
                assert pool.submit(abs, -1).result(timeout=40) == 1
        else:
            with Pool(1, **options) as pool:
                assert pool.apply(abs, (-1,)) == 1
    return [it for it in caught if issubclass(it.category, retinue.ForkWarning)]
"""


def run(program, tmp_path, method="fork"):
    return programs.run(textwrap.dedent(BEGIN) + textwrap.dedent(program), method=method, tmp_path=tmp_path)


@pytest.mark.parametrize(
    "library, module, thread",
    [("polars", "polars", "polars-0"), ("gRPC", "grpc", "grpc_global_tim")],
)
def test_a_library_with_threads_is_warned_of_once(library, module, thread, tmp_path):
    run(
        f"""
        if __name__ == "__main__":
            module({module!r})
            with Threads({thread!r}, "other"):
                warned = start()
                assert len(warned) == 1, warned
                text = str(warned[0].message)
                assert text.startswith({library!r} + " has threads running"), text
                assert 'mp_context="spawn"' in text and "first task before" in text, text
                assert warned[0].filename == __file__, warned[0].filename
                assert not start() and not start("pool")
        """,
        tmp_path,
    )


def test_each_library_is_warned_of_and_a_pool_says_it_where_it_is_made(tmp_path):
    run(
        """
        if __name__ == "__main__":
            module("polars")
            with Threads("polars-0"):
                warned = start("pool")
                assert [str(it.message).split()[0] for it in warned] == ["polars"]
                assert warned[0].filename == __file__, warned[0].filename
                module("grpc")
                with Threads("grpc_global_tim"):
                    assert [str(it.message).split()[0] for it in start("pool")] == ["gRPC"]
        """,
        tmp_path,
    )


def test_no_warning_without_threads_of_the_library(tmp_path):
    run(
        """
        if __name__ == "__main__":
            module("polars")
            module("grpc")
            module("dask.threaded", default_pool=None, pools={})
            module("joblib.externals.loky.reusable_executor", _executor=None)
            assert not start()
            with Threads("other", "pool-1", "polars-ooc-clea"):  # of the program's, and what is harmless
                assert not start()
                assert not start("pool")
        """,
        tmp_path,
    )


def test_no_warning_without_the_library(tmp_path):
    run(
        """
        if __name__ == "__main__":
            with Threads("polars-0", "grpc_global_tim"):
                assert not start()
        """,
        tmp_path,
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_no_warning_where_nothing_is_forked(method, tmp_path):
    run(
        """
        if __name__ == "__main__":
            module("polars")
            with Threads("polars-0"):
                assert not start(mp_context=METHOD)
                assert not start("pool", context=METHOD)
                assert start()  # which would have been said
        """,
        tmp_path,
        method,
    )


@pytest.mark.parametrize(
    "name, module, attributes",
    [
        ("dask's", "dask.threaded", "default_pool=used"),
        ("dask's", "dask.threaded", "default_pool=None, pools={1: {2: used}}"),
        ("joblib's", "joblib.externals.loky.reusable_executor", "_executor=loky"),
        ("joblib's", "loky.reusable_executor", "_executor=loky"),
    ],
)
def test_a_library_that_says_of_itself_that_it_has_threads(name, module, attributes, tmp_path):
    run(
        f"""
        if __name__ == "__main__":
            used, loky = concurrent.futures.ThreadPoolExecutor(1), types.SimpleNamespace(_executor_manager_thread=None)
            module({module!r}, {attributes})
            with Threads("of any name") as threads:
                assert not start()  # made, but not used
                assert used.submit(abs, -1).result(timeout=20) == 1
                loky._executor_manager_thread = threads._threads[0]
                assert [str(it.message).split()[0] for it in start()] == [{name!r}]
                assert not start()
        """,
        tmp_path,
    )


def test_one_that_is_other_than_was_known_does_no_harm(tmp_path):
    run(
        """
        if __name__ == "__main__":
            module("dask.threaded", default_pool=5, pools=7)
            module("loky.reusable_executor", _executor="changed")
            with Threads("of any name"):
                assert not start()
        """,
        tmp_path,
    )


def test_the_warning_can_be_made_an_error_and_then_nothing_is_left(tmp_path):
    run(
        """
        if __name__ == "__main__":
            module("polars")
            with Threads("polars-0"):
                warnings.simplefilter("error", retinue.ForkWarning)
                try:
                    Pool(1)
                except retinue.ForkWarning:
                    pass
                else:
                    raise AssertionError("no warning")
                with Pool(1) as pool:  # it was said
                    assert pool.apply(abs, (-1,)) == 1
        """,
        tmp_path,
    )


OPENMP = r"""
#include <omp.h>
int team(void) {
  int threads = 0;
#pragma omp parallel num_threads(3) reduction(+ : threads)
  threads += 1;
  return threads;
}
"""


@pytest.fixture(scope="module")
def openmp(tmp_path_factory):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("openmp")
    (folder / "team.c").write_text(OPENMP)
    library = folder / "libteam.so"
    subprocess.run(
        [compiler, "-fopenmp", "-shared", "-fPIC", "-o", str(library), str(folder / "team.c")], check=True, timeout=60
    )
    return str(library)


def run_openmp(openmp, program, tmp_path):
    begin = f"""
import ctypes
team = None

def load():
    global team
    team = ctypes.CDLL({openmp!r}).team

def task():
    return team()

def without_pause():
    '''As if GNU OpenMP were of before GCC 9, and could not let its threads go.'''
    from retinue._internal import openmp
    class Old:
        def __init__(self, path, mode=0):
            pass
    ctypes.CDLL = Old
"""
    return run(begin + textwrap.dedent(program), tmp_path)


def test_gnu_openmp_lets_its_threads_go_so_that_nothing_hangs_and_nothing_is_said(openmp, tmp_path):
    run_openmp(
        openmp,
        """
        if __name__ == "__main__":
            load()
            assert task() == 3
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with ProcessPoolExecutor(1) as pool:
                    assert pool.submit(task).result(timeout=30) == 3
                assert task() == 3
            assert not caught, caught
        """,
        tmp_path,
    )


def test_one_that_cannot_let_them_go_is_warned_of(openmp, tmp_path):
    run_openmp(
        openmp,
        """
        if __name__ == "__main__":
            load()
            without_pause()
            with Threads("other"):
                assert not start()  # loaded, but without threads
                assert task() == 3
                time.sleep(0.5)  # its threads spin a while before they sleep
                warned = start()
                assert [str(it.message).split(" has")[0] for it in warned] == ["GNU OpenMP"], warned
                assert not start()
        """,
        tmp_path,
    )
