"""Frozen programs, imitated: sys.frozen is set, and sys.executable is a program that runs the main module whatever it is given."""

import subprocess
import sys
import textwrap

import pytest

# What a freezer's boot code does before the main module is run. With "hooked" it has also replaced freeze_support, as those
# do who know multiprocessing; without, that of multiprocessing does nothing here.
BOOT = """
import os, runpy, sys
sys.frozen, sys.executable = True, {program!r}
import multiprocessing, multiprocessing.spawn
multiprocessing.set_executable(sys.executable)
def freeze_support():
    if sys.argv[-2:-1] == ["-c"]:  # what looks after locks
        exec(sys.argv[-1])
        sys.exit()
    multiprocessing.spawn.freeze_support()
if {hooked}:
    multiprocessing.freeze_support = freeze_support
with open({starts!r}, "a") as file:
    file.write("start\\n")
runpy.run_path({main!r}, run_name="__main__")
"""

BEGIN = """
IMPORT

def square(x):
    return x * x

def set_up(lock):
    global LOCK
    LOCK = lock

def locked(x):
    with LOCK:
        return x

"""

MAIN = """
def main():
    with open("main.txt", "a") as file:
        file.write("main\\n")
    context = multiprocessing.get_context(METHOD)
    with ProcessPoolExecutor(2, context) as pool:
        assert list(pool.map(square, range(5))) == [0, 1, 4, 9, 16]
        assert pool.submit(lambda x: square(x) + 1, 2).result() == 5
    with Pool(1, context=context) as pool:
        assert pool.map(square, [2]) == [4]
        assert pool.apply(nested) == 9
    if LOCKS:
        with ProcessPoolExecutor(1, context, initializer=set_up, initargs=(context.Lock(),)) as pool:
            assert pool.submit(locked, 3).result() == 3
    print("all is well")

def nested():
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(square, 3).result()

if __name__ == "__main__":
    FREEZE_SUPPORT
    main()
"""


def freeze(folder, main, hooked):
    """A program, as a path."""
    program, boot = folder / "program", folder / "boot.py"
    (folder / "main.py").write_text(textwrap.dedent(main))
    names = {"program": str(program), "starts": str(folder / "starts.txt"), "main": str(folder / "main.py")}
    boot.write_text(BOOT.format(hooked=hooked, **names))
    # Flags of the interpreter are none of its own either.
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {boot} "$@"\n')
    program.chmod(0o755)
    return str(program)


def run(folder, program):
    ended = subprocess.run([program], cwd=folder, capture_output=True, text=True, timeout=50)
    starts = (folder / "starts.txt").read_text().count("start")
    mains = (folder / "main.txt").read_text().count("main") if (folder / "main.txt").exists() else 0
    return ended, starts, mains


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    "imported, support, hooked, locks",
    [
        ("first", "multiprocessing.freeze_support()", True, True),
        ("late", "multiprocessing.freeze_support()", True, True),
        ("first", "multiprocessing.freeze_support()", False, False),
        ("late", "retinue.multiprocessing.freeze_support()", False, True),
        ("first", "pass", False, False),
        ("first", "pass", True, False),
    ],
)
def test_a_frozen_program_does_not_start_anew_for_its_workers(method, imported, support, hooked, locks, tmp_path):
    ours = "import retinue.multiprocessing; from retinue.futures import ProcessPoolExecutor; from retinue.multiprocessing import Pool"
    begin, main = BEGIN.replace("IMPORT", f"import multiprocessing; {ours if imported == 'first' else ''}"), MAIN
    if imported == "late":
        main = main.replace("    FREEZE_SUPPORT\n    main()", f"    FREEZE_SUPPORT\n    {ours}\n    main()")
        if "retinue" in support:
            support = f"{ours}; {support}"
    main = main.replace("METHOD", repr(method)).replace("LOCKS", str(locks)).replace("FREEZE_SUPPORT", support)
    ended, starts, mains = run(tmp_path, freeze(tmp_path, begin + main, hooked))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (ended.stdout, ended.stderr) == ("all is well\n", "")
    assert mains == 1
    # One for each pool that is made anew, and for what looks after locks; pools of workers are forked.
    assert starts == (5 if locks else 3)


def test_one_that_never_gets_to_freeze_support_says_so_and_starts_no_further(tmp_path):
    main = BEGIN.replace("IMPORT", "import multiprocessing; from retinue.futures import ProcessPoolExecutor") + """
if __name__ == "__main__":
    with open("main.txt", "a") as file:
        file.write("main\\n")
    if not __name__:
        multiprocessing.freeze_support()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        pool.submit(square, 2).result()
"""
    ended, starts, mains = run(tmp_path, freeze(tmp_path, main, hooked=True))
    assert ended.returncode == 1
    assert (starts, mains) == (2, 2)
    assert "must be multiprocessing.freeze_support()" in ended.stderr


def test_processes_of_multiprocessing_itself_are_left_to_it(tmp_path):
    main = """
import multiprocessing
import retinue.futures

def work(end):
    end.send(3)

if __name__ == "__main__":
    multiprocessing.freeze_support()
    context = multiprocessing.get_context("spawn")
    end, there = context.Pipe()
    child = context.Process(target=work, args=(there,))
    child.start()
    print(end.recv())
    child.join()
"""  # and it starts what looks after locks
    ended, starts, mains = run(tmp_path, freeze(tmp_path, main, hooked=True))
    assert (ended.stdout, ended.returncode, starts) == ("3\n", 0, 3), ended.stderr
