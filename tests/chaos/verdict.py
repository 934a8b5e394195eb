"""Whether an outcome is right: what the serial run gives, or what the round really did to that task."""

import threading

import retinue
from outcomes import line_of_error, line_of_value

PATIENCE = 20.0  # seconds, times RETINUE_TEST_TIME_FACTOR: how long a pool may end nothing


class Judge:
    """Collects what became of the tasks of a round. Any thread may report."""

    def __init__(self, plan, fault_thread, moved):
        self.failures = []
        self._moved = moved  # called when something has come of a task
        self.judged = 0
        self.excused = {}
        self.ending = False  # somebody has begun to end the pool, so work may be refused and cancelled
        self._plan = plan
        self._fault_thread = fault_thread
        self._pids = set()
        self._lock = threading.Lock()

    def moved(self):
        """The pool goes on, though nothing has come of a task that is waited for."""
        self._moved()

    @property
    def done(self):
        """What was done to the pool, and how often."""
        return self._fault_thread.done

    @property
    def killed(self):
        """Processes that were killed from outside."""
        return self._fault_thread.killed

    def fail(self, words):
        with self._lock:
            self.failures.append(words)

    def value(self, task, value):
        self._report(task, line_of_value(value), None)

    def error(self, task, error):
        self._report(task, line_of_error(error), error)

    def refused(self, tasks, error):
        """Work was not taken. False: nothing allows that."""
        self._moved()
        self.judged += len(tasks)
        why = self._excuse(None, error)
        if why is None:
            self.fail(f"{len(tasks)} tasks were refused: {type(error).__name__}: {error}")
        else:
            self._note("refused, " + why)

    def _report(self, task, line, error):
        self._moved()
        with self._lock:
            self.judged += 1
            if isinstance(error, retinue.WorkerDied) and not isinstance(task, int):
                if error.pid in self._pids or error.pid <= 0:
                    self.failures.append(f"{task}: process {error.pid} died twice")
                self._pids.add(error.pid)
        if task.cancelled:
            if line != "cancelled":
                self.fail(f"{task}: cancelled, but: {line}")
        elif not task.expects(line):
            why = self._excuse(task, error)
            if why is None:
                self.fail(f"{task}: expected {' or '.join(task.expected)}; came {line}{self._more(error)}")
            else:
                self._note(why)

    def _more(self, error):
        if isinstance(error, retinue.WorkerDied):
            return f" (process {error.pid}; killed by us: {sorted(self.killed)}; {error})"
        if isinstance(error, retinue.RemoteError):
            return f"\n{error.traceback}"
        return f"\n{error.__cause__}" if error is not None and error.__cause__ is not None else ""

    def _note(self, why):
        with self._lock:
            self.excused[why] = self.excused.get(why, 0) + 1

    def _excuse(self, task, error):
        """What the round did that explains this error, or None."""
        fault_thread, plan = self._fault_thread, self._plan
        over = self.ending or fault_thread.server_killed or plan.may_break
        if isinstance(error, retinue.WorkerDied):
            if error.signal == 9 and error.pid in fault_thread.killed:
                return "killed"
            if error.signal == 9 and over:
                return "ended with its pool"
            if task is not None and task.retries and self.ending and plan.terminates:
                return "not run again, for its pool was ended at once"
            if task is not None and task.retries and fault_thread.killed:
                return "not run again, for a kill had cost it its retry"
        elif isinstance(error, retinue.Cancelled) and self.ending:
            return "cancelled by the end"
        elif isinstance(error, retinue.PoolClosed):
            if over or plan.initializer in ("raises", "exits"):
                return "closed"
        elif isinstance(error, retinue.TaskTimeout):
            return "late" if task is not None and task.timeout is not None and task.kind == "on-the-brink" else None
        elif isinstance(error, ValueError) and str(error) == "Pool not running" and self.ending:
            return "closed"
        elif "ResourceExhausted" in line_of_error(error or ValueError()) or isinstance(error, MemoryError):
            if fault_thread.limited or "owner-descriptors" in fault_thread.done or fault_thread.server_killed:
                return "exhausted"
        return None
