"""Numbers in rows, and lists, sets and dicts within each other: they are what they were, on the way there and back."""

import enum
import math

import pytest

from retinue.futures import ProcessPoolExecutor

MANY = 1000


class Colour(enum.IntEnum):
    RED = 1


class Number(int):
    pass


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def same(x):
    return x


def types_in(items):
    return [type(item).__name__ for item in items]


def identities(outer):
    """For each place in a list of containers, the first place where the same object is."""
    return [next(i for i, other in enumerate(outer) if other is item) for item in outer]


def identities_of_two(a, b):
    return a is b, a == b


def holds_itself(outer):
    return outer[-1] is outer


@pytest.mark.parametrize("make", [tuple, list, set, frozenset], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "numbers",
    [
        range(7),
        range(8),
        range(9),
        range(-MANY, MANY),
        [-(2**31), *range(8), 2**31 - 1],
        [-(2**31) - 1, *range(8)],
        [*range(8), 2**31],
        [-(2**63), *range(8), 2**63 - 1],
        [*range(8), 2**63],
        [*range(8), -(2**63) - 1, 5],
        [0.1, -0.5, 1e308, 5e-324, math.inf, -math.inf, 7.0, 8.0, 9.0],
        [*range(8), 0.5],
        [0.5] + [i + 2 for i in range(8)],
        [*range(2, 10), None, 1],
        [*range(2, 10), "text", b"bytes", (1, 2.5), True],
        [10**30 + i for i in range(MANY)],
        [],
    ],
    ids=lambda numbers: f"{len(numbers)} from {numbers[0] if numbers else 'none'}",
)
def test_numbers_come_back_as_what_they_were(pool, make, numbers):
    given = make(numbers)
    back = pool.submit(same, given).result()
    assert back == given
    assert type(back) is make
    assert sorted(types_in(back)) == sorted(types_in(given))


def test_signs_of_zeros_and_nan(pool):
    back = pool.submit(same, [0.0, -0.0, math.nan] * 5).result()
    assert [math.copysign(1, x) for x in back[:2]] == [1, -1]
    assert all(math.isnan(x) for x in back[2::3])


def test_what_is_nearly_an_int_keeps_its_type(pool):
    given = [*range(10), True, Colour.RED, Number(3), *range(10)]
    assert pool.submit(types_in, given).result() == types_in(given)
    assert types_in(pool.submit(same, [True] * 10).result()) == ["bool"] * 10
    assert types_in(pool.submit(same, (Number(1), *range(10))).result())[0] == "Number"


@pytest.mark.parametrize(
    "given",
    [
        {i: i * i for i in range(MANY)},
        {i / 4: str(i) for i in range(MANY)},
        {i: [i] for i in range(MANY)},
        {i: (i, None, "x" * i) for i in range(100)},
        {**{i: i for i in range(20)}, "last": 1},
        {**{i: i for i in range(20)}, 0.5: 1},
        {i: object for i in range(20)},
        {i: i for i in range(7)},
        {True: 1, False: 0, **{i + 2: i for i in range(10)}},
    ],
    ids=lambda given: f"{len(given)} from {next(iter(given.items()))}",
)
def test_dicts_keep_their_order_and_types(pool, given):
    back = pool.submit(same, given).result()
    assert list(back.items()) == list(given.items())
    assert types_in(back) == types_in(given)


@pytest.mark.parametrize(
    "given",
    [
        [[i, i + 1] for i in range(MANY)],
        [[i / 2] * 20 for i in range(100)],
        (list(range(MANY)), list(range(MANY)), {1, 2}, {"a": [1]}),
        [{i, i + 1} for i in range(100)],
        [{"name": "a", "n": i} for i in range(100)],
        [[f"{i} of many", i] for i in range(100)],
        [bytearray(b"abc"), bytearray(b"abc")],
        [[[[[[[[[[1]]]]]]]]]],
        [[], [], [[]], {}, set()],
        ([1], frozenset({(1, 2)}), [frozenset()]),
    ],
    ids=repr,
)
def test_containers_in_containers(pool, given):
    back = pool.submit(same, given).result()
    assert back == given
    assert types_in(back) == types_in(given)


def test_a_container_in_several_places_stays_one(pool):
    numbers, text, unique = list(range(50)), ["a"], {1, 2}
    table = {1: 2}
    outer = [numbers, [1], numbers, text, text, unique, unique, table, table, [1]]
    assert pool.submit(identities, outer).result() == [0, 1, 0, 3, 3, 5, 5, 7, 7, 9]
    assert identities(pool.submit(same, outer).result()) == [0, 1, 0, 3, 3, 5, 5, 7, 7, 9]
    assert pool.submit(identities_of_two, numbers, numbers).result() == (True, True)
    assert pool.submit(identities_of_two, numbers, list(range(50))).result() == (False, True)
    assert pool.submit(identities, (numbers, [numbers], numbers)).result() == [0, 1, 0]


def identities_within(outer):
    return identities([inner for each in outer for inner in each])


def twice_within():
    once = ([1], {2: 3})
    return [once, once]


def identity_within_two(a, b):
    return a[0] is b[0]


def test_a_tuple_in_several_places_holds_the_same_containers(pool):
    """Nothing but the tuple refers to them."""
    once = ([1], {2: 3})
    assert pool.submit(identities_within, [once, once]).result() == [0, 1, 0, 1]
    assert pool.submit(identities_within, (once, ([1],), once)).result() == [0, 1, 2, 0, 1]
    assert identities_within(pool.submit(same, {"a": once, "b": once}).result().values()) == [0, 1, 0, 1]
    assert identities_within(pool.submit(twice_within).result()) == [0, 1, 0, 1]
    assert list(pool.map(identities_within, [[once, once], [once]])) == [[0, 1, 0, 1], [0, 1]]
    assert pool.submit(identity_within_two, once, once).result()
    assert list(pool.map(identity_within_two, [once], [once])) == [True]
    assert not pool.submit(identity_within_two, once, ([1], {2: 3})).result()


def test_a_container_that_holds_itself(pool):
    outer = [[1, 2], 3]
    outer.append(outer)
    assert pool.submit(holds_itself, outer).result()
    assert holds_itself(pool.submit(same, outer).result())


def test_text_in_many_lists_is_there_once(pool):
    word = "".join(["wo", "rd"])
    rows = pool.submit(same, [[word, i] for i in range(100)]).result()
    assert len({id(row[0]) for row in rows}) == 1


class Unique:
    def __init__(self, number):
        self.number = number


def numbers_of(items):
    return [item.number for item in items]


def test_a_large_pickle_is_whole(pool):
    """It is written in pieces."""
    given = [Unique(i) for i in range(50_000)]
    assert pool.submit(numbers_of, given).result() == list(range(50_000))
    assert numbers_of(pool.submit(same, given).result()) == list(range(50_000))
    words = [Unique("text " * 20_000), Unique(b"bytes" * 20_000), *given]
    assert numbers_of(pool.submit(same, words).result()) == numbers_of(words)
    assert list(pool.map(len, [given, given[:7]])) == [50_000, 7]


def test_bytes_of_all_kinds_in_a_large_pickle(pool):
    once, text = bytearray(b"once" * 50_000), b"text" * 50_000
    given = [Unique(0), once, once, text, text, "wide \u20ac" * 50_000, Unique(1), bytearray(70_000)]
    back = pool.submit(same, given).result()
    assert back[1:6] == given[1:6] and back[7] == given[7]
    assert types_in(back) == types_in(given)
    assert back[1] is back[2] and back[3] is back[4] and back[6].number == 1


def test_a_function_of_main_after_much_else_travels(pool):
    many = [10**30 + i for i in range(20_000)]
    bound = pool.submit(lambda both: (len(both[0]), both[1](3)), (many, lambda x: x + 1))
    assert bound.result() == (20_000, 4)
