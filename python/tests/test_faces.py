"""Retinue's classes in the place of the standard's: what is asked of those holds for these, or they say that it does not."""

import concurrent.futures
import concurrent.futures.process
import importlib
import inspect
import multiprocessing
import multiprocessing.connection
import multiprocessing.pool
import os
import pkgutil
import subprocess
import sys
import threading
import time

import pytest
from programs import METHODS, run

import retinue.futures
import retinue.multiprocessing
from tasks import square

OF_OTHER_SYSTEMS = {"popen_spawn_win32"}


def submodules(package):
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [it.name for it in found if it.name.rpartition(".")[2] not in OF_OTHER_SYSTEMS]


@pytest.mark.parametrize("name", submodules(multiprocessing) + submodules(concurrent.futures))
def test_each_submodule_is_there_with_all_its_names(name):
    standard = importlib.import_module(name)
    ours = importlib.import_module("retinue." + name.removeprefix("concurrent."))
    missing = [it for it in vars(standard) if not it.startswith("__") and not hasattr(ours, it)]
    assert not missing
    parent, _, last = ("retinue." + name.removeprefix("concurrent.")).rpartition(".")
    assert getattr(importlib.import_module(parent), last) is ours


def test_submodules_are_the_standard_ones_where_nothing_differs():
    differ = {it for it in submodules(multiprocessing) if importlib.import_module("retinue." + it) is not sys.modules[it]}
    assert differ == {"multiprocessing.context", "multiprocessing.pool"}
    assert sys.modules["multiprocessing.managers"].__spec__.name == "multiprocessing.managers"


def test_submodules_are_found_as_attributes():
    code = (
        "import retinue.futures as f, retinue.multiprocessing as m\n"
        "assert f.process.ProcessPoolExecutor is f.ProcessPoolExecutor\n"
        "assert f.thread.ThreadPoolExecutor is f.ThreadPoolExecutor and m.context.ForkContext\n"
        "assert m.managers.BaseManager and m.dummy.connection.Listener and m.pool.ThreadPool\n"
        "for module in m, f, m.pool, m.context, f.process:\n"
        "    assert not hasattr(module, 'no_such_name')\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env={**os.environ, "PYTHONPATH": path})


def test_isinstance_holds_for_all_that_pools_give():
    results = multiprocessing.pool
    with retinue.futures.ProcessPoolExecutor(1) as executor, retinue.multiprocessing.Pool(1) as pool:
        assert isinstance(executor, concurrent.futures.ProcessPoolExecutor)
        assert isinstance(executor.options(retries=1), concurrent.futures.ProcessPoolExecutor)
        assert isinstance(executor.submit(square, 2), concurrent.futures.Future)
        assert isinstance(pool, results.Pool)
        assert isinstance(pool.apply_async(square, (2,)), results.ApplyResult)
        assert isinstance(pool.map_async(square, [2]), results.MapResult)
        assert isinstance(pool.starmap_async(square, [(2,)]), results.MapResult)
        ordered, unordered = pool.imap(square, (2, 3)), pool.imap_unordered(square, iter([2, 3]))
        assert isinstance(ordered, results.IMapIterator) and not isinstance(ordered, results.IMapUnorderedIterator)
        assert isinstance(unordered, results.IMapUnorderedIterator)
        assert list(ordered) == sorted(unordered) == [4, 9]
        assert isinstance(pool._pool[0], multiprocessing.process.BaseProcess)
    for method in METHODS:
        context = retinue.multiprocessing.get_context(method)
        assert type(context).__mro__[2] is type(multiprocessing.get_context(method))
        assert context.get_context() is context and context.get_context("spawn").get_start_method() == "spawn"
    with context.Pool(1) as pool:
        assert type(pool) is retinue.multiprocessing.pool.Pool and pool._ctx is context


def test_iterators_of_imap_are_made_by_pools_alone():
    for cls in retinue.multiprocessing.pool.IMapIterator, retinue.multiprocessing.pool.IMapUnorderedIterator:
        with pytest.raises(TypeError, match="made by a pool"):
            cls(None)


def test_a_pool_makes_nothing_of_what_the_standard_is_made_of(tmp_path):
    run("""
        if __name__ == "__main__":
            import concurrent.futures.process as process
            with ProcessPoolExecutor(1) as executor, Pool(1) as pool:
                executor.submit(abs, -1).result(), pool.apply(abs, (-1,))
                names = {thread.name for thread in threading.enumerate()}
                assert names == {"MainThread"}, names
                assert not process._threads_wakeups
                assert not multiprocessing.active_children()
        """, tmp_path=tmp_path)  # fmt: skip


PAIRS = [
    (retinue.futures.ProcessPoolExecutor, concurrent.futures.process.ProcessPoolExecutor),
    (retinue.futures._executor.ExecutorWithOptions, concurrent.futures.process.ProcessPoolExecutor),
    (retinue.multiprocessing.pool.Pool, multiprocessing.pool.Pool),
    (retinue.multiprocessing.pool.AsyncResult, multiprocessing.pool.AsyncResult),
    (retinue.multiprocessing.pool.MapResult, multiprocessing.pool.MapResult),
    (retinue.multiprocessing.pool.IMapIterator, multiprocessing.pool.IMapIterator),
    (retinue.multiprocessing.pool.IMapUnorderedIterator, multiprocessing.pool.IMapUnorderedIterator),
]


def inherited(ours, standard):
    """The methods of the standard class, and of its bases, that `ours` has from there."""
    for name, it in inspect.getmembers_static(ours):
        defined_in = next(cls for cls in ours.__mro__ if name in vars(cls))
        if defined_in is not object and defined_in in standard.__mro__ and not isinstance(it, str):
            yield name


# What works as it is inherited. Executor: its methods that are all overridden.
MAY_BE_INHERITED = {"__class_getitem__", "__dict__", "__weakref__", "__enter__", "Process", "_wrap_exception"}


@pytest.mark.parametrize("ours, standard", PAIRS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_nothing_is_inherited_that_works_on_what_is_not_there(ours, standard):
    methods = {name for name in inherited(ours, standard) if name not in vars(concurrent.futures.Executor)}
    assert methods - MAY_BE_INHERITED == set()


@pytest.mark.parametrize("ours, standard", PAIRS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_private_methods_of_the_standard_raise_an_error_that_says_so(ours, standard):
    work = {"_check_running", "_terminate"}
    names = [name for name, it in vars(standard).items() if name.startswith("_") and not name.startswith("__")]
    names = [name for name in names if callable(getattr(standard, name)) and name not in work]
    for name in names:
        method = inspect.getattr_static(ours, name)
        assert isinstance(method, staticmethod), name
        with pytest.raises(NotImplementedError, match=f"has no {name}().*docs/python.md"):
            getattr(ours, name)(1, 2, x=3)


# As docs/python.md has it.
ABSENT = {
    "executor": "_call_queue _executor_manager_thread _executor_manager_thread_wakeup _idle_worker_semaphore _result_queue "
    "_shutdown_lock _work_ids",
    "pool": "_change_notifier _inqueue _outqueue _quick_get _quick_put _result_handler _task_handler _taskqueue "
    "_worker_handler",
    "result": "_cache _callback _error_callback _event _job",
    "iterator": "_cache _cond _index _items _job _length _pool _unsorted",
}


def test_attributes_of_a_standard_instance_are_there_or_are_said_to_be_absent():
    def given(executor, pool):
        # All as it is when a task has ended: a result has no value before.
        result, results = pool.apply_async(square, (2,)), pool.map_async(square, [2, 3])
        results.wait(20), result.wait(20)
        executor.submit(square, 2).result(20)
        iterator = pool.imap(square, [2])
        return {"executor": [executor], "pool": [pool], "result": [result, results], "iterator": [iterator]}

    with concurrent.futures.ProcessPoolExecutor(1) as executor, multiprocessing.Pool(1) as pool:
        standard = {kind: [set(vars(it)) for it in those] for kind, those in given(executor, pool).items()}
    with retinue.futures.ProcessPoolExecutor(1) as executor, retinue.multiprocessing.Pool(1) as pool:
        for kind, those in given(executor, pool).items():
            absent = set(ABSENT[kind].split())
            for it, names in zip(those, standard[kind]):
                assert {name for name in names if not hasattr(it, name)} == names & absent
                assert all(hasattr(it, name) for name in dir(it))
                for name in absent:
                    with pytest.raises(AttributeError, match=f"has no {name}.*docs/python.md"):
                        getattr(it, name)
    page = open(os.path.join(os.path.dirname(__file__), "../../docs/python.md")).read()
    for names in ABSENT.values():
        assert all(f"`{name}`" in page for name in names.split())


def test_what_programs_read_off_an_executor():
    executor = retinue.futures.ProcessPoolExecutor(2)
    assert executor._processes == {} and not executor._shutdown_thread
    assert executor._mp_context.get_start_method() == "fork" and not executor._safe_to_dynamically_spawn_children
    may_end, may_end_there = multiprocessing.Pipe()
    running = executor.submit(may_end_there.recv)
    waiting = [executor.submit(square, i) for i in range(100)]
    with executor, executor.options(retries=1) as limited:
        assert executor._max_workers == limited._max_workers == 2
        assert list(executor._processes) == list(limited._processes) == executor.worker_pids()
        assert executor._queue_count == 101
        assert 1 <= len(executor._pending_work_items) <= 101
        may_end.send(1)
        concurrent.futures.wait([running, *waiting], 20)
        assert len(executor._pending_work_items) == 0
    assert executor._shutdown_thread and limited._shutdown_thread


def test_what_programs_read_off_a_pool_and_its_results():
    with retinue.multiprocessing.Pool(2, maxtasksperchild=5000) as pool:
        assert pool._processes == 2 and len(pool._pool) == 2 and pool._maxtasksperchild == 5000
        assert pool._ctx.get_start_method() == "fork"
        pool._check_running()
        ends = [multiprocessing.Pipe() for _ in range(2)]
        results = pool.map_async(lambda end: end.recv(), [there for _, there in ends])
        assert results._number_left == 2 and len(pool._cache) == 2 and not hasattr(results, "_value")
        ends[0][0].send("one")
        end = time.monotonic() + 20
        while results._number_left != 1:
            assert time.monotonic() < end
        ends[1][0].send("two")
        assert results.get(20) == ["one", "two"] == results._value and results._success
        assert results._number_left == 0 and len(pool._cache) == 0
        failed = pool.map_async(square, [1, "x"])
        failed.wait(20)
        assert isinstance(failed._value, TypeError) and not failed._success and failed._number_left == 0
        assert not hasattr(pool.map_async(square, iter([1])), "_number_left")
    with pytest.raises(ValueError, match="not running"):
        pool._check_running()


def test_workers_are_looked_at_as_processes():
    with retinue.futures.ProcessPoolExecutor(1) as executor:
        executor.submit(square, 1).result()
        [worker] = executor._processes.values()
        assert worker.pid == worker.ident and worker.is_alive() and worker.exitcode is None and not worker.daemon
        assert not multiprocessing.connection.wait([worker.sentinel], 0)
        with pytest.raises(ValueError, match="still running"):
            worker.close()
        worker.terminate()
        assert multiprocessing.connection.wait([worker.sentinel], 20)
        worker.join(20)
        assert not worker.is_alive() and worker.exitcode == 255
        worker.close()
        for refused in (worker.start, worker.run):
            with pytest.raises((AssertionError, NotImplementedError)):
                refused()


def test_dask_makes_as_many_tasks_as_there_are_workers():
    local = pytest.importorskip("dask.local")
    base = pytest.importorskip("dask.base")
    with retinue.futures.ProcessPoolExecutor(3) as executor:
        for it in executor, executor.options(retries=1):
            get = base.get_scheduler(scheduler=it)
            assert get.func is local.get_async and get.args[1] == 3


def children_in_worker():
    parent = retinue.multiprocessing.parent_process()
    return os.getppid(), parent.pid, parent.name, parent.is_alive(), len(retinue.multiprocessing.active_children())


def inner():
    """In a worker, of a pool that it makes."""
    with retinue.futures.ProcessPoolExecutor(1) as executor:
        seen = executor.submit(children_in_worker).result()
        children = [child.pid for child in retinue.multiprocessing.active_children()]
        return os.getpid(), seen, children == executor.worker_pids()


@pytest.mark.parametrize("method", METHODS)
def test_parents_and_children_in_owner_and_workers(method):
    context = retinue.multiprocessing.get_context(method)
    assert retinue.multiprocessing.parent_process() is None
    before = retinue.multiprocessing.active_children()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    with retinue.futures.ProcessPoolExecutor(1, context) as executor, context.Pool(1) as pool:
        child.start()
        of_parent, parent, name, alive, children = executor.submit(children_in_worker).result()
        assert (parent, name, alive, children) == (os.getpid(), multiprocessing.current_process().name, True, 0)
        assert of_parent not in (os.getpid(), *executor.worker_pids())  # the fork server, as docs/faults.md says
        there = {it.pid for it in retinue.multiprocessing.active_children()} - {it.pid for it in before}
        assert there == {child.pid, *executor.worker_pids(), pool._pool[0].pid}
        worker, (_, parent, _, alive, children), as_it_should = executor.submit(inner).result()
        assert (parent, alive, children, as_it_should) == (worker, True, 0, True)
    child.kill()
    child.join()
    assert len(retinue.multiprocessing.active_children()) == len(before)


def watch(owner, by, pause):
    """What people have written so that no worker outlives its program."""

    def look():
        time.sleep(pause)
        while os.getppid() == owner:
            time.sleep(0.1)
        by()

    threading.Thread(target=look, daemon=True).start()


def leave():
    os._exit(1)


def terminate():
    os.kill(os.getpid(), 15)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("by, pause", [(leave, 0), (terminate, 0), (leave, 0.05)])
def test_an_initializer_that_watches_for_another_parent_is_told_who_that_is(by, pause, method):
    context = multiprocessing.get_context(method)
    with retinue.multiprocessing.Pool(1, watch, (os.getpid(), by, pause), context=context) as pool:
        end = time.monotonic() + 40
        while not pool._broken:
            assert time.monotonic() < end
            time.sleep(0.01)
        with pytest.raises(retinue.PoolClosed, match=r"getppid.*multiprocessing\.parent_process\(\).*docs/faults\.md"):
            pool.apply(square, (1,))


def test_workers_that_are_ended_from_outside_are_replaced_for_ever():
    with retinue.multiprocessing.Pool(1, time.time) as pool:
        for _ in range(30):
            [worker] = pool._pool or [None]
            if worker is not None and pool.apply(square, (2,)) == 4:
                worker.terminate()
                worker.join(20)
        assert pool.apply(square, (3,)) == 9
