"""One batch of tasks on its way through a door."""

import concurrent.futures
import multiprocessing

import retinue
import work
from outcomes import line_of_error, line_of_value
from retinue._internal.options import TaskOptions
from retinue.multiprocessing import Pool

DOORS = {}
SLOTS = 4096  # of a pool, unless it asks for others


class InputsEnd(Exception):
    """Raised by inputs, midway."""


def door(*classes):
    def add(function):
        DOORS[function.__name__.replace("_", "-")] = (function, classes)
        return function

    return add


class Visit:
    """One batch of tasks through one door, by one thread of the owner."""

    def __init__(self, pool, tasks, random, judge, patience, max_tasks):
        self.pool, self.tasks, self.random, self.judge = pool, tasks, random, judge
        self.patience = patience  # seconds in which a pool that has tasks ends at least one
        self.max_tasks = max_tasks  # per worker

    def submit(self, task):
        """A future, or None if the work was refused."""
        pool = self.pool
        try:
            if task.timeout is not None or task.retries:
                options = TaskOptions(task.timeout, task.retries).read()  # a Pool has no `options`
                return pool._submit_with(options, task.function, *task.args)
            return pool.submit(task.function, *task.args)
        except Exception as error:
            self.judge.refused([task], error)
            return None

    def came(self, wait, is_done, began=lambda: True):
        """Calls ``wait(seconds)`` until ``is_done()``. False if it hangs: the pool has ended nothing in all that time, or ten
        rounds of later tasks while nobody began this one. How long one task waits says nothing: it may be the machine that
        is slow. The pool is asked only after a while, for that has it look for results."""
        first = ended = None
        while True:
            wait(self.patience if first is None else self.patience / 2)
            if is_done():
                return True
            stats = self.pool.stats()
            if first is None:
                first = stats
            elif stats["finished"] == ended:
                return is_done()
            elif stats["finished"] > first["submitted"] + 10 * SLOTS and not began():
                return is_done()
            ended = stats["finished"]
            self.judge.moved()

    def next_of(self, results):
        """The next of an iterator whose ``next`` takes a time limit."""
        came = []

        def wait(seconds):
            try:
                came.append(results.next(timeout=seconds))
            except multiprocessing.TimeoutError:
                pass

        if not self.came(wait, lambda: bool(came)):
            raise multiprocessing.TimeoutError
        return came[0]

    def take(self, task, future):
        """Waits for one future, and reports what came."""

        def wait(seconds):
            concurrent.futures.wait([future], seconds)

        if not self.came(wait, future.done, future.running):
            return self.judge.fail(f"{task}: nothing came of it, nor of any other")
        try:
            value = future.result(0)
        except BaseException as error:
            return self.judge.error(task, error)
        self.judge.value(task, value)

    def take_map(self, results, tasks, next_of=next, more=False):
        """The items of a map, in order. An item that fails raises in its place."""
        last = None
        for i, task in enumerate(tasks):
            try:
                value = next_of(results)
            except StopIteration:
                if isinstance(last, retinue.PoolClosed):  # by which it said that it was submitted no more
                    return self.judge.refused(tasks[i:], last)
                return self.judge.fail(f"a map ended before {task}")
            except BaseException as error:
                last = error
                self.judge.error(task, error)
                if isinstance(error, InputsEnd):
                    break
            else:
                self.judge.value(task, value)
        if not more and not self.judge.failures and next(results, None) is not None:
            self.judge.fail("a map gave more than it was given")

    def calls(self):
        """For maps, which cannot raise StopIteration."""
        for task in self.tasks:
            if task.expected[0].startswith("raised StopIteration:"):
                task.expected = ("raised RuntimeError: a task of the map raised StopIteration",)
        return [(t.function, t.args) for t in self.tasks]

    def map(self, *args, buffersize=None, **options):
        """What `pool.map` gives, or None if the work was refused."""
        pool = self.pool.options(**options) if options else self.pool
        try:
            return pool.map(work.call, *args, **({} if buffersize is None else {"buffersize": buffersize}))
        except Exception as error:
            self.judge.refused(self.tasks, error)
            return None

    def pool_call(self, call, tasks=None):
        """What a function of a ``multiprocessing.Pool`` gives, or None if the work was refused."""
        try:
            return call()
        except Exception as error:
            self.judge.refused(self.tasks if tasks is None else tasks, error)
            return None

    @property
    def is_pool(self):
        return isinstance(self.pool, Pool)

    def take_unordered(self, results):
        """Each outcome belongs to one task that expects it. What none expects is judged as if it came of one that is
        left."""
        left = list(self.tasks)
        came = []
        for _ in self.tasks:
            try:
                came.append((next(results), None))
            except StopIteration:
                closed = next((e for _, e in came if isinstance(e, retinue.PoolClosed)), None)
                if closed is None:
                    self.judge.fail(f"an unordered map ended after {len(came)} of {len(self.tasks)} results")
                else:
                    self.judge.refused(self.tasks[len(came) :], closed)
                break
            except BaseException as error:
                came.append((None, error))
        strange = []
        for value, error in came:
            line = line_of_value(value) if error is None else line_of_error(error)
            by_us = isinstance(error, retinue.WorkerDied) and error.signal == 9 and error.pid in self.judge.killed
            task = None if by_us else next((task for task in left if task.expects(line)), None)
            if task is None:
                strange.append((value, error))
            else:
                left.remove(task)
                self.report(task, value, error)
        for task, (value, error) in zip(left, strange):
            self.report(task, value, error)
        if len(came) == len(self.tasks) and next(results, None) is not None:
            self.judge.fail("an unordered map gave more than it was given")

    def report(self, task, value, error):
        if error is None:
            self.judge.value(task, value)
        else:
            self.judge.error(task, error)

    def take_list(self, get, tasks):
        """A list of all values, or one exception for all."""
        try:
            values = get()
        except BaseException as error:
            self.judge.judged += len(tasks) - 1
            guilty = next((task for task in tasks if task.expects(line_of_error(error))), tasks[0])
            return self.judge.error(guilty, error)
        if len(values) != len(tasks):
            return self.judge.fail(f"a list of {len(values)} results for {len(tasks)} tasks")
        for task, value in zip(tasks, values):
            self.judge.value(task, value)
