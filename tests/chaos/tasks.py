"""Kinds of tasks: what is sent, and what must come of it.

A kind is a function of a random generator. It gives (function, args), and the outcome is what that gives when it is run
here; or (function, args, expected), where it must not be run here, or where a pool promises something of its own.
An expected line that ends in * stands for all that begin so.
"""

import functools
import random
import string
from dataclasses import dataclass

import numpy as np

import odd
import retinue
import work
from outcomes import line_of_value, run_serially


@dataclass(eq=False)  # each is itself; arguments may be arrays, which have no one answer
class Task:
    kind: str
    function: object
    args: tuple
    expected: tuple  # of lines
    timeout: float | None = None
    retries: int = 0
    index: int = -1  # where its runs are counted, if they are
    cancelled: bool = False  # its owner has cancelled it

    def __repr__(self):
        return f"task of kind {self.kind}"

    def expects(self, line):
        return any(line == e or (e.endswith("*") and line.startswith(e[:-1])) for e in self.expected)

    @property
    def lives(self):
        return not any(e.startswith(("died", "left", "timeout")) for e in self.expected)


class BulkTask:
    """One of very many tiny ones."""

    kind, timeout, cancelled, index = "bulk", None, False, -1

    def __init__(self, x):
        self.x = x

    @property
    def expected(self):
        return (line_of_value(work.mix(self.x)),)

    def expects(self, line):
        return line == self.expected[0]

    def __repr__(self):
        return f"task mix({self.x})"


@dataclass
class Kind:
    name: str
    draw: object
    weight: float
    needs: str = ""  # only where the workers have this limit
    unlimited: bool = False  # not where workers have limits
    deadly: bool = False
    alone: bool = False  # its outcome depends on options of its own, so it is submitted by itself


KINDS: dict[str, Kind] = {}


def kind(weight=1.0, **traits):
    def add(draw):
        name = draw.__name__.strip("_").replace("_", "-")
        KINDS[name] = Kind(name, draw, weight, **traits)
        return draw

    return add


def draw_task(name, seed):
    """Drawn twice, because the serial run may change its arguments."""
    drawn = KINDS[name].draw(random.Random(seed))
    if isinstance(drawn, Task):
        return drawn
    if len(drawn) == 3:
        function, args, expected = drawn
        return Task(name, function, args, (expected,) if isinstance(expected, str) else expected)
    expected = run_serially(*KINDS[name].draw(random.Random(seed)))
    return Task(name, *drawn, (expected,))


@kind(12)
def arithmetic(r):
    return work.mix, (r.getrandbits(r.choice((8, 30, 64, 200))), r.randrange(1, 4))


@kind(4)
def values(r):
    return work.echo, tuple(_value(r, 3) for _ in range(r.randrange(4)))


def _value(r, depth):
    plain = (
        lambda: None,
        lambda: r.random() < 0.5,
        lambda: r.getrandbits(r.choice((1, 31, 63, 64, 65, 500))) - r.getrandbits(60),
        lambda: r.choice((r.random(), float("inf"), float("nan"), -0.0, 5e-324)),
        lambda: complex(r.random(), -r.random()),
        lambda: r.randbytes(r.choice((0, 1, 100, 300, 5000))),
        lambda: "".join(r.choices(string.printable + "äß€\U0001f600\ud800\0", k=r.choice((0, 1, 20, 400)))),
        lambda: bytearray(r.randbytes(20)),
        lambda: np.arange(r.randrange(5)),
        lambda: odd.Box([r.randrange(9)]),
    )
    if depth == 0 or r.random() < 0.4:
        return r.choice(plain)()
    items = [_value(r, depth - 1) for _ in range(r.randrange(4))]
    make = r.choice((tuple, list, lambda x: {i: v for i, v in enumerate(x)}, lambda x: [x, x], lambda x: {f"{i}" for i, _ in enumerate(x)}))
    return make(items)


@kind(2)
def closures(r):
    k, word = r.randrange(1000), "x" * r.randrange(500)
    return r.choice((lambda x: x * k, lambda x: (word, k), lambda x: [work.mix(i) for i in range(k % 10)])), (r.randrange(99),)


@kind(1)
def partials(r):
    return functools.partial(work.echo, work.make_array(r.randrange(99), r.choice((10, 20_000, 200_000)), "i4")), (r.random(),)


@kind(1)
def methods(r):
    return odd.Box([r.randrange(9)]).add, (r.randrange(99),)


@kind(1)
def slow(r):
    return work.sleep, (r.choice((0.001, 0.005, 0.02)), r.random())


@kind(0.7)
def busy(r):
    return work.spin, (r.choice((0.001, 0.004)), r.random())


@kind(1)
def payloads(r):
    return work.many_bytes, (r.randrange(2**32), int(10 ** r.uniform(2, 6.5)))


@kind(0.5)
def slow_payloads(r):
    return work.slow_bytes, (r.randrange(2**32), int(10 ** r.uniform(3, 6.3)), r.randrange(1, 5))


@kind(1)
def payloads_there_and_back(r):
    return work.echo, (r.randbytes(int(10 ** r.uniform(2, 6.3))), "t" * int(10 ** r.uniform(2, 6)))


def _array(r):
    dtype = r.choice(("u1", "i4", "f8", "c16", ">i2", [("a", "i4"), ("b", "f4")]))
    a = work.make_array(r.randrange(999), int(10 ** r.uniform(0, 6)), dtype if isinstance(dtype, str) else "i4")
    if not isinstance(dtype, str):
        b = np.zeros(a.shape, dtype)
        b["a"], b["b"] = a, a * 0.5
        a = b
    shape = r.choice((lambda x: x, lambda x: x[::2], lambda x: x[::-1], lambda x: x[: len(x) // 2 * 2].reshape(2, -1).T))
    a = shape(a)
    if r.random() < 0.2:
        a.flags.writeable = False
    return a


@kind(1.5)
def arrays(r):
    return work.echo, (_array(r), _array(r)) if r.random() < 0.2 else (_array(r),)


@kind(1)
def arrays_written_to(r):
    return work.twice_in_place, (work.make_array(r.randrange(999), r.choice((5, 9_000, 131_072, 400_000)), "f8"),)


@kind(0.7)
def arrays_kept(r):
    return work.keep_array, (work.make_array(r.randrange(999), r.choice((5, 9_000, 131_072, 300_000)), "i8"),), line_of_value(0)


@kind(1)
def shared_arrays(r):
    table = retinue.shared_array((r.randrange(1, 5), r.choice((1, 1000, 50_000))))
    return work.fill, (r.choice((table, table[:, ::2])), 0, float(r.randrange(99)))


@kind(0.7)
def shared_values(r):
    table = {"rows": [work.make_array(r.randrange(99), r.choice((3, 30_000)), "i8") for _ in range(3)], "extra": r.randrange(9)}
    index = r.randrange(3)
    return work.look_up, (retinue.share(table), index), run_serially(work.look_up, (table, index))


@kind(2)
def exceptions(r):
    text = str(r.randrange(10**6))
    error = r.choice((odd.ChaosError, ValueError, OSError, KeyError, SystemExit, KeyboardInterrupt, GeneratorExit,
                      StopIteration, MemoryError, AssertionError, odd.EndsTheBase))(text)  # fmt: skip
    return work.raise_, (error,)


@kind(1)
def caused_exceptions(r):
    return r.choice((work.raise_caused, work.raise_group)), (str(r.random()),)


@kind(0.5)
def local_exceptions(r):
    text = str(r.random())

    class LocalError(Exception):
        pass

    def fail():
        raise LocalError(text)

    return fail, (), "raised local_exceptions.<locals>.LocalError: " + text


@kind(1)
def exceptions_of_odd_makes(r):
    return r.choice((
        lambda: (work.raise_two_arguments, ("this", 7), "raised TwoArguments: this and 7"),
        lambda: (work.raise_made, ("Unspeakable",), "raised Unspeakable: (cannot be shown)"),
        lambda: (work.raise_made, ("HoldsALock", "lock"), "raised HoldsALock: lock"),
        lambda: (work.raise_made, ("RefusesToReduce", "no"), "raised RefusesToReduce: no"),
        lambda: (work.raise_made, ("LoadsAsAnother", "x"), "raised LoadsAsAnother: x"),
    ))()  # fmt: skip


@kind(0.5)
def recursion(r):
    return work.recurse, (0,), "raised RecursionError: *"


@kind(1.5)
def values_that_do_not_travel(r):
    return r.choice((
        lambda: (work.a_lock, (), "raised PicklingError: *"),
        lambda: (work.a_generator, (), "raised PicklingError: *"),
        lambda: (work.make, ("NotPickled",), "raised PicklingError: *"),
        lambda: (work.make, ("ReducesToNonsense",), "raised PicklingError: *"),
        lambda: (work.echo, (odd.NotPickled(),), "raised PicklingError: *"),
        lambda: (work.echo, ((x for x in ()),), "raised PicklingError: *"),
        lambda: (work.echo, (odd.NotLoaded(ValueError("v")),), "raised UnpicklingError: *"),
        lambda: (work.echo, (odd.NotLoaded(SystemExit(3)),), "raised UnpicklingError: *"),
        lambda: (work.make, ("NotLoaded", ValueError("v")), "raised UnpicklingError: *"),
        lambda: (work.make, ("NotLoaded", SystemExit(3)), "raised UnpicklingError: *"),
        lambda: (work.echo, (odd.NotLoadedElsewhere("raise"),), "raised UnpicklingError: *"),
    ))()  # fmt: skip


@kind(0.5, deadly=True)
def dies_on_the_way(r):
    return r.choice((
        lambda: (work.echo, (odd.NotLoadedElsewhere("kill"),), "died of signal 9"),
        lambda: (work.echo, (odd.NotLoadedElsewhere("exit"),), "left with 7"),
        lambda: (work.make, ("DiesAsItIsPickled", "kill"), "died of signal 9"),
        lambda: (work.make, ("DiesAsItIsPickled", "exit"), "left with 5"),
    ))()  # fmt: skip


@kind(0.7)
def reduces_itself(r):
    return work.make, ("CountsItsPickles", r.choice((256, 65_536, 2**21)))


@kind(0.5)
def garbage(r):
    return r.choice((work.leave_cycles, work.collect)), (r.randrange(20),)


@kind(0.3)

@kind(0.7, deadly=True)
def exits(r):
    code = r.randrange(1, 100)
    return work.leave, (code,), f"left with {code}"


@kind(0.7, deadly=True)
def kills_itself(r):
    number = r.choice((9, 9, 15, 6, 7, 31))
    return work.kill_myself, (number,), f"died of signal {number}"


@kind(0.3, deadly=True)
def crashes(r):
    return r.choice((work.crash, work.crash_in_a_thread)), (), "died of signal 11"


@kind(0.5)
def interrupts_itself(r):
    value = r.random()
    return work.interrupt_myself, (value,), line_of_value(value)


@kind(0.5)
def exits_by_exception(r):
    return work.leave_by_exit, (r.choice((None, 0, 3, "words")),)


@kind(0.5, alone=True)
def runs_too_long(r):
    function, args = r.choice(((work.sleep, (60, 0)), (work.spin, (60, 0)), (work.stop_myself, (0,))))
    expected = ("timeout",) if args == (60, 0) else ("timeout", line_of_value(0))  # a SIGCONT may be on its way to it
    return Task("runs-too-long", function, args, expected, timeout=r.choice((0.03, 0.1, 0.2)))


@kind(0.5, alone=True)
def on_the_brink(r):
    value = r.random()
    return Task("on-the-brink", work.sleep, (0.02, value), ("timeout", line_of_value(value)), timeout=r.choice((0.015, 0.02, 0.025)))


@kind(1, alone=True)
def in_time(r):
    value = r.random()
    return Task("in-time", work.sleep, (0.001, value), (line_of_value(value),), timeout=100.0)


@kind(0.5, alone=True, deadly=True)
def retried(r):
    value = r.random()
    runs = retinue.shared_array(1, "u1")
    return Task("retried", work.die_at_first, (runs, 0, value), (line_of_value(value),), retries=1)


@kind(2, needs="memory")
def memory(r):
    value = r.random()
    return r.choice((
        (work.exhaust_memory, (value,), line_of_value(value)),
        (work.exhaust_memory_and_raise, (), ("raised MemoryError: *", "raised RemoteError: MemoryError: *")),
    ))  # fmt: skip


@kind(0.5)
def too_much_memory(r):
    return work.ask_for_too_much, ()


@kind(2, needs="descriptors")
def descriptors(r):
    value, size = r.random(), r.choice((0, 1000, 300_000))
    return r.choice((
        (work.exhaust_descriptors, (value, size), line_of_value((value, bytes(size)))),
        (work.exhaust_descriptors, (None, 0), "raised ChaosError: no descriptors"),
        (work.keep_descriptors, (r.randrange(100),), "value *"),
    ))  # fmt: skip


@kind(0.3)
def output(r):
    value = r.random()
    return work.close_output, (r.choice(("object", "none", "descriptor")), value), line_of_value(value)


@kind(0.5)
def clock(r):
    value = r.random()
    return work.turn_clock, (r.choice((-1e9, -3600.0, 3600.0, 1e9)), value), line_of_value(value)


@kind(0.5, unlimited=True)
def threads(r):
    return work.count_in_threads, (r.randrange(1000), r.randrange(1, 5))


@kind(0.3, unlimited=True)
def threads_left(r):
    return work.leave_a_thread, (r.random(),)


@kind(0.3, unlimited=True)
def forks(r):
    code = r.randrange(9)
    return work.fork_a_child, (code,), line_of_value(code)


@kind(0.2, unlimited=True)
def programs(r):
    word = str(r.random())
    return work.run_a_program, (word,), line_of_value(word + "\n")


@kind(0.3)
def timers(r):
    value = r.random()
    return r.choice((work.alarm, work.no_alarm)), (value,), line_of_value(value)


@kind(0.3, unlimited=True)
def event_loops(r):
    return work.in_asyncio, (r.randrange(50),)


@kind(0.5, unlimited=True)
def nested(r):
    count = r.randrange(1, 200)
    expected = run_serially(work.serial_sum, (count,))
    return r.choice(((work.nested, (r.randrange(9), count, r.random() < 0.5), expected), (work.nested_pool, (count,), expected)))
