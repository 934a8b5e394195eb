"""The ways by which an executor is given tasks. Each reports to the judge what became of every task."""

import asyncio
import concurrent.futures
import errno
import itertools
import time

import retinue
import work
from retinue.futures import as_completed, wait
from tasks import BulkTask, Task
from visit import InputsEnd, door


@door("executor", "pool")
def submit_all(v):
    """All at once; taken in any order; some are cancelled, some wanted with little patience first."""
    futures = [(task, future) for task in v.tasks if (future := v.submit(task)) is not None]
    for task, future in v.random.sample(futures, len(futures) // 15):
        task.cancelled = future.cancel(force=v.random.random() < 0.5)
    v.random.shuffle(futures)
    for task, future in futures:
        if v.random.random() < 0.1:
            try:
                future.result(v.random.choice((0, 0.001)))
            except BaseException:
                pass
        v.take(task, future)
        if task.cancelled != future.cancelled() and not v.judge.ending:
            v.judge.fail(f"{task}: cancel said {task.cancelled}, cancelled() says {future.cancelled()}")


@door("executor")
def callbacks(v):
    """Each future's callbacks are called once, whatever some of them raise."""
    counts = [[0, 0] for _ in v.tasks]

    def count(i, which, future):
        counts[i][which] += 1
        if not future.done():
            v.judge.fail("a callback came before its task was done")
        if which == 0 and i % 5 == 0:
            raise ValueError("from a callback")

    futures = {}
    for i, task in enumerate(v.tasks):
        future = v.submit(task)
        if future is not None:
            future.add_done_callback(lambda f, i=i: count(i, 0, f))
            futures[future] = i, task
    seen = set()
    try:
        for future in as_completed(futures, v.patience * 2):
            if future in seen:
                v.judge.fail("as_completed gave a future twice")
            seen.add(future)
            i, task = futures[future]
            future.add_done_callback(lambda f, i=i: count(i, 1, f))
            v.take(task, future)
    except TimeoutError:
        v.judge.fail(f"as_completed waited for {[t for f, (_, t) in futures.items() if f not in seen]}")
    expected = [[1, 1] if i in {i for i, _ in futures.values()} else [0, 0] for i in range(len(v.tasks))]
    end = time.monotonic() + v.patience
    while counts != expected and time.monotonic() < end:
        time.sleep(0.001)
    if counts != expected:
        v.judge.fail(f"callbacks were called {counts} times, which should be {expected}")


@door("executor", "pool")
def one_by_one(v):
    for task in v.tasks:
        if (future := v.submit(task)) is not None:
            v.take(task, future)


WAYS = concurrent.futures.FIRST_COMPLETED, concurrent.futures.FIRST_EXCEPTION, concurrent.futures.ALL_COMPLETED


@door("executor")
def waited_for(v):
    """concurrent.futures.wait, in each of its ways."""
    futures = {f: task for task in v.tasks if (f := v.submit(task)) is not None}
    left = set(futures)
    end = time.monotonic() + 2 * v.patience
    while left and time.monotonic() < end:
        done, left = wait(left, v.random.choice((0.001, 1.0)), v.random.choice(WAYS))
        for future in done:
            v.take(futures[future], future)
    if left:
        v.judge.fail(f"wait did not end for {[futures[f] for f in left]}")


@door("executor")
def dropped(v):
    """Futures that nobody keeps: their tasks run all the same; nothing is known of their outcomes."""
    for task in v.tasks:
        if v.submit(task) is not None:
            v.judge.judged += 1


@door("executor")
def mapped(v):
    retries = v.random.choice((0, 0, 2))
    for task in v.tasks:
        task.retries = retries
    results = v.map(*zip(*v.calls()), retries=retries)
    if results is not None:
        v.take_map(results, v.tasks)


@door("executor")
def mapped_from_a_generator(v):
    """Inputs that come one by one, and sometimes raise midway."""
    calls = v.calls()
    stop = v.random.randrange(len(calls)) if v.random.random() < 0.5 else None

    def functions():
        for i, (function, _) in enumerate(calls):
            if i == stop:
                raise InputsEnd(i)
            yield function

    try:
        results = v.pool.map(work.call, functions(), (args for _, args in calls))
    except InputsEnd as error:  # as in the standard library: what has not started was cancelled
        if error.args != (stop,):
            v.judge.fail(f"the inputs ended with {error!r}, not at {stop}")
        v.judge.judged += len(calls)
        return
    except Exception as error:
        return v.judge.refused(v.tasks, error)
    tasks = v.tasks
    if stop is not None:
        v.judge.judged += len(calls) - stop
        tasks = [*v.tasks[:stop], Task("inputs-end", None, (), (f"raised InputsEnd: {stop}",))]
    v.take_map(results, tasks)


@door("executor")
def unordered(v):
    """Results as they come: the same ones, in some order."""
    results = v.map(*zip(*v.calls()), ordered=False)
    if results is not None:
        v.take_unordered(results)


@door("executor")
def abandoned(v):
    """A map of which only the first results are taken; its inputs have no end."""
    for task in v.tasks:
        task.retries = 255  # runs any number of times
    functions, arguments = (itertools.cycle(column) for column in zip(*v.calls()))
    # Without a bound 64 MB of inputs are read in the call, and all of them run, though nobody looks: with a worker for each
    # task that takes an hour.
    results = v.map(functions, arguments, buffersize=v.random.choice((1, 10, 100)))
    if results is None:
        return
    taken = v.random.randrange(1, len(v.tasks) + 1)
    v.take_map(results, v.tasks[:taken], more=True)
    v.judge.judged += len(v.tasks) - taken
    if v.random.random() < 0.5:
        results.close()
    del results


@door("executor")
def in_asyncio(v):
    """run_in_executor; some are cancelled there, and what that does to their tasks is asyncio's affair."""
    given_up = []

    async def main():
        loop = asyncio.get_running_loop()
        futures = []
        for task in v.tasks:
            if "StopIteration" in task.expected[0]:
                given_up.append(task)  # asyncio refuses to carry it
                continue
            try:
                futures.append((task, loop.run_in_executor(v.pool, task.function, *task.args)))
            except Exception as error:
                v.judge.refused([task], error)
        for task, future in v.random.sample(futures, len(futures) // 15):
            if future.cancel():
                given_up.append(task)
        waiting = [f for _, f in futures]
        if waiting:
            await asyncio.wait(waiting, timeout=v.patience * 2)
        for task, future in futures:
            if task in given_up:
                continue
            if not future.done():
                v.judge.fail(f"{task}: nothing came of it in asyncio")
            elif future.cancelled():
                v.judge.error(task, retinue.Cancelled())
            elif future.exception() is not None:
                v.judge.error(task, future.exception())
            else:
                v.judge.value(task, future.result())

    while True:
        try:
            runner = asyncio.Runner()
            runner.get_loop()
            break
        except OSError as error:  # no descriptors for a loop, where the owner's are exhausted
            if error.errno != errno.EMFILE:
                raise
            time.sleep(0.001)
    with runner:
        runner.run(main())
    v.judge.judged += len(given_up)


@door("executor", "pool")
def bulk(v):
    """Very many tiny tasks."""
    count = v.random.choice((500, 2000, 5000)) if v.max_tasks is None else 20 * v.max_tasks
    inputs = range(v.random.randrange(10**6), 10**9)[:count]
    mine = [BulkTask(i) for i in inputs]
    if v.is_pool:
        results = v.pool_call(lambda: v.pool.imap(work.mix, inputs), mine)
    else:
        try:
            results = v.pool.map(work.mix, inputs, buffersize=v.random.choice((None, 1, 50)))
        except Exception as error:
            v.judge.refused(mine, error)
            results = None
    if results is not None:
        v.take_map(results, mine)
