"""Exceptions of every make come back as themselves, by every way, with the worker's traceback as their cause."""

import dataclasses
import threading
from functools import partial

import pytest

import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int = 3


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenWithSlots(Exception):
    code: int = 3
    text: str = "x"


class NoAttributes(Exception):
    def __setattr__(self, name, value):
        raise AttributeError("read only")


class KeywordOnly(ValueError):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Composed(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class WithSlots(Exception):
    __slots__ = ("one", "two")

    def __init__(self, one, two):
        super().__init__(one)
        self.one, self.two = one, two


class CannotBeReduced(Exception):
    def __reduce__(self):
        raise RuntimeError("not this one")


class NoMessage(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Locked(Exception):
    def __init__(self, text):
        super().__init__(text, threading.Lock())
        self.lock = threading.Lock()
        self.kept = "kept"


class OfFile(OSError):
    def __init__(self, *, path):
        super().__init__(2, "no such thing", path)
        self.path = path


class Group(ExceptionGroup):
    def __new__(cls, *, of):
        return super().__new__(cls, "several", of)

    def __init__(self, *, of):
        self.count = len(of)


class Missing(ImportError):
    def __init__(self, *, what):
        super().__init__(f"no {what}", name=what, path="/nowhere")


def raise_it(make):
    raise make()


def make_group():
    return Group(of=[KeyError(1), KeywordOnly(code=2)])


def make_mixed_group():
    return ExceptionGroup("several", [ValueError(1), Frozen(4), ExceptionGroup("inner", [NoAttributes("x")])])


MAKES = [
    Frozen, partial(FrozenWithSlots, 7, "seven"), NoAttributes, partial(NoAttributes, "text", 1), partial(KeywordOnly, code=3),
    partial(Composed, 5), partial(WithSlots, 1, "two"), partial(CannotBeReduced, "x"), partial(Locked, "text"),
    partial(OfFile, path="/a/b"), make_group, partial(Missing, what="it"),
    make_mixed_group, partial(UnicodeDecodeError, "utf-8", b"x", 0, 1, "bad"),
    partial(KeyboardInterrupt, "a task's"), partial(SystemExit, 3), GeneratorExit, partial(OSError, 2, "no", "file"),
    partial(StopAsyncIteration, 1), partial(SyntaxError, "bad", ("f", 1, 2, "text")),
]  # fmt: skip


def ways(executor, pool):
    def imap(f, x):
        return next(pool.imap(f, [x]))

    def callback(f, x):
        reported, done = [], threading.Event()
        pool.apply_async(f, (x,), error_callback=lambda error: (reported.append(error), done.set()))
        assert done.wait(20)
        raise reported[0]

    return {
        "submit": lambda f, x: executor.submit(f, x).result(20),
        "exception": lambda f, x: raise_it(lambda: executor.submit(f, x).exception(20)),
        "map": lambda f, x: next(executor.map(f, [x])),
        "apply": lambda f, x: pool.apply(f, (x,)),
        "Pool.map": lambda f, x: pool.map(f, [x]),
        "imap": imap,
        "starmap_async": lambda f, x: pool.starmap_async(f, [(x,)]).get(20),
        "error_callback": callback,
    }


@pytest.fixture(scope="module")
def pools():
    with ProcessPoolExecutor(1) as executor, Pool(1) as pool:
        executor.submit(abs, 1).result()
        yield executor, pool


def attributes(error):
    return {name: it for name, it in vars(error).items() if name not in ("__notes__", "lock")}


@pytest.mark.parametrize("make", MAKES, ids=lambda it: getattr(it, "func", it).__name__)
def test_an_exception_is_itself_by_every_way(pools, make):
    want = make()
    for name, get in ways(*pools).items():
        with pytest.raises(BaseException) as caught:
            get(raise_it, make)
        error = caught.value
        assert type(error) is type(want), (name, repr(error), repr(error.__cause__))
        if not isinstance(want, Locked):  # a lock's text has its address
            assert str(error) == str(want) and repr(error) == repr(want), name
        assert "in raise_it" in str(error.__cause__), name
        assert attributes(error).keys() == attributes(want).keys()
        if not isinstance(error, BaseExceptionGroup):
            assert attributes(error) == attributes(want), name
    assert pools[0].submit(abs, -1).result(20) == 1


def test_what_an_exception_holds_beside_its_arguments_arrives(pools):
    executor = pools[0]
    error = executor.submit(raise_it, MAKES[1]).exception(20)
    assert (error.code, error.text) == (7, "seven")
    error = executor.submit(raise_it, partial(WithSlots, 1, "two")).exception(20)
    assert (error.one, error.two) == (1, "two")
    error = executor.submit(raise_it, partial(OfFile, path="/a/b")).exception(20)
    assert (error.errno, error.filename, error.path) == (2, "/a/b", "/a/b")
    error = executor.submit(raise_it, partial(Missing, what="it")).exception(20)
    assert (error.name, error.path) == ("it", "/nowhere")
    error = executor.submit(raise_it, make_group).exception(20)
    assert [type(e) for e in error.exceptions] == [KeyError, KeywordOnly] and error.exceptions[1].code == 2


def test_what_cannot_travel_with_an_exception_is_left_as_a_text(pools):
    error = pools[0].submit(raise_it, partial(Locked, "text")).exception(20)
    assert type(error) is Locked and error.kept == "kept" and error.args[0] == "text"
    assert "lock" in repr(error.lock) and "lock" in str(error.args[1])
    assert not hasattr(error.lock, "acquire")


def test_an_exception_without_a_message_is_itself(pools):
    error = pools[0].submit(raise_it, NoMessage).exception(20)
    assert type(error) is NoMessage and "in raise_it" in str(error.__cause__)


def test_an_exception_of_a_class_made_in_a_function_is_itself(pools):
    class Local(Exception):
        def __init__(self, *, code):
            self.code = code

    def fail():
        raise Local(code=9)

    error = pools[0].submit(fail).exception(20)
    assert type(error) is Local and error.code == 9


def test_an_exception_that_leads_back_to_itself_arrives(pools):
    def fail():
        error = KeywordOnly(code=1)
        error.me = error
        error.lock = threading.Lock()
        raise error

    error = pools[0].submit(fail).exception(20)
    assert type(error) is KeywordOnly and error.code == 1


def test_notes_travel_and_causes_are_reported(pools):
    def fail():
        try:
            raise KeyError("inner")
        except KeyError as inner:
            error = ValueError("outer")
            error.add_note("a note of the task's")
            raise error from inner

    error = pools[0].submit(fail).exception(20)
    assert error.__notes__ == ["a note of the task's"]
    assert "KeyError: 'inner'" in str(error.__cause__)


ITEM_2 = ["This was item 2 of the map, counted from 0."]


def fail_at_2(x):
    if x == 2:
        raise ValueError("two")
    return x


def frozen_at_2(x):
    if x == 2:
        raise NoAttributes("two")
    return x


@pytest.mark.parametrize("function", [fail_at_2, frozen_at_2])
def test_a_failed_item_of_a_map_says_which_it_was(pools, function):
    executor, pool = pools
    maps = [
        lambda: list(executor.map(function, range(5))),
        lambda: list(executor.options(ordered=False).map(function, range(5))),
        lambda: pool.map(function, range(5)),
        lambda: list(pool.imap_unordered(function, range(5))),
        lambda: pool.starmap(function, [(i,) for i in range(5)]),
    ]
    for run in maps:
        with pytest.raises(Exception, match="^two$") as caught:
            run()
        assert caught.value.__notes__ == ITEM_2
    result = pool.map_async(function, range(5))
    for _ in range(3):
        with pytest.raises(Exception, match="^two$") as caught:
            result.get(20)
    assert caught.value.__notes__ == ITEM_2


def test_an_item_that_cannot_be_sent_says_which_it_was(pools):
    with pytest.raises(retinue.PicklingError) as caught:
        list(pools[0].map(id, [1, 2, threading.Lock()]))
    assert caught.value.__notes__ == ITEM_2


def test_a_map_inside_a_map_reports_both_items(pools):
    def inner(_):
        with ProcessPoolExecutor(1) as pool:
            return list(pool.map(fail_at_2, range(5)))

    with pytest.raises(ValueError, match="^two$") as caught:
        list(pools[0].map(inner, [0]))
    assert caught.value.__notes__ == [*ITEM_2, "This was item 0 of the map, counted from 0."]


def test_a_submitted_task_has_no_such_note(pools):
    assert not hasattr(pools[0].submit(fail_at_2, 2).exception(20), "__notes__")


class Single(Exception):
    """One object for all."""

    def __reduce__(self):
        return "SINGLE"


SINGLE = Single("the only one")


def raise_single(_):
    raise SINGLE


def test_one_exception_for_several_items_names_the_last_one(pools):
    results = pools[0].map(raise_single, range(3))
    for _ in range(3):
        with pytest.raises(Single) as caught:
            next(results)
    assert caught.value is SINGLE and SINGLE.__notes__ == ITEM_2
    SINGLE.__dict__.clear()


def test_every_kind_of_exception_in_an_initializer_is_reported():
    for make in (Frozen, partial(KeywordOnly, code=3), NoMessage):
        with ProcessPoolExecutor(1, initializer=raise_it, initargs=(make,)) as executor:
            with pytest.raises(retinue.PoolClosed, match="in raise_it"):
                executor.submit(abs, -1).result(20)
