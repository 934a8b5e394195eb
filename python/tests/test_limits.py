"""WorkerLimits: what they forbid, through each door, and how they are refused."""

import errno
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

METHODS = ["fork", "spawn"]


def pool_with(method="fork", workers=1, **limits):
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, limits=retinue.WorkerLimits(**limits))


def make_socket(family):
    socket.socket(family, socket.SOCK_STREAM).close()
    return True


def run_program():
    return subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, check=True).stdout


def open_files(n):
    files = []
    try:
        for _ in range(n):
            files.append(open(os.devnull))
        return None
    except OSError as error:
        return error.errno
    finally:
        for file in files:
            file.close()


def spin():
    while True:
        pass


def use_cpu(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def take(megabytes):
    return len(bytearray(megabytes << 20))


@pytest.mark.parametrize("method", METHODS)
def test_without_network_sockets_reach_this_machine_only(method):
    with pool_with(method, network=False) as pool:
        for family in (socket.AF_INET, socket.AF_INET6):
            with pytest.raises(PermissionError):
                pool.submit(make_socket, family).result()
        assert pool.submit(make_socket, socket.AF_UNIX).result()
        assert pool.submit(run_program).result() == b"42\n"
    assert make_socket(socket.AF_INET)


def test_without_programs_none_is_run():
    with pool_with(programs=False) as pool:
        with pytest.raises(PermissionError):
            pool.submit(run_program).result()
        assert pool.submit(make_socket, socket.AF_INET).result()


@pytest.mark.parametrize("method", METHODS)
def test_open_files_are_limited(method):
    with pool_with(method, open_files=40) as pool:
        assert pool.submit(open_files, 60).result() == errno.EMFILE
        assert pool.submit(open_files, 5).result() is None
    assert open_files(60) is None


def test_too_much_memory_is_a_memory_error_of_that_task():
    with pool_with(address_space=256 << 20) as pool:
        pid = pool.submit(os.getpid).result()
        with pytest.raises(MemoryError):
            pool.submit(take, 1000).result()
        assert pool.submit(take, 10).result() == 10 << 20
        assert pool.submit(os.getpid).result() == pid


def test_a_task_that_uses_more_cpu_time_dies_and_the_next_has_its_own():
    with pool_with(cpu_seconds=1) as pool:
        with pytest.raises(retinue.WorkerDied, match="CPU time") as info:
            pool.submit(spin).result()
        assert info.value.signal == signal.SIGXCPU
        pid = pool.submit(os.getpid).result()
        for _ in range(4):
            pool.submit(use_cpu, 0.5).result()
        assert pool.submit(os.getpid).result() == pid


def test_the_initializer_is_not_limited(tmp_path):
    def begin():
        assert open_files(60) is None
        assert run_program() == b"42\n"

    limits = retinue.WorkerLimits(open_files=40, programs=False)
    with ProcessPoolExecutor(1, initializer=begin, limits=limits) as pool:
        assert pool.submit(open_files, 60).result() == errno.EMFILE


def test_a_pool_of_multiprocessing_has_them_too():
    with Pool(1, limits=retinue.WorkerLimits(network=False)) as pool:
        with pytest.raises(PermissionError):
            pool.apply(make_socket, (socket.AF_INET,))
        assert pool.map(abs, [-1, -2]) == [1, 2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user of its workers")
@pytest.mark.parametrize("user", ["nobody", 64999])
@pytest.mark.parametrize("method", METHODS)
def test_workers_run_as_that_user(method, user):
    with pool_with(method, user=user) as pool:
        uid = pool.submit(os.getuid).result()
        assert uid != 0 and (user == "nobody" or uid == user)
        with pytest.raises(PermissionError):
            pool.submit(os.setuid, 0).result()
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()


def test_a_user_that_does_not_exist_is_named():
    with pool_with(user="no such user") as pool:
        with pytest.raises(retinue.Error, match="'no such user'"):
            pool.submit(abs, -1)


@pytest.mark.parametrize(
    ("rubbish", "error"),
    [
        ({"cpu_seconds": 0}, ValueError),
        ({"cpu_seconds": -1}, ValueError),
        ({"cpu_seconds": 1 << 70}, ValueError),
        ({"cpu_seconds": 1.5}, TypeError),
        ({"cpu_seconds": True}, TypeError),
        ({"address_space": "1G"}, TypeError),
        ({"open_files": -1}, ValueError),
        ({"user": ""}, ValueError),
        ({"memory": 1}, TypeError),
    ],
)
def test_rubbish_is_refused_where_it_is_written(rubbish, error):
    with pytest.raises(error, match=next(iter(rubbish))):
        retinue.WorkerLimits(**rubbish)


def test_limits_must_be_limits():
    with pytest.raises(TypeError, match="WorkerLimits"):
        ProcessPoolExecutor(limits={"network": False})
    with pytest.raises(TypeError, match="WorkerLimits"):
        Pool(1, limits=True)


def test_limits_print_what_they_limit():
    assert repr(retinue.WorkerLimits()) == "WorkerLimits()"
    assert repr(retinue.WorkerLimits(cpu_seconds=1, network=False)) == "WorkerLimits(cpu_seconds=1, network=False)"


# What limits count, and limits that the program sets itself ------------------------------------------------------------

ALL_METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """A module whose import takes a second, of CPU time too, wherever it was not imported yet."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, time\n"
        "nap = float(os.environ.get('SLOW_NAP', '1')); spin = float(os.environ.get('SLOW_SPIN', '0'))\n"
        "time.sleep(nap)\n"
        "end = time.process_time() + spin\n"
        "while time.process_time() < end: pass\n"
        "def f(x): return x\n"
        "def stay(x): time.sleep(60)\n"
        "def spin_on(x):\n"
        "    while True: pass\n"
        "class Box: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("slow_to_import", None)

    def load():
        monkeypatch.setenv("SLOW_NAP", "0")
        monkeypatch.setenv("SLOW_SPIN", "0")
        import slow_to_import

        return slow_to_import

    yield load
    sys.modules.pop("slow_to_import", None)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_limit_counts_neither_the_import_of_the_function_nor_its_arguments(method, slow_module):
    for what in ("function", "argument", "map", "retries"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            assert pool.submit(abs, -1).result() == 1
            module = slow_module()
            timed = pool.options(timeout=0.6, retries=1 if what == "retries" else 0)
            if what == "argument":
                assert timed.submit(id, module.Box()).result() != 0
            elif what == "map":
                assert list(timed.map(module.f, [1, 2])) == [1, 2]
            else:
                assert timed.submit(module.f, 7).result() == 7
            with pytest.raises(retinue.TaskTimeout) as caught:
                pool.options(timeout=0.1).submit(module.stay, 1).result()
            assert "loading" not in str(caught.value)
        os.environ.pop("SLOW_NAP")
        sys.modules.pop("slow_to_import")


def test_cpu_time_counts_no_import(slow_module, monkeypatch):
    monkeypatch.setenv("SLOW_NAP", "0")
    monkeypatch.setenv("SLOW_SPIN", "2.5")
    with pool_with(cpu_seconds=1) as pool:
        assert pool.submit(abs, -1).result() == 1
        module = slow_module()
        assert pool.submit(module.f, 7).result() == 7
        with pytest.raises(retinue.WorkerDied) as died:
            pool.submit(module.spin_on, 7).result()
        assert died.value.signal == signal.SIGXCPU


def test_options_add_up_whatever_their_order():
    with ProcessPoolExecutor(1) as pool:
        for both in (pool.options(retries=2).options(timeout=0.1), pool.options(timeout=0.1).options(retries=2)):
            before = pool.stats()["retried"]
            with pytest.raises(retinue.TaskTimeout):
                both.submit(spin).result()
            with pytest.raises(retinue.WorkerDied):
                both.options(timeout=None).submit(os._exit, 1).result()
            assert pool.stats()["retried"] == before + 2
            with pytest.raises(retinue.WorkerDied):
                both.options(retries=0).submit(os._exit, 1).result()
            assert pool.stats()["retried"] == before + 2
        late = pool.options(ordered=False).options(timeout=60)
        assert sorted(late.map(abs, range(5))) == list(range(5))


def limit_addresses(soft, hard):
    import resource

    if hard != resource.RLIM_INFINITY and os.getuid() == 0:
        os.setresuid(65534, 65534, 65534)  # who could raise it again
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_may_limit_the_addresses_of_its_workers(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context, limit_addresses, (1 << 30, -1)) as pool:
        assert pool.submit(take, 100).result() == 100 << 20
        with pytest.raises(MemoryError):
            pool.submit(take, 2000).result()
        assert len(pool.submit(bytes, 1 << 20).result()) == 1 << 20
        assert pool.submit(len, b"y" * (1 << 20)).result() == 1 << 20


def test_a_hard_limit_of_addresses_says_what_to_use_instead():
    with ProcessPoolExecutor(1, initializer=limit_addresses, initargs=(1 << 30, 1 << 30)) as pool:
        with pytest.raises(retinue.PoolClosed, match=r"WorkerLimits\(address_space="):
            pool.submit(abs, -1).result()


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_of_files_that_was_there_at_the_start_says_that_it_counts_shared_memory(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, resource, sys\n"
        "import retinue\n"
        "from retinue.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    for size in (0, 100 << 20):\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "        try:\n"
        "            ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])).submit(abs, -1)\n"
        "        except retinue.ResourceExhausted as error:\n"
        "            assert 'ulimit -f' in str(error), error\n"
        "        else:\n"
        "            sys.exit('it was made')\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.RLIM_INFINITY))\n"
        "    with ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as pool:\n"
        "        assert len(pool.submit(bytes, 1 << 20).result()) == 1 << 20\n"
    )
    done = subprocess.run([sys.executable, str(program), method], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def limit_files(size):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("where", ["initializer", "task"])
def test_a_limit_of_files_in_a_worker_kills_nothing_silently(where):
    with ProcessPoolExecutor(1, initializer=limit_files if where == "initializer" else None, initargs=(1 << 16,)) as pool:
        if where == "task":
            pool.submit(limit_files, 1 << 16).result()
        pid = pool.submit(os.getpid).result()
        try:
            assert len(pool.submit(bytes, 1 << 20).result()) == 1 << 20
        except retinue.ResourceExhausted as error:
            assert "ulimit -f" in str(error)
        assert pool.submit(len, b"y" * (1 << 20)).result() == 1 << 20
        assert pool.submit(os.getpid).result() == pid
