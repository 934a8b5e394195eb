"""Items of a map: what each is given and gives, whatever the one before it was; results taken in runs."""

import enum
import itertools
import math
import pickle
import threading
import time

import pytest

from tasks import square


class Colour(enum.IntEnum):
    RED = 1


class Real(float):
    pass


SCALARS = [
    None, True, False, 0, -0.0, 1, -1, 127, 128, -128, -129, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, -(2**63) - 1,
    2**200, 0.5, math.inf, -math.inf, math.nan, Colour.RED, Real(2.5), 1j,
]  # fmt: skip


def same(x):
    return x


def with_type(x):
    return x, type(x).__name__


def or_fail(x):
    if x % 37 == 5:
        raise ValueError(x)
    return x + 0.5


def described(value):
    """Nothing that compares equal and is not the same."""
    return type(value).__name__, repr(value)


def test_numbers_travel_as_what_they_are(pool):
    assert list(map(described, pool.map(same, SCALARS))) == list(map(described, SCALARS))
    assert [described(pool.submit(same, x).result()) for x in SCALARS] == list(map(described, SCALARS))
    given = list(pool.map(with_type, SCALARS))
    assert [(described(x)[1], name) for x, name in given] == [(repr(x), type(x).__name__) for x in SCALARS]


def test_an_item_is_not_mixed_with_the_one_before_it(pool):
    kinds = [7, "text", b"bytes" * 3000, [1, [2]], {"a": (1, 2.5)}, "x" * 5000, 2**100, None, bytearray(b"ab"), 3.5,
             list(range(30000)), (1, "two", None)]  # fmt: skip
    items = [kinds[i * i % len(kinds)] for i in range(600)]
    assert list(pool.map(same, items)) == items


def test_an_item_that_cannot_travel_fails_alone(pool):
    items = [1, threading.Lock(), 2, [3, threading.Lock()], "four"]
    results = pool.map(same, items)
    got = []
    for _ in items:
        try:
            got.append(next(results))
        except pickle.PicklingError as error:
            got.append("lock" in str(error))
    assert got == [1, True, 2, True, "four"]


def test_an_item_s_buffer_is_not_held_when_it_was_read(pool):
    grown = bytearray(10_000)

    def inputs():
        for i in range(20):
            grown.append(i)  # a BufferError while something still has its buffer
            yield grown

    assert list(pool.map(len, inputs())) == list(range(10_001, 10_021))


def test_failures_come_in_their_places_among_many_results(pool):
    results = pool.map(or_fail, range(20_000))
    got = []
    for i in range(20_000):
        try:
            got.append(next(results))
        except ValueError as error:
            assert error.args == (i,)
            got.append(None)
    assert got == [None if i % 37 == 5 else i + 0.5 for i in range(20_000)]
    with pytest.raises(StopIteration):
        next(results)


def test_small_and_large_results_come_in_their_order(pool):
    sizes = [10 if i % 50 else 300_000 for i in range(4000)]
    assert list(map(len, pool.map(bytes, sizes))) == sizes


def test_a_map_is_left_in_the_middle_of_its_results(pool):
    for taken in (1, 300, 5000, 5013):
        results = pool.map(square, itertools.count())
        assert list(itertools.islice(results, taken)) == [i * i for i in range(taken)]
        results.close()
        assert next(results, None) is None
    assert pool.submit(square, 3).result() == 9


def test_inputs_are_read_no_further_ahead_than_said_though_results_come_in_runs(pool):
    read = 0

    def inputs():
        nonlocal read
        for read in range(1, 10_001):
            yield read

    for i, value in enumerate(pool.map(square, inputs(), buffersize=1000)):
        assert value == (i + 1) ** 2
        assert read <= i + 1 + 1000
        if i % 1000 == 0:
            time.sleep(0.01)
