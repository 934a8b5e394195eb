"""Names that users see: in tracebacks, reprs, pickles and help. They do not depend on where the package keeps its insides."""

import os
import pickle
import pydoc
import subprocess
import sys

import pytest
import retinue
import retinue.futures
import retinue.multiprocessing
from tasks import square

MODULES = {
    "retinue._engine": "cpu_count keep_shared_memory limit_shared_memory shared_memory_usage trim_shared_memory use_huge_pages",
    "retinue._errors": "Cancelled Error ForkWarning MemoryOverwritten PicklingError PoolClosed RemoteError "
    "ResourceExhausted TaskTimeout UnpicklingError WorkerDied",
    "retinue._limits": "WorkerLimits",
    "retinue._arrays": "share shared_array",
    "retinue": "register_joblib_backend",
}


def full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def test_public_names_say_the_modules_that_they_have_always_said():
    said = {name: module for module, names in MODULES.items() for name in names.split()}
    assert sorted(said) == retinue.__all__
    assert {name: getattr(retinue, name).__module__ for name in said} == said
    assert all(getattr(retinue, name).__qualname__ == name for name in said)


def test_classes_and_what_they_derive_from():
    assert [full_name(c) for c in retinue.futures.ProcessPoolExecutor.__mro__] == [
        "retinue.futures._executor.ProcessPoolExecutor",
        "retinue._pool.ProcessesOnce",
        "retinue._engine.Pool",
        "concurrent.futures.process.ProcessPoolExecutor",
        "concurrent.futures._base.Executor",
        "builtins.object",
    ]
    pool_class = retinue.multiprocessing.pool.Pool
    assert [full_name(c) for c in pool_class.__mro__] == [
        "retinue.multiprocessing.pool.Pool",
        "retinue._pool.ProcessesOnce",
        "retinue._engine.Pool",
        "multiprocessing.pool.Pool",
        "builtins.object",
    ]


def test_what_pools_give():
    with retinue.futures.ProcessPoolExecutor(1) as pool:
        future, results = pool.submit(square, 2), pool.map(square, [3])
        options = pool.options(retries=1)
        assert full_name(type(future)) == "retinue._futures.ProcessFuture"
        assert full_name(type(options)) == "retinue.futures._executor.ExecutorWithOptions"
        assert repr(results) == f"<retinue._engine.MapIterator object at {id(results):#x}>"
        assert future.result() == 4 and list(results) == [9]
        assert repr(future) == f"<ProcessFuture at {id(future):#x} state=finished returned int>"
        [worker] = pool._processes.values()
        assert repr(worker) == f"<WorkerProcess pid={worker.pid} alive>"
    with retinue.multiprocessing.Pool(1) as pool:
        assert repr(pool) == "<retinue.multiprocessing.pool.Pool state=RUN pool_size=1>"
        assert full_name(type(pool.apply_async(square, (2,)))) == "retinue.multiprocessing._results.AsyncResult"
        assert full_name(type(pool.map_async(square, [2]))) == "retinue.multiprocessing._results.MapResult"


def test_pickles_name_what_they_have_always_named():
    pickled = b"\x80\x04\x959\x00\x00\x00\x00\x00\x00\x00\x8c\x0fretinue._errors\x94\x8c\nWorkerDied\x94\x93\x94(" \
        b"\x8c\x01a\x94K\tJ\xff\xff\xff\xffK\x00K\x00\x8c\x00\x94t\x94R\x94."
    assert pickle.dumps(retinue.WorkerDied("a", 9), 4) == pickled
    assert pickle.loads(pickled).signal == 9
    pickled = b"\x80\x04\x95D\x00\x00\x00\x00\x00\x00\x00\x8c\x0fretinue._limits\x94\x8c\x0cWorkerLimits\x94\x93\x94)" \
        b"\x81\x94N}\x94\x8c\x07_values\x94(K\x03NN\x88\x88\x8c\x00\x94t\x94s\x86\x94b."
    assert pickle.dumps(retinue.WorkerLimits(cpu_seconds=3), 4) == pickled
    limits = pickle.loads(pickled)
    assert repr(limits) == "WorkerLimits(cpu_seconds=3)"
    with retinue.futures.ProcessPoolExecutor(1, limits=limits) as pool:
        assert pool.submit(square, 5).result() == 25


def test_shared_objects():
    pytest.importorskip("numpy")
    shared, array = retinue.share([1]), retinue.shared_array(2)
    assert repr(shared) == f"<retinue._arrays.Shared object at {id(shared):#x}>"
    assert full_name(type(array)) == "retinue._arrays.SharedArray"
    pickled = b"\x80\x04\x95*\x00\x00\x00\x00\x00\x00\x00\x8c\x0fretinue._arrays\x94\x8c\t_as_it_is\x94\x93\x94" \
        b"]\x94K\x01a\x85\x94R\x94."
    assert pickle.dumps(shared, 4) == pickled
    assert pickle.loads(pickled) == [1]


def test_joblib_backend():
    pytest.importorskip("joblib")
    from retinue import _joblib

    assert full_name(_joblib.RetinueBackend) == "retinue._joblib.RetinueBackend"
    assert full_name(_joblib.JoblibTimeout) == "retinue._joblib.JoblibTimeout"


def test_an_uncaught_error_is_shown_under_its_name():
    code = "import os, retinue.futures as f\nwith f.ProcessPoolExecutor(1) as pool: pool.submit(os._exit, 3).result()"
    path = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("retinue._errors.WorkerDied: ")


@pytest.mark.parametrize(
    "public",
    [retinue, retinue.futures, retinue.multiprocessing, retinue.futures.ProcessPoolExecutor, retinue.multiprocessing.pool],
)
def test_help_names_nothing_of_the_insides(public):
    text = pydoc.plain(pydoc.render_doc(public))
    assert "retinue" in text and "_internal." not in text
