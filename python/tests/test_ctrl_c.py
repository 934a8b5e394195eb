"""Ctrl-C in a terminal: one KeyboardInterrupt in the owner, from any wait, and no process is left."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

PREAMBLE = """
import asyncio, time
from retinue.futures import ProcessPoolExecutor, wait, as_completed
from retinue.multiprocessing import Pool

def spin():
    while True:
        pass

executor = ProcessPoolExecutor(2)
print("ready", flush=True)
"""

WAITS = {
    "in_result": "executor.submit(time.sleep, 100).result()",
    "in_the_result_of_a_task_that_computes": "executor.submit(spin).result()",
    "in_a_map": "list(executor.map(time.sleep, [100] * 50))",
    "in_an_endless_map": "for x in executor.map(abs, iter(int, 1)): pass",
    "in_an_unordered_map": "list(executor.options(ordered=False).map(time.sleep, [100] * 50))",
    "in_wait": "wait([executor.submit(time.sleep, 100)])",
    "in_as_completed": "list(as_completed([executor.submit(time.sleep, 100)]))",
    "in_shutdown": "executor.submit(time.sleep, 100); executor.shutdown()",
    "at_the_end_of_a_with_block": "with executor: executor.submit(time.sleep, 100)",
    "at_the_end_of_the_program": "executor.submit(time.sleep, 100)",
    "while_submitting": "while True: executor.submit(abs, 1).result()",
    "outside_of_any_wait": "executor.submit(time.sleep, 100)\nwhile True: time.sleep(0.01)",
    "in_pool_map": "Pool(2).map(time.sleep, [100] * 50)",
    "in_pool_get": "Pool(2).apply_async(time.sleep, (100,)).get()",
    "in_pool_join": "pool = Pool(2); pool.apply_async(time.sleep, (100,)); pool.close(); pool.join()",
    "in_asyncio": """
async def main():
    await asyncio.get_running_loop().run_in_executor(executor, time.sleep, 100)
asyncio.run(main())
""",
}


def processes_of_session(session):
    listed = subprocess.run(["ps", "-eo", "sid=,stat=,comm="], capture_output=True, text=True).stdout.splitlines()
    return [line for line in listed if int(line.split()[0]) == session]


def read_until(fd, wanted, seconds):
    """What the terminal shows until `wanted` is there, the program has closed it, or the time is over."""
    shown, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and (wanted is None or wanted not in shown):
        if select.select([fd], [], [], 0.05)[0]:
            try:
                shown += os.read(fd, 4096)
            except OSError:
                break
    return shown


@pytest.mark.parametrize("where", WAITS)
def test_ctrl_c_is_one_keyboard_interrupt(where):
    owner, terminal = pty.fork()
    if owner == 0:
        os.environ["PYTHON_COLORS"] = "0"
        os.execv(sys.executable, [sys.executable, "-c", PREAMBLE + WAITS[where]])
    try:
        assert b"ready" in read_until(terminal, b"ready", 30)
        time.sleep(0.5)
        os.write(terminal, b"\x03")
        shown = read_until(terminal, None, 20).decode(errors="replace")
    finally:
        try:
            os.kill(owner, 9)
        except ProcessLookupError:
            pass
        _, status = os.waitpid(owner, 0)
        os.close(terminal)
    assert not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9), "it hung: " + shown
    allowed = 2 if where == "in_asyncio" else 1  # asyncio shows its own CancelledError first
    assert shown.count("Traceback (most recent call last)") <= allowed, shown
    assert shown.rstrip().endswith("KeyboardInterrupt") or "KeyboardInterrupt:" in shown, shown
    end = time.monotonic() + 5
    while processes_of_session(owner) and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_of_session(owner) == []


INTERRUPTED_AT = """
import signal, sys, time
from retinue.futures import ProcessPoolExecutor
executor = ProcessPoolExecutor(2)
futures = [executor.submit(time.sleep, 100) for _ in range(3)]

def interrupt(frame, event, argument):
    if event == "call" and frame.f_code.co_name == {name!r} and frame.f_code.co_filename.endswith("_exit.py"):
        sys.settrace(None)
        signal.raise_signal(signal.SIGINT)

sys.settrace(interrupt)
"""


@pytest.mark.parametrize("name", ["_end", "_interrupted"])
def test_ctrl_c_before_the_end_has_done_anything_is_not_lost(name):
    program = [sys.executable, "-c", INTERRUPTED_AT.format(name=name)]
    ended = subprocess.run(program, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ended.returncode == -signal.SIGINT, ended.stderr
    assert ended.stderr.count("Traceback (most recent call last)") == 1, ended.stderr


NOTIFIED = """
import signal, sys
from concurrent.futures import _base, wait
from retinue.futures import ProcessPoolExecutor

others = [_base._FirstCompletedWaiter() for _ in range(3)]

def interrupt_among_the_notified(frame, event, argument):
    if event == "line" and others[0].finished_futures:
        sys.settrace(None)
        signal.raise_signal(signal.SIGINT)
    return interrupt_among_the_notified

def interrupt(frame, event, argument):
    if event != "call":
        return
    if frame.f_code.co_name == "__init__" and frame.f_code.co_filename.endswith("threading.py") and not early:
        while not future.done(): pass
    if frame.f_code.co_name == "notify":
        future._waiters.extend(others)
        if {midway}:
            return interrupt_among_the_notified
        sys.settrace(None)
        signal.raise_signal(signal.SIGINT)

with ProcessPoolExecutor(1) as executor:
    future = executor.submit(abs, -1)
    early = {early}
    while early and not future.done(): pass
    sys.settrace(interrupt)
    try:
        wait([future], timeout=10)
    except KeyboardInterrupt:
        print("interrupted", end=" ")
    sys.settrace(None)
    print(len(wait([future], timeout=10).done), future.result(), future._state)
    if not early:
        print([(waiter.event.is_set(), len(waiter.finished_futures)) for waiter in others] == [(True, 1)] * 3)
"""


@pytest.mark.parametrize("early, midway", [(True, False), (False, False), (False, True)])
def test_ctrl_c_while_a_future_notifies_its_waiters_leaves_nobody_waiting(early, midway):
    program = [sys.executable, "-c", NOTIFIED.format(early=early, midway=midway)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    # An early one has nothing to report.
    assert ended.stdout == ("1 1 FINISHED\n" if early else "interrupted 1 1 FINISHED\nTrue\n")
