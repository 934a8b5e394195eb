"""A program for test_start_methods: its main part uses pools of the start method it is given."""

import multiprocessing
import os
import sys

from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import get_context

G = None


def set_up(value, lock=None):
    global G
    G = (value, lock)


def read(i):
    with G[1]:
        return i, G[0]


def square(x):
    return x * x


class Box:
    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value


def make_box(value):
    return Box(value)


def nested(n):
    with ProcessPoolExecutor(2) as inner:
        return sum(inner.map(square, range(n)))


if __name__ == "__main__":
    method = sys.argv[1]
    context = multiprocessing.get_context(method)

    def local(x):
        return square(x) + len(sys.argv)

    with ProcessPoolExecutor(2, mp_context=context, initializer=set_up, initargs=(42, context.Lock())) as pool:
        assert list(pool.map(square, range(1000))) == [i * i for i in range(1000)]
        assert list(pool.map(read, range(5))) == [(i, 42) for i in range(5)]
        assert list(pool.map(local, [1, 2])) == [3, 6]
        assert list(pool.map(lambda x: square(x) + 1, [1, 2])) == [2, 5]
        assert pool.submit(Box(3).get).result() == 3
        assert type(pool.submit(make_box, 4).result()) is Box
        assert pool.submit(os.getpid).result() in pool.worker_pids()
        assert pool.submit(nested, 4).result() == 14
        assert pool.submit(multiprocessing.parent_process).result() is not None

    with get_context(method).Pool(2, set_up, (1,)) as pool:
        assert pool.map(square, range(10)) == [i * i for i in range(10)]
    print("all is well")
