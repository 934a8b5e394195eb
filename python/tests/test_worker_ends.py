"""How workers end: what they have registered for it is run, and what their owner has is not."""

import pytest
from programs import METHODS, run

REGISTER = """
import atexit, weakref
from multiprocessing.util import Finalize

class Thing:
    pass

THING = Thing()

def note(what):
    with open(f"{os.getpid()}.txt", "a") as file:
        file.write(what + "\\n")

def register(processes=0):
    if not os.path.exists(f"{os.getpid()}.txt"):
        note("begun")
        atexit.register(note, "atexit")
        atexit.register(note, "atexit, later")
        Finalize(None, note, ("Finalize",), exitpriority=10)
        weakref.finalize(THING, note, "weakref")
    while len(notes()) < processes:
        time.sleep(0.001)
    return os.getpid()

def notes():
    return {name: open(name).read().split("\\n")[:-1] for name in os.listdir(".") if name.endswith(".txt")}

ATEXIT = ["weakref", "atexit, later", "atexit"]
IN_ORDER = ["begun", *ATEXIT, "Finalize"] if sys.version_info >= (3, 13) else ["begun", "Finalize", *ATEXIT]

def all_have_ended_in_order(workers):
    found = notes()
    assert len(found) == workers, found
    for name, lines in found.items():
        assert lines == IN_ORDER, (name, lines)
"""

ENDS = {
    "by with Pool": "with Pool(2, context=CONTEXT) as pool: pool.map(register, [2, 2])",
    "by close": "pool = Pool(2, context=CONTEXT); pool.map(register, [2, 2]); pool.close(); pool.join()",
    "by shutdown": "with ProcessPoolExecutor(2, CONTEXT) as pool: list(pool.map(register, [2, 2]))",
    "by kill_workers": "pool = ProcessPoolExecutor(2, CONTEXT); list(pool.map(register, [2, 2])); pool.kill_workers()",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ENDS)
def test_what_a_worker_has_registered_runs_at_its_end(end, method, tmp_path):
    run(REGISTER + f"""
if __name__ == "__main__":
    {ENDS[end]}
    all_have_ended_in_order(2)
""", method=method, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_so_it_does_in_a_worker_that_is_replaced_after_so_many_tasks(method, tmp_path):
    run(REGISTER + """
if __name__ == "__main__":
    with ProcessPoolExecutor(1, CONTEXT, max_tasks_per_child=2) as pool:
        assert len(set(pool.map(register, [0] * 6))) == 3
    all_have_ended_in_order(3)
""", method=method, tmp_path=tmp_path)  # fmt: skip


def test_so_it_does_when_the_program_ends_with_pools_open(tmp_path):
    run(REGISTER + """
if __name__ == "__main__":
    pool, executor = Pool(1), ProcessPoolExecutor(1)
    pool.apply(register), executor.submit(register).result()
""", tmp_path=tmp_path)  # fmt: skip
    found = [sorted(file.read_text().splitlines()) for file in tmp_path.glob("*.txt")]
    assert found == [["Finalize", "atexit", "atexit, later", "begun", "weakref"]] * 2


def test_and_in_one_whose_initializer_has_failed(tmp_path):
    run(REGISTER + """
def fail():
    register()
    raise ValueError("no")

if __name__ == "__main__":
    with ProcessPoolExecutor(1, initializer=fail) as pool:
        try:
            pool.submit(abs, 1).result()
        except retinue.PoolClosed:
            pass
    all_have_ended_in_order(1)
""", tmp_path=tmp_path)  # fmt: skip


# What only a handler refers to undoes something when it goes, even if the handler is never called.
OWNERS = """
import atexit, tempfile, threading, weakref
from multiprocessing.util import Finalize

class Thing:
    pass

THING, OWNER = Thing(), os.getpid()

def note(what):
    with open(f"{what}.txt", "a") as file:
        file.write(f"{os.getpid()}\\n")

def make_folder():
    folder = tempfile.TemporaryDirectory(dir=".")
    atexit.register(folder.cleanup)
    return folder.name

def in_worker(x):
    atexit.register(note, "worker")
    time.sleep(0.05)
    return os.getpid()
"""


@pytest.mark.parametrize("method", METHODS)
def test_handlers_of_the_owner_run_in_the_owner_alone(method, tmp_path):
    run(OWNERS + """
if __name__ == "__main__":
    atexit.register(note, "atexit")
    Finalize(None, note, ("Finalize",), exitpriority=10)
    weakref.finalize(THING, note, "weakref")
    folder = make_folder()
    with Pool(2, context=CONTEXT) as pool:
        workers = set(pool.map(in_worker, range(8)))
    with ProcessPoolExecutor(2, CONTEXT) as pool:
        workers |= set(pool.map(in_worker, range(8)))
    assert os.path.isdir(folder)
    assert {int(line) for line in open("worker.txt")} == workers
    note("owner")
""", method=method, tmp_path=tmp_path)  # fmt: skip
    pid = (tmp_path / "owner.txt").read_text()
    for what in ["atexit", "Finalize", "weakref"]:
        assert (tmp_path / f"{what}.txt").read_text() == pid


def test_nor_do_they_run_in_a_process_that_a_task_forks(tmp_path):
    run(OWNERS + """
def fork():
    child = os.fork()
    if not child:
        atexit._run_exitfuncs()
        os._exit(3)
    return wait_for(child)

if __name__ == "__main__":
    atexit.register(note, "atexit")
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(fork).result() == 0
        assert pool.submit(abs, -1).result() == 1
    note("owner")
""", tmp_path=tmp_path)  # fmt: skip
    assert (tmp_path / "atexit.txt").read_text() == (tmp_path / "owner.txt").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_terminate_kills_who_runs_a_task_and_lets_others_leave_in_order(method, tmp_path):
    run(REGISTER + """
def run_long():
    register()
    note("running")
    time.sleep(600)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, CONTEXT)
    running = pool.submit(run_long)
    while not any("running" in lines for lines in notes().values()):
        time.sleep(0.01)
    idle = pool.submit(register).result()
    begin = time.monotonic()
    pool.kill_workers()
    assert time.monotonic() - begin < 30
    assert isinstance(running.exception(), retinue.WorkerDied)
    found = notes()
    assert found.pop(f"{idle}.txt") == IN_ORDER
    assert list(found.values()) == [["begun", "running"]]
""", method=method, tmp_path=tmp_path)  # fmt: skip


def test_terminate_does_not_wait_for_who_takes_long_to_leave(tmp_path):
    run(REGISTER + """
def register_long():
    register()
    Finalize(None, take_long, exitpriority=100)

def take_long():
    time.sleep(600)
    note("long")

if __name__ == "__main__":
    with Pool(1) as pool:
        pool.apply(register_long)
        [worker] = pool._pool
    assert not worker.is_alive()
    [noted] = notes().values()
    assert noted[0] == "begun"  # from Python 3.13 on, what atexit has comes before what takes long
    assert "long" not in noted
""", tmp_path=tmp_path, seconds=4 + 26)  # fmt: skip


@pytest.mark.parametrize("by", ["a callback", "another thread, while the pool ends"])
def test_whoever_terminates_a_pool_finds_its_workers_gone(by, tmp_path):
    run(REGISTER + """
def register_long():
    Finalize(None, time.sleep, (600,), exitpriority=100)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2)
    pool.submit(register_long).result()
    workers = list(pool._processes.values())
    if sys.argv[2] == "a callback":
        future = pool.submit(time.sleep, 0.1)
        over = threading.Event()
        future.add_done_callback(lambda _: (pool.kill_workers(), over.set()))
        assert over.wait(20)
    else:
        ending = threading.Thread(target=pool.shutdown)
        ending.start()
        time.sleep(0.2)
        pool.kill_workers()
        ending.join()
    assert not any(worker.is_alive() for worker in workers)
""", by, tmp_path=tmp_path)  # fmt: skip
