"""The joblib backend: results, failures, and scikit-learn on it."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

import retinue

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed, parallel_backend  # noqa: E402

retinue.register_joblib_backend()


@pytest.fixture
def backend():
    with parallel_backend("retinue", n_jobs=2):
        yield


def square(x):
    return x * x


def die_at_3(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_importing_retinue_does_not_import_joblib():
    code = "import retinue, retinue.futures, sys; sys.exit('joblib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


def test_results_come_in_order_from_other_processes(backend):
    assert Parallel()(delayed(square)(i) for i in range(1000)) == [i * i for i in range(1000)]
    assert os.getpid() not in Parallel(batch_size=1)(delayed(os.getpid)() for _ in range(10))
    assert Parallel()([]) == []


def test_a_backend_may_be_named_where_it_is_used():
    assert Parallel(n_jobs=2, backend="retinue")(delayed(square)(i) for i in range(3)) == [0, 1, 4]
    assert Parallel(n_jobs=1, backend="retinue")(delayed(os.getpid)() for i in range(3)) == [os.getpid()] * 3


def test_lambdas_and_closures_travel(backend):
    offset = 7
    assert Parallel()(delayed(lambda x: x + offset)(i) for i in range(3)) == [7, 8, 9]


def test_the_workers_stay_from_call_to_call(backend):
    first = set(Parallel(batch_size=1)(delayed(os.getpid)() for _ in range(20)))
    second = set(Parallel(batch_size=1)(delayed(os.getpid)() for _ in range(20)))
    assert len(first | second) <= 2


def test_no_more_tasks_run_at_once_than_jobs_were_asked_for(backend):
    def pid(_):
        time.sleep(0.02)
        return os.getpid()

    assert len(set(Parallel(n_jobs=3, batch_size=1)(delayed(pid)(i) for i in range(9)))) <= 3
    assert len(set(Parallel(n_jobs=2, batch_size=1)(delayed(pid)(i) for i in range(9)))) <= 2


def test_a_task_that_raises_ends_the_call_with_its_exception(backend):
    def fail(x):
        if x == 50:
            raise KeyError("fifty")
        return x

    with pytest.raises(KeyError, match="fifty"):
        Parallel()(delayed(fail)(i) for i in range(100))
    assert Parallel()(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_failure_does_not_wait_for_the_tasks_before_it(backend):
    def fail(x):
        if x == 1:
            raise KeyError(x)
        time.sleep(30)

    begin = time.monotonic()
    with pytest.raises(KeyError):
        Parallel()(delayed(fail)(i) for i in range(4))
    assert time.monotonic() - begin < 10


def test_a_worker_that_is_killed_raises_worker_died_and_the_next_call_works(backend):
    with pytest.raises(retinue.WorkerDied) as caught:
        Parallel()(delayed(die_at_3)(i) for i in range(30))
    assert caught.value.signal == signal.SIGKILL
    assert Parallel()(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_parallel_that_is_used_again_after_a_failure_works(backend):
    with Parallel() as parallel:
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]
        with pytest.raises(retinue.WorkerDied):
            parallel(delayed(die_at_3)(i) for i in range(30))
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_retries_run_a_task_again_after_its_worker_died(tmp_path):
    def once(path):
        if not path.exists():
            path.touch()
            os._exit(1)
        return path.name

    with parallel_backend("retinue", n_jobs=2, retries=2):
        assert Parallel()(delayed(once)(tmp_path / str(i)) for i in range(3)) == ["0", "1", "2"]


@pytest.mark.parametrize("at", [0, 1, 40])
def test_inputs_that_raise_end_the_call(backend, at):
    def inputs():
        for i in range(50):
            if i == at:
                raise RuntimeError("input")
            yield delayed(square)(i)

    with pytest.raises(RuntimeError, match="input"):
        Parallel()(inputs())


@pytest.mark.parametrize("at", [0, 1, 40])
def test_an_argument_that_cannot_travel_ends_the_call(backend, at):
    with pytest.raises(retinue.PicklingError):
        Parallel(batch_size=1)(delayed(square)(threading.Lock() if i == at else i) for i in range(50))


def test_a_call_that_is_too_slow_ends_with_a_timeout(backend):
    import multiprocessing

    for kind in (TimeoutError, multiprocessing.TimeoutError, retinue.TaskTimeout):
        begin = time.monotonic()
        with pytest.raises(kind):
            Parallel(timeout=0.1)(delayed(time.sleep)(30) for _ in range(3))
        assert time.monotonic() - begin < 10


def test_calls_may_be_nested(backend):
    def inner(n, backend=None):
        return sum(Parallel(n_jobs=2, backend=backend)(delayed(square)(i) for i in range(n)))

    assert Parallel()(delayed(inner)(n) for n in range(4)) == [0, 0, 1, 5]
    assert Parallel()(delayed(inner)(n, "retinue") for n in range(4)) == [0, 0, 1, 5]


def test_threads_may_call_at_the_same_time():
    results = []

    def call():
        with parallel_backend("retinue", n_jobs=2):
            results.append(Parallel()(delayed(square)(i) for i in range(50)))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [[i * i for i in range(50)]] * 4


def test_arrays_travel_both_ways(backend):
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.full(300_000, float(i)) for i in range(4)]
    for i, back in enumerate(Parallel()(delayed(lambda a: a + 1)(a) for a in arrays)):
        assert (back == i + 1).all()


def test_an_array_given_to_many_tasks_is_written_once_and_read_in_place(backend):
    numpy = pytest.importorskip("numpy")
    big = numpy.arange(500_000.0)

    def look(array, i, *, again):
        return array[i], again is array, array.flags.writeable, array.ctypes.data

    looks = Parallel(batch_size=1)(delayed(look)(big, i, again=big) for i in range(20))
    assert [value for value, *_ in looks] == list(range(20))
    assert {same for _, same, *_ in looks} == {True}
    assert {writeable for *_, writeable, _ in looks} == {False}
    assert len({address for *_, address in looks}) == 1
    big[0] = 7  # a later call sees it
    assert Parallel()(delayed(look)(big, 0, again=big) for _ in range(3))[0][0] == 7


def test_arrays_made_for_one_task_each_do_not_pile_up(backend):
    numpy = pytest.importorskip("numpy")
    from retinue._internal.joblib_arrays import Sharing

    most = 0

    class Watched(Sharing):
        def share_arguments(self, batch):
            nonlocal most
            super().share_arguments(batch)
            most = max(most, len(self._shared))

    from retinue import _joblib

    original, _joblib.Sharing = _joblib.Sharing, Watched
    try:
        sums = Parallel(batch_size=1)(delayed(numpy.sum)(numpy.full(200_000, float(i))) for i in range(40))
    finally:
        _joblib.Sharing = original
    assert sums == [200_000.0 * i for i in range(40)]
    assert 0 < most < 20


def test_generators_of_results():
    if not hasattr(joblib, "parallel_config"):
        pytest.skip("joblib 1.3 has them")
    with joblib.parallel_config(backend="retinue", n_jobs=2):
        ordered = Parallel(return_as="generator")(delayed(square)(i) for i in range(50))
        other = Parallel()(delayed(square)(i) for i in range(50))
        assert list(ordered) == other == [i * i for i in range(50)]
        endless = Parallel(return_as="generator")(delayed(time.sleep)(0.2 * i) for i in range(100))
        next(endless)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            del endless


def test_generators_of_results_in_the_order_of_their_ends():
    try:
        Parallel(return_as="generator_unordered")
    except (TypeError, ValueError):
        pytest.skip("joblib 1.4 has them")
    with joblib.parallel_config(backend="retinue", n_jobs=2):
        unordered = Parallel(return_as="generator_unordered")(delayed(square)(i) for i in range(50))
        ordered = Parallel(return_as="generator")(delayed(square)(i) for i in range(50))
        assert sorted(unordered) == list(ordered) == [i * i for i in range(50)]
        with pytest.raises(retinue.WorkerDied):
            list(Parallel(return_as="generator_unordered")(delayed(die_at_3)(i) for i in range(50)))


def test_ctrl_c_leaves_no_process():
    code = """if True:
        import os, signal, sys, threading, time, retinue
        from joblib import Parallel, delayed, parallel_backend
        retinue.register_joblib_backend()
        def pids(_):
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(30)
        with parallel_backend("retinue", n_jobs=2):
            Parallel()(delayed(pids)(i) for i in range(10))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        workers = [int(process.stdout.readline()) for _ in range(2)]
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - begin < 5
    assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_scikit_learn_cross_validates_and_searches(backend):
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    x, y = make_classification(200, random_state=0)
    scores = cross_val_score(LogisticRegression(), x, y, cv=4)
    with parallel_backend("sequential"):
        assert scores == pytest.approx(cross_val_score(LogisticRegression(), x, y, cv=4))
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0]}, cv=3).fit(x, y)
    assert search.best_score_ > 0.7
    assert set(search.cv_results_["param_C"]) == {0.01, 0.1, 1.0}


def test_what_uses_openmp_in_the_owner_may_use_it_in_workers():
    pytest.importorskip("sklearn")
    code = """if True:
        import numpy, retinue
        from joblib import Parallel, delayed, parallel_backend
        from sklearn.cluster import KMeans
        retinue.register_joblib_backend()
        x = numpy.random.default_rng(0).random((5000, 5))
        def fit(seed):
            return KMeans(3, n_init=1, random_state=seed).fit(x).inertia_
        here = [fit(i) for i in range(3)]
        for threads in (1, 2):
            with parallel_backend("retinue", n_jobs=2, inner_max_num_threads=threads):
                assert numpy.allclose(Parallel()(delayed(fit)(i) for i in range(3)), here)
        assert numpy.allclose([fit(i) for i in range(3)], here)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=55)
