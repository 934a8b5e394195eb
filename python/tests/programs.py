"""Programs of their own for tests: text that begins with what most of them import."""

import subprocess
import sys
import textwrap


METHODS = ["fork", "spawn", "forkserver"]

BEGIN = """
import multiprocessing, os, random, signal, sys, threading, time
import concurrent.futures
import retinue
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

METHOD = sys.argv[1]
CONTEXT = multiprocessing.get_context(METHOD)

def write(path):
    time.sleep(0.1)
    open(path, "w").close()

def square(x):
    return x * x

def wait_for(child):
    end = time.monotonic() + 30
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return "it did not end"
        time.sleep(0.001)
"""


def run(program, *arguments, method="fork", tmp_path, seconds=50):
    file = tmp_path / "program.py"
    file.write_text(BEGIN + textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, str(file), method, *arguments], timeout=seconds, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def folder_in(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
