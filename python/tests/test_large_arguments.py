"""Large arguments: private and writable, and not copied a second time."""

import os
import pickle
import signal
import threading
import time

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
from large_data import double_in_place, keep, kept, kept_clear, look_at_kept, N, one, pool, total  # noqa: E402, F401
from retinue.futures import ProcessPoolExecutor  # noqa: E402


def test_an_argument_is_private_and_writable(pool):
    a = np.ones(N)
    assert [pool.submit(double_in_place, a).result() for _ in range(4)] == [2.0 * N] * 4
    assert list(pool.map(double_in_place, [a] * 20)) == [2.0 * N] * 20
    assert a.sum() == N


def test_an_argument_that_a_task_keeps_stays_as_it_was(one):
    for i in range(5):
        one.submit(keep, np.full(N, float(i))).result()
    for i in range(10):  # which lie where those lay
        one.submit(total, np.full(N, 100.0 + i)).result()
    assert one.submit(look_at_kept).result() == [(float(i), float(i)) for i in range(5)]
    one.submit(kept_clear).result()


def test_what_a_thread_still_reads_after_its_task_stays_as_it_was(one):
    def start(a):
        def later():
            time.sleep(0.3)
            kept.append(a)

        threading.Thread(target=later).start()

    one.submit(start, np.full(N, 7.0)).result()
    for i in range(10):
        one.submit(total, np.full(N, 100.0 + i)).result()
    time.sleep(0.5)
    assert one.submit(look_at_kept).result() == [(7.0, 7.0)]
    one.submit(kept_clear).result()


def test_a_retried_task_gets_its_argument_as_it_was():
    def spoil_and_die(a, once):
        if once[0] == 0:
            once[0] = 1
            a[:] = -1
            os.kill(os.getpid(), signal.SIGKILL)
        return float(a.sum())

    with ProcessPoolExecutor(1) as pool:
        once = retinue.shared_array(1)
        a = np.ones(N)
        assert pool.options(retries=2).submit(spoil_and_die, a, once).result() == N
        assert list(pool.options(retries=2).map(spoil_and_die, [a] * 3, [once] * 3)) == [N] * 3


def test_a_child_that_a_task_forks_sees_its_argument(one):
    def fork_and_look(a):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, repr((float(a.min()), float(a.max()))).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        return os.read(read, 100).decode()

    assert one.submit(fork_and_look, np.full(N, 3.0)).result() == "(3.0, 3.0)"


def test_bytes_and_bytearrays_travel(pool):
    def change(b):
        b[0] = 1
        return type(b).__name__, len(b), b[-1], b

    data = bytearray(os.urandom(3_000_000))
    name, length, last, back = pool.submit(change, data).result()
    assert (name, length, last) == ("bytearray", len(data), data[-1])
    assert back[0] == 1 and back[1:] == data[1:] and type(back) is bytearray
    small = bytearray(b"xyz")
    assert pool.submit(change, small).result()[3] == b"\x01yz" and small == b"xyz"
    fixed = bytes(data)
    assert pool.submit(bytes.__len__, fixed).result() == len(fixed)
    assert pool.submit(bytes, fixed).result() == fixed
    same = pool.submit(lambda a, b: a is b, data, data).result()
    assert same is True, "what is one object in a call is one object in the task"


class Block:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Block, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_buffers_of_other_types_travel(pool, size):
    data = os.urandom(size)
    back = pool.submit(lambda b: Block(bytes(b.data[:10])) if b.data == data else None, Block(data)).result()
    assert back.data[:10] == data[:10]
    back = pool.submit(lambda b: b, Block(bytearray(data))).result()
    back.data[0] = 1
    assert back.data[1:] == data[1:]


def test_a_pandas_frame_travels(pool):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": np.arange(N, dtype=float), "y": np.arange(N), "name": ["a"] * N})
    back = pool.submit(lambda f: f.assign(x=f.x * 2), frame).result()
    assert back.x.sum() == 2 * frame.x.sum() and back.name.iloc[-1] == "a"
    back.loc[0, "x"] = 5.0
    assert back.x[0] == 5.0 and frame.x[0] == 0.0


def test_an_arrow_table_travels(pool):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"x": np.arange(N, dtype=float)})
    back = pool.submit(lambda t: t.slice(10), table).result()
    assert back.num_rows == N - 10 and back.column("x")[0].as_py() == 10.0
