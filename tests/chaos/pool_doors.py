"""The ways by which a ``multiprocessing.Pool`` is given tasks. Each reports to the judge what became of every task."""

import time

import work
from visit import door


@door("pool")
def pool_map(v):
    results = v.random.choice((
        lambda: v.pool.map(work.call_item, v.calls()),
        lambda: v.pool.map(work.call_item, iter(v.calls()), chunksize=3),
        lambda: v.pool.starmap(work.call, v.calls()),
    ))  # fmt: skip
    v.take_list(results, v.tasks)


@door("pool")
def pool_imap(v):
    results = v.pool_call(lambda: v.pool.imap(work.call_item, v.calls()))
    if results is not None:
        v.take_map(results, v.tasks, v.next_of)


@door("pool")
def pool_imap_unordered(v):
    results = v.pool_call(lambda: v.pool.imap_unordered(work.call_item, v.calls(), 2))
    if results is not None:
        v.take_unordered(results)


@door("pool")
def apply(v):
    for task in v.tasks:
        try:
            value = v.pool.apply(task.function, task.args)
        except BaseException as error:
            if isinstance(error, ValueError) and str(error) == "Pool not running":
                v.judge.refused([task], error)
            else:
                v.judge.error(task, error)
        else:
            v.judge.value(task, value)


@door("pool")
def apply_async(v):
    """One of the two callbacks is called, once; some raise."""
    counts = [[0, 0] for _ in v.tasks]

    def count(i, which):
        counts[i][which] += 1
        if i % 5 == 0:
            raise ValueError("from a callback")

    results = []
    for i, task in enumerate(v.tasks):
        result = v.pool_call(
            lambda: v.pool.apply_async(task.function, task.args, {}, lambda _, i=i: count(i, 0), lambda _, i=i: count(i, 1)),
            [task],
        )
        if result is not None:
            results.append((i, task, result))
    for i, task, result in results:
        if not v.came(result.wait, result.ready):
            v.judge.fail(f"{task}: nothing came of it, nor of any other")
            continue
        try:
            value = result.get(0)
        except BaseException as error:
            v.judge.error(task, error)
            good = counts[i] == [0, 1] or (v.judge.ending and counts[i] == [0, 0])
        else:
            v.judge.value(task, value)
            good = counts[i] == [1, 0]
        if not good:
            v.judge.fail(f"{task}: callbacks were called {counts[i]} times")


@door("pool")
def map_async(v):
    reported = []
    result = v.pool_call(lambda: v.random.choice((
        lambda: v.pool.map_async(work.call_item, v.calls(), None, reported.append, reported.append),
        lambda: v.pool.starmap_async(work.call, v.calls(), None, reported.append, reported.append),
    ))())  # fmt: skip
    if result is None:
        return
    if not v.came(result.wait, result.ready):
        return v.judge.fail("map_async gave nothing, and the pool ended nothing")
    v.take_list(lambda: result.get(0), v.tasks)
    end = time.monotonic() + v.patience
    while len(reported) < 1 and not v.judge.ending and time.monotonic() < end:
        time.sleep(0.001)
    if len(reported) > 1 or (not reported and not v.judge.ending):
        v.judge.fail(f"the callbacks of map_async were called {len(reported)} times")
