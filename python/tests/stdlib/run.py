"""Runs the standard library's own tests of executors or of pools on retinue's classes.

    python run.py executors [--methods fork,spawn] [-k PART_OF_A_NAME]
    python run.py pools

Fails if a test fails that ``left_out.txt`` does not list, or if the list names a test that is not there.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from pathlib import Path

import listing

HERE = Path(__file__).resolve().parent
METHODS = ["fork", "spawn", "forkserver"]
# These are of futures, not of how workers start, and sleep for most of their time: under the first method only.
ONCE = ["WaitTest", "AsCompletedTest", "ProcessPoolExecutorTest.test_map_timeout"]
SKIPPED = 77  # to ctest
SECONDS_FOR_ALL = 240
SECONDS_FOR_THE_LAST_PROCESS = 5


def make_interpreter(folder: Path) -> Path:
    """An interpreter whose every process begins with retinue's classes in place, whatever flags it is started with."""
    import retinue

    venv.EnvBuilder(system_site_packages=True, symlinks=True).create(folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    paths = [str(Path(retinue.__file__).parents[1]), str(HERE), *(p for p in sys.path if p.endswith("-packages"))]
    (site_packages / "retinue_in_place.pth").write_text("\n".join([*paths, "import retinue_in_place", ""]))
    return folder / "bin" / "python"


def processes_of_session(session: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(path.parent.joinpath("cmdline").read_text().replace("\0", " ") + f"({path.parent.name})")
        except OSError:  # it has ended meanwhile
            pass
    return found


def run_in_session(
    command: list[str], environment: dict[str, str], cwd: Path, deadline: float
) -> tuple[int, list[str]]:
    """Runs a command until the deadline at the latest; kills all that it leaves behind. Gives its exit code and what was left."""
    process = subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True)
    try:
        try:
            code = process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler says where it was
            code = process.wait(SECONDS_FOR_THE_LAST_PROCESS)
        end = time.monotonic() + SECONDS_FOR_THE_LAST_PROCESS
        while (left := processes_of_session(process.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        return code, left
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Report:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.count: Counter[str] = Counter()

    def add(self, title: str, code: int, left: list[str], records: Path) -> set[str]:
        """Reads what a run has noted. Gives the names of all tests that there are."""
        found: set[str] = set()
        running = ended = None
        started = 0.0
        failed = skipped = False
        for line in records.read_text().splitlines() if records.exists() else []:
            note = json.loads(line)
            what, test, text = note["what"], note["test"], note["text"]
            if what == "found":
                found = set(text)
            elif what == "end":
                ended = True
            elif what == "start":
                running, started, failed, skipped = test, note["time"], False, False
            elif what == "skip":
                skipped = True
                self.count["skipped by themselves"] += 1
                print(f"{title}: skipped {test or text}: {text}")
            elif what == "failure":
                failed = True
                self.faults.append(f"{title}: {test} failed:\n{text}")
            elif what == "stop":
                running = None
                if not skipped:
                    self.count["failed" if failed else "passed"] += 1
                if (seconds := note["time"] - started) > 5:
                    print(f"{title}: {test} took {seconds:.1f} s")
        if running is not None:
            self.faults.append(f"{title}: {running} did not end")
        elif not ended or code != 0:
            self.faults.append(f"{title}: the run ended with code {code}")
        if left:
            self.faults.append(f"{title}: processes were left behind: {', '.join(left)}")
        return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["executors", "pools"])
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("-k", dest="pattern", default="", help="only tests whose name has this in it")
    parser.add_argument("--all", action="store_true", help="also what is left out, to see if the list still holds")
    options = parser.parse_args()
    if importlib.util.find_spec("test.test_concurrent_futures") is None:
        print("the standard library's tests are not installed; in Debian they are in libpython3.11-testsuite")
        return SKIPPED

    entries = listing.read(HERE / "left_out.txt")[options.kind]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    report = Report()
    deadline = time.monotonic() + SECONDS_FOR_ALL
    with tempfile.TemporaryDirectory(prefix="retinue-stdlib-") as name:
        folder = Path(name)
        python = make_interpreter(folder / "python")
        methods = options.methods.split(",")
        for method in methods:
            once = ONCE if method != methods[0] else []
            listed = listing.of_method(entries, method)
            breaking = [test for test, reason in listed.items() if reason == "break"]
            without = once if options.all else [*once, *listed]
            plans = {"": {"without": without}, "break": {"only": breaking}}
            for mode, names in plans.items():
                if mode and (options.kind == "pools" or not breaking):
                    continue
                title = " ".join(filter(None, [options.kind, method, mode]))
                plan, records = folder / "plan", folder / f"{title}.records"
                plan.write_text(json.dumps({"kind": options.kind, "method": method, "pattern": options.pattern, **names}))
                environment |= {"RETINUE_STDLIB_TESTS": mode, "RETINUE_STDLIB_METHOD": method}
                command = [str(python), "-m", "selected", str(plan), str(records)]
                code, left = run_in_session(command, environment, folder, deadline)
                found = report.add(title, code, left, records)
                if found and (gone := sorted(listed.keys() - found)):
                    report.faults.append(f"{title}: left_out.txt names tests that there are not: {', '.join(gone)}")
            report.count["left out"] += len(listed) - len(breaking)
    for fault in report.faults:
        print(fault, file=sys.stderr)
    print(f"{options.kind}: " + ", ".join(f"{n} {what}" for what, n in sorted(report.count.items())))
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
