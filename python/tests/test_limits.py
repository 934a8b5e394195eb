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
