"""Connections, sockets and whatever multiprocessing's reducers can send travel as what they are, and leave nothing behind."""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing import Pipe, reduction

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

METHODS = ["fork", "spawn", "forkserver"]


def send(connection, message):
    connection.send((message, os.getpid()))
    return "sent"


def make_pipe(message):
    reader, writer = Pipe(duplex=False)
    writer.send(message)
    return reader


def swap(connection):
    return connection, connection.fileno()


def say(sock):
    sock.sendall(b"hello")


class Mine(multiprocessing.connection.Connection):
    """Of a class that no reducer was registered for."""


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def begin(connection):
    connection.send(os.getpid())


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return condition()


@pytest.fixture(params=METHODS)
def any_pool(request):
    with ProcessPoolExecutor(2, multiprocessing.get_context(request.param)) as executor:
        assert executor.submit(abs, -1).result(50) == 1  # the workers are there before what is sent
        yield executor


@pytest.fixture
def pool():
    with ProcessPoolExecutor(2) as executor:
        assert executor.submit(abs, -1).result(50) == 1
        yield executor


def test_connections_and_sockets_travel_as_arguments_in_closures_and_in_maps(any_pool):
    pairs = [Pipe(duplex=False) for _ in range(4)]
    assert any_pool.submit(send, pairs[0][1], 0).result(20) == "sent"
    assert any_pool.submit(lambda writer=pairs[1][1]: writer.send((1, 0))).result(20) is None
    assert list(any_pool.map(send, [pairs[2][1]], [2])) == ["sent"]
    assert list(any_pool.map(partial(send, pairs[3][1]), [3])) == ["sent"]
    for i, (reader, _) in enumerate(pairs):
        assert reader.poll(10) and reader.recv()[0] == i
    here, there = socket.socketpair()
    any_pool.submit(say, there).result(20)
    here.settimeout(10)
    assert here.recv(10) == b"hello"


def test_one_function_with_a_connection_serves_all_items_of_a_map(any_pool):
    reader, writer = Pipe(duplex=False)
    assert list(any_pool.map(lambda i: writer.send(i), range(50))) == [None] * 50
    assert sorted(reader.recv() for _ in range(50)) == list(range(50))


def test_connections_return_and_can_be_used_long_after_the_pool(any_pool):
    first = any_pool.submit(make_pipe, "one").result(20)
    assert first.poll(10) and first.recv() == "one"
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as short:
        futures = [short.submit(make_pipe, i) for i in range(5)]
    assert [f.result(20).recv() for f in futures] == list(range(5))
    readers = any_pool.map(make_pipe, range(5))
    assert [r.recv() for r in readers] == list(range(5))


def test_a_connection_in_the_initializers_arguments_travels():
    for method in METHODS:
        reader, writer = Pipe(duplex=False)
        with Pool(1, begin, (writer,), context=multiprocessing.get_context(method)) as pool:
            pid = pool.apply(os.getpid)
            assert reader.poll(10) and reader.recv() == pid


def test_an_object_that_holds_a_connection_and_an_array_travels_both_ways(pool):
    numpy = pytest.importorskip("numpy")
    reader, writer = Pipe(duplex=False)

    def use(parts):
        parts["writer"].send(float(parts["array"].sum()))
        back, there = Pipe(duplex=False)
        there.send("back")
        return {"array": parts["array"] + 1, "reader": back}

    back = pool.submit(use, {"array": numpy.ones(300_000), "writer": writer}).result(20)
    assert reader.recv() == 300_000 and back["array"][5] == 2 and back["reader"].recv() == "back"


def test_no_number_of_a_descriptor_ever_travels(pool):
    r, w = os.pipe()
    with pytest.raises(retinue.PicklingError, match="Mine"):
        pool.submit(id, Mine(os.dup(w))).result(20)
    with pytest.raises(retinue.PicklingError, match="Mine"):
        pool.submit(id, [{"deep": (Mine(os.dup(w)),)}]).result(20)
    with pytest.raises((retinue.PicklingError, TypeError)):
        retinue.share([Mine(os.dup(w))])
    assert pool.submit(len, ["a text with _handle in it"]).result(20) == 1
    os.close(r)
    os.close(w)


def test_reducers_that_others_register_are_used(pool):
    class Handle:
        def __init__(self, fd):
            self.fd = fd

    def rebuild(duplicate):
        return Handle(duplicate.detach())

    reduction.ForkingPickler.register(Handle, lambda it: (rebuild, (reduction.DupFd(it.fd),)))
    try:
        r, w = os.pipe()
        before = open_descriptors()
        assert pool.submit(lambda handle: os.write(handle.fd, b"x"), Handle(w)).result(20) == 1
        assert os.read(r, 1) == b"x"
        assert wait_until(lambda: open_descriptors() <= before + 3)  # the standard's own listener, and nothing of ours
        reduction.ForkingPickler.register(Handle, lambda it: (str, ("another",)))
        assert pool.submit(str, Handle(w)).result(20) == "another"
    finally:
        del reduction.ForkingPickler._extra_reducers[Handle]
    os.close(r)
    os.close(w)


def test_the_reader_sees_the_end_while_the_task_goes_on(pool):
    reader, writer = Pipe(duplex=False)
    gate_reader, gate = Pipe(duplex=False)

    def produce(writer, gate):
        writer.send(1)
        writer.close()
        return gate.recv()

    future = pool.submit(produce, writer, gate_reader)
    writer.close()
    try:
        assert reader.recv() == 1
        assert reader.poll(20)
        with pytest.raises(EOFError):
            reader.recv()
        assert not future.done()
    finally:
        gate.send("go on")
    assert future.result(20) == "go on"


def test_a_task_that_is_run_again_gets_its_connection_again(pool, tmp_path):
    reader, writer = Pipe(duplex=False)
    marker = str(tmp_path / "died")

    def die_once(writer):
        if not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        writer.send("second try")

    before = open_descriptors()
    pool.options(retries=2).submit(die_once, writer).result(30)
    assert reader.recv() == "second try"
    os.unlink(marker)
    assert list(pool.options(retries=2).map(die_once, [writer])) == [None]
    assert reader.recv() == "second try"
    assert wait_until(lambda: open_descriptors() <= before)


def test_cancelled_failed_and_forgotten_tasks_leave_no_descriptor_behind(tmp_path):
    with ProcessPoolExecutor(1) as pool:
        gate_reader, gate = Pipe(duplex=False)
        pool.submit(abs, -1).result(20)
        reader, writer = Pipe(duplex=False)
        pool.submit(send, writer, 0).result(20)  # the thread that serves, and its socket, stay
        before = open_descriptors()
        blocking = pool.submit(lambda it: it.recv(), gate_reader)
        assert wait_until(lambda: blocking.running())
        cancelled = [pool.submit(send, writer, i) for i in range(10)]
        assert all(f.cancel() for f in cancelled)
        doomed = pool.options(timeout=0.2).submit(time.sleep, 60)
        refused = [pool.submit(send, writer, threading.Lock()) for _ in range(5)]
        gate.send("go")
        assert blocking.result(20) == "go"
        assert isinstance(doomed.exception(20), retinue.TaskTimeout)
        assert all(isinstance(f.exception(20), retinue.PicklingError) for f in refused)
        died = pool.submit(lambda it: os.kill(os.getpid(), signal.SIGKILL), writer)
        assert isinstance(died.exception(20), retinue.WorkerDied)
        for i in range(5):
            pool.submit(send, writer, i)  # nobody keeps its future
        results = pool.map(send, [writer] * 20, range(20))
        next(results)
        results.close()
        pool.submit(abs, -1).result(20)
        assert wait_until(lambda: open_descriptors() <= before), os.listdir("/proc/self/fd")
        assert len(cancelled) == 10  # they still live: it is not their end that closed the descriptors


def test_a_worker_keeps_no_descriptor_open():
    with ProcessPoolExecutor(1) as pool:
        before = pool.submit(open_descriptors).result(20)
        reader, writer = Pipe(duplex=False)
        for i in range(20):
            pool.submit(send, writer, i).result(20)
            pool.submit(make_pipe, i).result(20)
            list(pool.map(lambda i: writer.send(i), range(3)))
        assert pool.submit(lambda: (gc.collect(), open_descriptors())[1]).result(20) <= before + 1


def test_a_worker_without_network_gets_and_returns_connections():
    limits = retinue.WorkerLimits(network=False)
    with ProcessPoolExecutor(1, limits=limits) as pool:
        with pytest.raises(PermissionError):
            pool.submit(lambda: socket.socket(socket.AF_INET).close()).result(20)
        reader, writer = Pipe(duplex=False)
        assert pool.submit(send, writer, "here").result(20) == "sent"
        assert reader.recv()[0] == "here"
        assert pool.submit(make_pipe, "there").result(20).recv() == "there"


def test_a_shared_value_may_hold_a_connection(pool):
    reader, writer = Pipe(duplex=False)
    shared = retinue.share({"writer": writer})

    def use(parts, i):
        parts["writer"].send(i)

    assert list(pool.map(use, [shared] * 20, range(20))) == [None] * 20
    assert sorted(reader.recv() for _ in range(20)) == list(range(20))
    shared.value["writer"].send("from the owner")
    assert reader.recv() == "from the owner"


def test_memory_of_multiprocessings_heap_is_refused_or_shared_never_copied(pool):
    with pytest.raises(retinue.PicklingError, match="inheritance"):
        pool.submit(id, multiprocessing.Value("i")).result(20)
    with pytest.raises(retinue.PicklingError, match="inheritance"):
        pool.submit(id, multiprocessing.RawValue("i")).result(20)
    import ctypes

    assert pool.submit(lambda it: it.value, ctypes.c_int(3)).result(20) == 3


def test_a_task_passes_a_connection_on_to_a_pool_of_its_own(pool):
    reader, writer = Pipe(duplex=False)

    def pass_on(writer):
        with ProcessPoolExecutor(1) as inner:
            inner.submit(abs, -1).result(20)
            inner.submit(send, writer, "from inside").result(20)
            return inner.submit(make_pipe, "and back").result(20)

    back = pool.submit(pass_on, writer).result(30)
    assert reader.recv()[0] == "from inside" and back.recv() == "and back"


def test_a_program_that_closes_all_descriptors_sends_nobody_elses_file(tmp_path):
    import subprocess

    program = tmp_path / "closes.py"
    program.write_text(
        "import os, gc\n"
        "from multiprocessing import Pipe\n"
        "from retinue._internal.descriptors import LentDescriptor, prepare\n"
        "reader, writer = Pipe(False)\n"
        "lent = LentDescriptor(writer.fileno(), True)\n"
        "old = prepare()\n"
        "os.closerange(3, 100)\n"
        "files = [open('/dev/null') for _ in range(40)]\n"
        "assert lent.fd() is None and not old.is_open() and prepare() is not old\n"
        "lent.close()\n"
        "del lent\n"
        "gc.collect()\n"
        "assert all(os.fstat(f.fileno()) for f in files)\n"
        "reader.__dict__['_handle'] = writer.__dict__['_handle'] = None\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def test_a_fork_of_the_owner_keeps_no_lent_descriptor(pool):
    gate_reader, gate = Pipe(duplex=False)
    reader, writer = Pipe(duplex=False)
    blocking = [pool.submit(lambda it: it.recv(), gate_reader) for _ in range(2)]
    assert wait_until(lambda: all(f.running() for f in blocking))
    waiting = pool.submit(send, writer, "later")
    writer.close()
    pid = os.fork()
    if pid == 0:
        signal.alarm(50)
        time.sleep(50)
        os._exit(0)
    try:
        for _ in blocking:
            gate.send("go")
        assert waiting.result(20) == "sent"
        assert reader.recv()[0] == "later"
        assert reader.poll(20)  # its end: the child has nothing of it
        with pytest.raises(EOFError):
            reader.recv()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
