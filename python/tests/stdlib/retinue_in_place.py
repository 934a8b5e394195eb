"""Puts retinue's classes where the standard library keeps its own.

Imported by a .pth file when an interpreter starts, so that the interpreters which tests start, also with ``-I``, have
retinue's classes too.
"""

import concurrent.futures
import concurrent.futures.process
import multiprocessing.pool
import os

import retinue._engine
import retinue.futures
import retinue.multiprocessing.pool

OPTIONS = {"on_worker_death": "break"} if os.environ.get("RETINUE_STDLIB_TESTS") == "break" else {}


class EndOfPools:
    """For the thread inside the standard executor that ends its processes, which tests join: what ends a pool in the
    background is here a thread of the engine."""

    def join(self):
        retinue._engine._wait_for_closing()


class NothingToJoin:
    """For the queue inside the standard executor, which tests join as well."""

    def join_thread(self):
        pass


class ProcessPoolExecutor(retinue.futures.ProcessPoolExecutor):
    """Has the name of the original, by which tests import it."""

    _executor_manager_thread = EndOfPools()
    _call_queue = NothingToJoin()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **OPTIONS, **kwargs)


concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
concurrent.futures.process.ProcessPoolExecutor = ProcessPoolExecutor
# multiprocessing.Pool, of every context, looks this up when it is called.
multiprocessing.pool.Pool = retinue.multiprocessing.pool.Pool
# The cause of a task's exception, with its traceback, is of this class for retinue's pools as for its executors.
multiprocessing.pool.RemoteTraceback = concurrent.futures.process._RemoteTraceback
