"""Pools whose workers close what they inherit: close_descriptors=, keep_descriptors=."""

import errno
import multiprocessing
import os
import select
from multiprocessing import shared_memory

import pytest

from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

METHODS = ["fork", "spawn", "forkserver"]


class OnePipe:
    """Its writing end is inherited, also over exec."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_inheritable(self.writer, True)

    def fileno(self):
        return self.writer

    def close_writer(self):
        if self.writer >= 0:
            os.close(self.writer)
        self.writer = -1

    def has_ended(self):
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.reader)
        self.close_writer()


def write_to(fd):
    try:
        return os.write(fd, b"x")
    except OSError as error:
        return errno.errorcode[error.errno]


def attach(name):
    memory = shared_memory.SharedMemory(name)
    memory.buf[0] = 7
    memory.close()


def executor(method, **options):
    pool = ProcessPoolExecutor(1, multiprocessing.get_context(method), **options)
    pool.submit(abs, -1).result()  # it starts with its first task
    return pool


def pool_of(method, **options):
    pool = Pool(1, context=multiprocessing.get_context(method), **options)
    pool.apply(abs, (-1,))
    return pool


@pytest.mark.parametrize("make", [executor, pool_of])
@pytest.mark.parametrize("method", METHODS)
def test_only_workers_that_close_what_they_inherit_let_a_pipe_end(make, method):
    with OnePipe() as pipe, make(method):
        pipe.close_writer()
        assert not pipe.has_ended()
    with OnePipe() as pipe, make(method, close_descriptors=True):
        pipe.close_writer()
        assert pipe.has_ended()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_to_be_kept_is_kept_by_number_or_by_object(method):
    with OnePipe() as by_number, OnePipe() as by_object, OnePipe() as closed:
        keep = [by_number.writer, by_object]
        with executor(method, close_descriptors=True, keep_descriptors=keep) as pool:
            for pipe in by_number, by_object:
                assert pool.submit(write_to, pipe.writer).result() == 1
            assert pool.submit(write_to, closed.writer).result() == "EBADF"


@pytest.mark.parametrize("method", METHODS)
def test_output_large_data_and_shared_memory_do_without_what_was_closed(method, capfd):
    large = os.urandom(3_000_000)
    memory = shared_memory.SharedMemory(create=True, size=100)
    try:
        with executor(method, close_descriptors=True) as pool:
            assert pool.submit(bytes.upper, large).result() == large.upper()
            pool.submit(print, "from a worker").result()
            pool.submit(attach, memory.name).result()
        assert memory.buf[0] == 7
    finally:
        memory.close()
        memory.unlink()
    shown = capfd.readouterr()
    assert "from a worker" in shown.out
    assert "resource_tracker" not in shown.err


@pytest.mark.parametrize("make", [ProcessPoolExecutor, Pool])
def test_what_cannot_be_is_refused_where_it_is_given(make):
    with pytest.raises(ValueError, match="only with close_descriptors=True"):
        make(1, keep_descriptors=[5])
    with pytest.raises(TypeError, match="fileno"):
        make(1, close_descriptors=True, keep_descriptors=["log.txt"])
    with pytest.raises(TypeError, match="True or False"):
        make(1, close_descriptors=[5])
    with pytest.raises(ValueError, match="no descriptor"):
        make(1, close_descriptors=True, keep_descriptors=[-1])


def test_a_pool_in_a_worker_can_keep_what_the_worker_has():
    with executor("fork", close_descriptors=True) as pool:
        assert pool.submit(inner_pool).result() == (1, "EBADF")


def inner_pool():
    with OnePipe() as kept, OnePipe() as closed:
        with executor("fork", close_descriptors=True, keep_descriptors=[kept]) as pool:
            return pool.submit(write_to, kept.writer).result(), pool.submit(write_to, closed.writer).result()


