"""coverage.py sees what workers run, in both of its ways, however the pool ends."""

import os
import subprocess
import sys

import pytest
from programs import METHODS

coverage = pytest.importorskip("coverage")

PROGRAM = """
import multiprocessing, sys
from retinue.futures import ProcessPoolExecutor
from retinue.multiprocessing import Pool

import work

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2] == "terminated":
        with context_pool(context) as pool:
            print(pool.map(work.in_a_task, range(4)))
    else:
        with ProcessPoolExecutor(2, context, initializer=work.in_an_initializer) as pool:
            print(list(pool.map(work.in_a_task, range(4))))
""".replace("context_pool(context)", "Pool(2, work.in_an_initializer, context=context)")

WORK = """
def in_a_task(x):
    if x % 2:
        y = x + 1
    else:
        y = x + 2
    return y


def in_an_initializer():
    global done
    done = True
"""

TASK_LINES = [3, 4, 6, 7]
INITIALIZER_LINES = [12]


def covered(folder):
    """The lines of work.py, once all data is combined."""
    combined = coverage.Coverage(config_file=str(folder / "rc"))
    combined.combine([str(folder)])
    return combined.get_data().lines(str(folder / "work.py"))


def run(folder, command, **environment):
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout == "[2, 2, 4, 4]\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "work.py").write_text(WORK)
    return tmp_path


@pytest.mark.parametrize("end", ["terminated", "shut down"])
@pytest.mark.parametrize("method", METHODS)
def test_by_its_patch_of_multiprocessing(folder, method, end):
    (folder / "rc").write_text(f"[run]\nconcurrency = multiprocessing\nparallel = True\ndata_file = {folder}/.coverage\n")
    run(folder, [sys.executable, "-m", "coverage", "run", "--rcfile=rc", "program.py", method, end])
    assert set(covered(folder)) >= {*TASK_LINES, *INITIALIZER_LINES}


@pytest.mark.parametrize("end", ["terminated", "shut down"])
@pytest.mark.parametrize("method", METHODS)
def test_by_what_starts_it_in_every_interpreter(folder, method, end):
    (folder / "rc").write_text(f"[run]\nparallel = True\ndata_file = {folder}/.coverage\n")
    # As a .pth file would.
    (folder / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    run(folder, [sys.executable, "program.py", method, end], COVERAGE_PROCESS_START=str(folder / "rc"), PYTHONPATH=path)
    assert set(covered(folder)) >= {*TASK_LINES, *INITIALIZER_LINES}


def test_what_it_measures_in_the_owner_is_noted_once(folder):
    (folder / "rc").write_text(f"[run]\nparallel = True\ndata_file = {folder}/.coverage\n")
    (folder / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    run(folder, [sys.executable, "program.py", "fork", "shut down"], COVERAGE_PROCESS_START=str(folder / "rc"),
        PYTHONPATH=str(folder))  # fmt: skip
    with_main = []
    for file in folder.glob(".coverage.*"):
        data = coverage.CoverageData(str(file))
        data.read()
        with_main.append(bool(data.lines(str(folder / "program.py"))))
    assert sorted(with_main) == [False, False, True]
