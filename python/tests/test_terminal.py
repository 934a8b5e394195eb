"""Scripts and prompts in a real terminal: Ctrl-C, Ctrl-\\, its loss, job control, at chosen and at random moments.

Where Ctrl-C finds a script that waits: test_ctrl_c.py.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from terminal import CTRL_BACKSLASH, CTRL_C, CTRL_Z, LONG, Terminal, processes_of_session

PREAMBLE = """
import sys, time
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

def ready():
    print("ready", flush=True)

def long(n=1):
    return [100] * n

def begun(values):
    print("it has", "begun", flush=True)
    return values

def sleep():  # many: a Ctrl-C just before it sleeps is seen at the end of one
    while True:
        time.sleep(0.01)
"""

PHASES = {
    "map": """
executor = ProcessPoolExecutor(2)
for n, x in enumerate(executor.map(abs, iter(int, 1))):
    if n == 20: ready()
""",
    "submit": """
executor = ProcessPoolExecutor(2)
executor.submit(abs, 1).result()
ready()
while True: executor.submit(abs, 1)
""",
    "get": """
executor = ProcessPoolExecutor(2)
future = executor.submit(time.sleep, 100)
while not future.running(): pass
ready()
future.result()
""",
    "shutdown": """
executor = ProcessPoolExecutor(2)
futures = [executor.submit(time.sleep, 100) for _ in range(10)]
ready()
executor.shutdown()
""",
    "with_block": """
with ProcessPoolExecutor(2) as executor:
    futures = [executor.submit(time.sleep, 100) for _ in range(10)]
    ready()
""",
    "exit": """
executor = ProcessPoolExecutor(2)
futures = [executor.submit(time.sleep, 100) for _ in range(10)]
ready()
""",
    "pool": """
pool = Pool(2)
pool.apply(abs, (1,))
ready()
pool.map(time.sleep, long(50))
""",
    "pool_in_a_with_block": """
with Pool(2) as pool:
    results = [pool.apply_async(time.sleep, (100,)) for _ in range(10)]
    ready()
    results[0].get()
""",
    "numpy": """
import numpy
executor = ProcessPoolExecutor(2)
executor.submit(numpy.ones, 10).result()
ready()
list(executor.map(time.sleep, long(50)))
""",
}

INTERRUPTIONS = {
    "ctrl_c": (lambda terminal: terminal.type(CTRL_C), -signal.SIGINT),
    "two_ctrl_c": (lambda terminal: (terminal.type(CTRL_C), terminal.type(CTRL_C)), -signal.SIGINT),
    "ctrl_backslash": (lambda terminal: terminal.type(CTRL_BACKSLASH), -signal.SIGQUIT),
    "hang_up": (lambda terminal: terminal.hang_up(), -signal.SIGHUP),
    "sigterm": (lambda terminal: terminal.kill(signal.SIGTERM), -signal.SIGTERM),
    "sigkill": (lambda terminal: terminal.kill(signal.SIGKILL), -signal.SIGKILL),
}


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(PREAMBLE + text)
    return Terminal([sys.executable, str(path)], tmp_path)


# What CPython prints, past sys.stderr, in place of a traceback that another Ctrl-C finds it printing; that one it drops.
TRACEBACK_CUT_SHORT = re.compile(
    r"object address  : 0x[0-9a-f]+\nobject refcount : \d+\nobject type     : 0x[0-9a-f]+\n"
    r"object type name: KeyboardInterrupt\nobject repr     : KeyboardInterrupt\(\)\nlost sys\.stderr\n"
)


def check_words(shown, interruption):
    """Not more than one word of the owner's for each Ctrl-C, and none of the workers'."""
    rest, cut_short = TRACEBACK_CUT_SHORT.subn("", shown)
    tracebacks = rest.count("Traceback (most recent call last)")
    if interruption == "ctrl_c":
        assert tracebacks == 1 and cut_short == 0, shown
    elif interruption == "two_ctrl_c":  # the second may find the first being reported, or dealt with
        assert 1 <= tracebacks + cut_short <= 2 and cut_short <= 1, shown
    else:
        assert tracebacks == 0 and cut_short == 0, shown
    assert rest.count("KeyboardInterrupt") <= 2, shown
    for garbage in ("terminate called", "Process Retinue", "WorkerDied", "Fatal Python error", "object address", "lost sys.stderr"):
        assert garbage not in rest, shown


def cut_short(error):
    """What the interpreter says of an exception whose traceback it cannot print to its end."""
    text = f"""
class Lost:
    def write(self, text): raise KeyboardInterrupt
    def flush(self): pass

import sys
sys.stderr = Lost()
raise {error}
"""
    return subprocess.run([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True, timeout=LONG).stderr


def test_a_traceback_that_another_ctrl_c_cuts_short_is_one_word_and_nothing_else_is():
    whole = "Traceback (most recent call last)\nKeyboardInterrupt\n"
    dump = cut_short("KeyboardInterrupt")
    for word in (whole, whole * 2, dump, dump + whole, "Traceback (most recent call last)\n  File" + dump):
        check_words("ready\n^C^C" + word, "two_ctrl_c")
    check_words("ready\n^C" + whole, "ctrl_c")
    for word, interruption in [("", "two_ctrl_c"), (whole * 3, "two_ctrl_c"), (dump + whole * 2, "two_ctrl_c"),
                       (dump * 2, "two_ctrl_c"), (cut_short("KeyError"), "two_ctrl_c"), (dump[:-4], "two_ctrl_c"),
                       (dump, "ctrl_c"), (dump, "sigterm")]:  # fmt: skip
        with pytest.raises(AssertionError):
            check_words("ready\n^C^C" + word, interruption)


@pytest.mark.parametrize(
    "interruption, phase",
    [("ctrl_c", phase) for phase in PHASES]
    + [("two_ctrl_c", phase) for phase in PHASES if phase != "numpy"]
    + [(interruption, phase) for interruption in INTERRUPTIONS if "ctrl_c" not in interruption for phase in ("map", "get", "exit", "pool")],
)
def test_a_script_that_is_interrupted_dies_of_the_signal_and_leaves_nothing(tmp_path, phase, interruption):
    interrupt, status = INTERRUPTIONS[interruption]
    with script(tmp_path, PHASES[phase]) as terminal:
        terminal.shows("ready\n")
        interrupt(terminal)
        ended = terminal.end()
        if phase == "exit" and ended == 0:  # before it was retinue's turn; the interpreter swallows that
            ignored = ("Exception ignored in: <module 'threading'", "Exception ignored on threading shutdown")  # from 3.13
            assert any(words in terminal.shown for words in ignored) and "_exit.py" not in terminal.shown
        else:
            assert ended == status, terminal.shown
        check_words(terminal.shown, interruption)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("interruption", ["ctrl_c", "hang_up", "sigkill"])
def test_workers_that_start_afresh_are_no_different(tmp_path, method, interruption):
    interrupt, status = INTERRUPTIONS[interruption]
    text = f"""
if __name__ == "__main__":
    import multiprocessing
    executor = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r}))
    executor.submit(abs, 1).result()
    ready()
    list(executor.map(time.sleep, long(50)))
"""
    with script(tmp_path, text) as terminal:
        terminal.shows("ready\n")
        interrupt(terminal)
        assert terminal.end() == status, terminal.shown
        check_words(terminal.shown, interruption)


@pytest.mark.parametrize("interruption", ["ctrl_c", "ctrl_backslash", "hang_up", "sigterm", "sigkill"])
def test_while_a_fresh_interpreter_imports_the_script(tmp_path, interruption):
    interrupt, status = INTERRUPTIONS[interruption]
    text = """
if __name__ == "__main__":
    import multiprocessing
    ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")).submit(abs, 1).result()
else:
    ready()
    time.sleep(100)
"""
    with script(tmp_path, text) as terminal:
        terminal.shows("ready\n")
        interrupt(terminal)
        assert terminal.end() == status, terminal.shown
        check_words(terminal.shown, interruption)


def test_a_script_that_handles_ctrl_c_goes_on_and_loses_no_task(tmp_path):
    text = """
import signal
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append("INT"))
signal.signal(signal.SIGHUP, lambda *_: seen.append("HUP"))
executor = ProcessPoolExecutor(2)
executor.submit(abs, 1).result()
ready()
reported = 0
while len(seen) < 4:
    assert list(executor.map(abs, range(-100, 0))) == list(range(100, 0, -1))
    if reported < len(seen) < 4:
        reported = len(seen)
        print("seen", reported, flush=True)
assert seen == ["INT", "INT", "INT", "HUP"]
assert executor.stats()["workers_died"] == 0
executor.shutdown()
"""
    with script(tmp_path, text) as terminal:
        terminal.shows("ready\n")
        for pressed in (1, 2, 3):  # one by one: of signals that a process has not yet looked at, the kernel keeps one
            terminal.type(CTRL_C)
            terminal.shows(f"seen {pressed}\n")
        terminal.hang_up()
        assert terminal.end() == 0


def test_a_program_that_a_task_started_gets_ctrl_c_from_the_terminal_itself(tmp_path):
    text = """
import subprocess
executor = ProcessPoolExecutor(2)
future = executor.submit(subprocess.call, ["sh", "-c", "echo ready; exec sleep 100"])
future.result()
"""
    with script(tmp_path, text) as terminal:
        terminal.shows("ready\n")
        terminal.type(CTRL_C)
        assert terminal.end() == -signal.SIGINT, terminal.shown
        check_words(terminal.shown, "ctrl_c")


# At a prompt -----------------------------------------------------------------------------------------


def prompt(tmp_path):
    return Terminal([sys.executable, "-i", "-c", PREAMBLE + "executor = ProcessPoolExecutor(2); ready()"], tmp_path)


@pytest.mark.parametrize("command", ["list(executor.map(time.sleep, begun(long(50))))", "pool.map(time.sleep, begun(long(50)))",
                                     "for x in executor.map(time.sleep, begun(long(50))): pass\n"])  # fmt: skip
def test_at_a_prompt_ctrl_c_ends_a_map_and_the_pool_goes_on(tmp_path, command):
    with prompt(tmp_path) as terminal:
        terminal.shows("ready\n")
        terminal.type(b"pool = Pool(2); pool.map(abs, [1]); executor.submit(abs, 1).result(); print('go', 'on')\n")
        terminal.shows("go on\n")
        for pressed in (1, 2):
            terminal.type(command.encode() + b"\n")
            terminal.shows("it has begun\n", times=pressed)
            time.sleep(0.1)
            terminal.type(CTRL_C)
            terminal.shows("KeyboardInterrupt\n", times=pressed)
            terminal.type(b"print(executor.submit(abs, -30).result() + pool.apply(abs, (-3,)))\n")
            terminal.shows("33\n", times=pressed)
        terminal.type(b"exit()\n")
        assert terminal.end() == 0, terminal.shown
        assert terminal.shown.count("Traceback") == 2, terminal.shown


def test_a_session_that_has_seen_ctrl_c_finishes_its_work_at_its_end(tmp_path):
    with prompt(tmp_path) as terminal:
        terminal.shows("ready\n")
        terminal.type(b"print('waiting'); sleep()\n")
        terminal.shows("waiting\n")
        terminal.type(CTRL_C)
        terminal.shows("KeyboardInterrupt\n")
        terminal.type(b"fs = [executor.submit(time.sleep, 0.3) for _ in 'ab'] + [executor.submit(print, 'do' + 'ne')]\n")
        terminal.type(b"exit()\n")
        assert terminal.end() == 0, terminal.shown
        assert "done\n" in terminal.shown


def test_a_job_of_a_shell_is_stopped_and_fetched_back(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(PREAMBLE + """
executor = ProcessPoolExecutor(2)
total = 0
for n, x in enumerate(executor.map(time.sleep, [0.01] * 100)):
    if n == 10: ready()
print("complete:", n)
""")
    with Terminal(["sh", "-i"], tmp_path) as terminal:
        terminal.type(f"{sys.executable} {path}\n".encode())
        terminal.shows("ready\n")
        terminal.type(CTRL_Z)
        terminal.shows("Stopped")

        def stopped():
            return {state for name, state in processes_of_session(terminal.program).values() if name != "sh"} == {"T"}

        assert terminal.wait(stopped)
        terminal.type(b"fg\n")
        terminal.shows("complete: 99\n")
        terminal.type(b"exit $?\n")
        assert terminal.end() == 0, terminal.shown


# At random moments -----------------------------------------------------------------------------------


def test_at_random_moments_a_script_dies_of_ctrl_c_and_leaves_nothing(tmp_path):
    seed = int(os.environ.get("RETINUE_TEST_SEED", random.randrange(1 << 32)))
    moments = random.Random(seed)
    text = """
ready()
while True:
    with ProcessPoolExecutor(2) as executor:
        assert sum(executor.map(abs, range(-50, 0))) == 1275
        executor.submit(abs, 1)
"""
    for round in range(20):
        with script(tmp_path, text) as terminal:
            terminal.shows("ready\n")
            time.sleep(moments.uniform(0, 0.03))
            terminal.type(CTRL_C)
            # Python drops what is raised within a callback of a weak reference; a user would press it again.
            dropped = "Exception ignored in"
            assert terminal.wait(lambda: terminal.status is not None or dropped in terminal.shown), terminal.shown
            if terminal.status is None and not terminal.wait(lambda: terminal.status is not None, seconds=1):
                terminal.type(CTRL_C)
            reported = f"seed {seed}, round {round}: {terminal.shown}"
            assert terminal.end() == -signal.SIGINT, reported
            assert terminal.shown.count("Traceback") >= 1, reported
            for garbage in ("terminate called", "Process Retinue", "Fatal Python error"):
                assert garbage not in terminal.shown, reported
