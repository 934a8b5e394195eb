"""Puts retinue's classes where the standard library keeps its own.

Imported by a .pth file when an interpreter starts, so that the interpreters which tests start, also with ``-I``, have
retinue's classes too.
"""

import concurrent.futures
import concurrent.futures.process
import multiprocessing.pool
import os

import retinue.futures
import retinue.multiprocessing.pool

OPTIONS = {"on_worker_death": "break"} if os.environ.get("RETINUE_STDLIB_TESTS") == "break" else {}


class NothingToJoin:
    """For the thread and the queue inside the standard executor, which tests join before they join its processes."""

    def join(self):
        pass

    join_thread = join


class ProcessPoolExecutor(retinue.futures.ProcessPoolExecutor):
    """Has the name of the original, by which tests import it."""

    _executor_manager_thread = _call_queue = NothingToJoin()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **OPTIONS, **kwargs)


concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
concurrent.futures.process.ProcessPoolExecutor = ProcessPoolExecutor
# multiprocessing.Pool, of every context, looks this up when it is called.
multiprocessing.pool.Pool = retinue.multiprocessing.pool.Pool
# The cause of a task's exception, with its traceback, is of this class for retinue's pools as for its executors.
multiprocessing.pool.RemoteTraceback = concurrent.futures.process._RemoteTraceback
