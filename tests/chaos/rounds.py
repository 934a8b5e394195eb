"""One round: a pool is made, threads of its owner use it, faults are injected, it ends; then all is judged and
counted."""

import multiprocessing
import os
import random
import sys
import threading
import time

import retinue
import work
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool
from tasks import draw_task
from faults import FaultThread
from verdict import PATIENCE, Judge
from visit import DOORS, Visit

FACTOR = float(os.environ.get("RETINUE_TEST_TIME_FACTOR", "1"))


def make_pool(plan):
    limits = {"memory": (96 << 20, 0), "descriptors": (0, 64)}.get(plan.initializer, (0, 0))
    initializer = None if plan.initializer == "none" else work.set_up
    initargs = () if initializer is None else (*limits, plan.initializer)
    context = multiprocessing.get_context(plan.method)
    if plan.cls == "pool":
        return Pool(plan.workers, initializer, initargs, plan.max_tasks, context)
    return ProcessPoolExecutor(
        plan.workers,
        context,
        initializer,
        initargs,
        max_tasks_per_child=plan.max_tasks,
        on_worker_death="break" if plan.may_break else "task",
    )


class Round:
    def __init__(self, plan, moved=lambda: None):
        self.plan = plan
        self._moved = moved
        self._runs = retinue.shared_array(max(plan.tasks, 1), "u1")  # how often each task was begun
        self._counted = []
        self._visits = [[self._visit(*visit) for visit in share.visits] for share in plan.shares]
        self._pids = set()

    def _visit(self, door, drawn):
        tasks = []
        for name, seed, counted in drawn:
            task = draw_task(name, seed)
            if counted:
                task.index = len(self._counted)
                task.function, task.args = work.counted, (self._runs, task.index, task.function, task.args)
                self._counted.append(task)
            tasks.append(task)
        return door, tasks

    def run(self):
        """The judge, who knows what went wrong."""
        plan = self.plan
        pool = make_pool(plan)
        fault_thread = FaultThread(pool, plan.faults, plan.seed)
        judge = self.judge = Judge(plan, fault_thread, self._moved)
        switches = sys.getswitchinterval()
        if plan.quick_switches:
            sys.setswitchinterval(1e-5)
        try:
            with fault_thread:
                self._use(pool, judge)
                self._end(pool, judge)
        finally:
            sys.setswitchinterval(switches)
            retinue.limit_shared_memory(None)
        if plan.ending != "leave" and not judge.failures:
            left = [pid for pid in self._pids if os.path.exists(f"/proc/{pid}")]
            if left:
                judge.fail(f"the pool has ended, but its processes {left} are still there")
        self._check_runs(judge)
        return judge

    def _use(self, pool, judge):
        threads = []
        for share, visits in list(zip(self.plan.shares, self._visits))[1:]:
            threads.append(threading.Thread(target=self._go, args=(pool, share, visits, judge), daemon=True))
        if self.plan.ending.endswith("-early"):
            threads.append(threading.Thread(target=self._end_early, args=(pool, judge), daemon=True))
        for thread in threads:
            thread.start()
        self._go(pool, self.plan.shares[0], self._visits[0], judge)
        end = time.monotonic() + 2 * PATIENCE * FACTOR
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.001))
            if thread.is_alive():
                judge.fail(f"a thread of the owner did not end: {thread}")

    def _go(self, pool, share, visits, judge):
        for i, (door, tasks) in enumerate(visits):
            try:
                dice = random.Random(f"{share.seed} {i}")
                DOORS[door][0](Visit(pool, tasks, dice, judge, PATIENCE * FACTOR, self.plan.max_tasks))
            except BaseException as error:
                import traceback

                judge.fail(f"the door {door} raised: " + "".join(traceback.format_exception(error)))
            self._pids.update(pool.worker_pids())

    def _end_early(self, pool, judge):
        time.sleep(self.plan.ends_after)
        self._pids.update(pool.worker_pids())
        judge.ending = True
        how = self.plan.ending.removesuffix("-early")
        if isinstance(pool, Pool):
            pool.close() if how == "shutdown" else pool.terminate()
        elif how == "terminate":
            pool.terminate_workers()
        else:
            pool.shutdown(wait=False, cancel_futures=how == "cancel")

    def _end(self, pool, judge):
        self._pids.update(pool.worker_pids())
        judge.ending = True
        if self.plan.ending == "leave" and not isinstance(pool, Pool):
            return
        if isinstance(pool, Pool):
            pool.close()
            pool.join()
        else:
            pool.shutdown()

    def _check_runs(self, judge):
        """Nothing runs twice that was not to, and what gave a value has run."""
        for task in self._counted:
            runs = int(self._runs[task.index])
            if runs > 1 + task.retries:
                judge.fail(f"{task} was run {runs} times")
