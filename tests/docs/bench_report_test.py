"""What the benchmarks write: the report's tables, README's, the verdicts, and how Python's rivals are kept apart."""

import json
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "bench/python")]

import bench_readme  # noqa: E402
import bench_report  # noqa: E402
import crowd  # noqa: E402
import measure  # noqa: E402
from bench_tables import AVERAGED, COLUMNS, COUNTERS, PROGRAMS, Program  # noqa: E402
from bench_targets import TARGETS, Target, ratio  # noqa: E402


def figures(samples):
    return bench_report.Figures(samples, [], {}, "2026-01-01", 0.0, 2, 3)


class Report(unittest.TestCase):
    def test_a_figure_is_the_median_and_a_share_the_mean(self):
        measured = figures({"alone": {"pipe": {"p90_ns": [1.0, 2.0, 9.0], "slow_percent": [0.0, 0.0, 30.0]}}})
        self.assertEqual(measured.figure("alone", "pipe", "p90_ns"), 2.0)
        self.assertEqual(measured.figure("alone", "pipe", "slow_percent"), 10.0)
        self.assertIsNone(measured.figure("alone", "pipe", "p99_ns"))

    def test_units(self):
        for value, counter, text in (
            (611.4, "median_ns", "611 ns"), (1.26e6, "first_ns", "1.26 ms"), (97.04, "kept_percent", "97.0 %"),
            (1.956, "speed_up_x", "1.96×"), (None, "median_ns", "–"),
        ):  # fmt: skip
            self.assertEqual(bench_report.shown(value, counter), text)

    def test_a_noisy_figure_shows_its_lowest_and_highest_repetition(self):
        program = Program("tiny", "Tiny", "")
        quiet, noisy = [100.0, 101.0, 102.0], [100.0, 110.0, 900.0]
        lines = bench_report.table_lines(program, figures({"a": {"retinue": {"median_ns": quiet}, "futures": {"median_ns": noisy}}}))
        self.assertEqual(lines[-1], "| a | 101 ns | 110 ns [100 ns – 900 ns] (1.09×) |")

    def test_verdicts(self):
        target = ratio("a", 1.5, "p", ("row", "retinue", "first_ns"), ("row", "joblib", "first_ns"), "joblib")
        old, bench_report.TARGETS = bench_report.TARGETS, [target]
        try:
            for ours, theirs, verdict in (
                ([150.0], [100.0], "reached"), ([151.0], [100.0], "**missed**"), ([150.0], [], "joblib not measured"),
                ([], [100.0], "not measured"),
            ):  # fmt: skip
                row = {"retinue": {"first_ns": ours}, "joblib": {"first_ns": theirs}}
                line = bench_report.target_lines({"p": figures({"row": row})})[-1]
                self.assertTrue(line.endswith(f"| {verdict} |"), line)
        finally:
            bench_report.TARGETS = old

    def test_targets_name_what_programs_have(self):
        programs = {program.name for program in PROGRAMS}
        for target in TARGETS:
            self.assertIsInstance(target, Target)
            self.assertIn(target.program, programs)
            for _, column, counter in filter(None, (target.cell, target.rival)):
                self.assertIn(column, COLUMNS, target.what)
                self.assertIn(counter, COUNTERS, target.what)
        self.assertEqual(len({target.what + target.limit for target in TARGETS}), len(TARGETS))
        self.assertLessEqual(set(AVERAGED), set(COUNTERS))

    def test_programs_are_files(self):
        for program in PROGRAMS:
            self.assertTrue((TOP / program.path).is_file(), program.path)


class Readme(unittest.TestCase):
    def sections(self):
        """{heading of a table: the columns it may have}"""
        for program in PROGRAMS:
            for part in program.parts or (program,):
                yield part.title, {part.columns.get(column, label) for column, label in COLUMNS.items()}

    def test_its_lines_name_what_tables_can_show(self):
        sections = dict(self.sections())
        for row in bench_readme.ROWS:
            self.assertIn(row.section, sections, row.what)
            places = [place if isinstance(place, str) else place[1] for place in row.rivals.values()]
            for column in (row.column, *places):
                self.assertIn(column, sections[row.section], row.what)

    def test_its_lines_are_of_rows_that_programs_label(self):
        """Where all of a program's rows have a label, README's line must be one of them, with a counter's words or without."""
        for program in PROGRAMS:
            for row in (row for row in bench_readme.ROWS if row.section == program.title and program.name != "payloads"):
                wanted = [row.row] + [place[0] for place in row.rivals.values() if not isinstance(place, str)]
                for name in wanted:
                    known = {label + more for label in program.rows.values()
                             for more in ("", *(f", {words}" for words in COUNTERS.values()))}  # fmt: skip
                    self.assertIn(name, known, row.what)

    def test_a_line_has_spread_rivals_and_the_program_that_repeats_it(self):
        row = bench_readme.Row("what", "Part", "a, p90", "**us**", "", {"them": "`them`", "nobody": "nobody"})
        text = textwrap.dedent("""
            ## Whole

            ### Part

            | | **us** | `them` |
            | --- | ---: | ---: |
            | a, p90 | 611 ns [591 ns – 6.72 µs] | 166 µs (271×) |

            `bench/python/python_tasks.py`, 5 repetitions, 2026-01-01; `scripts/bench --only python_tasks`.

            ## Other

            | | **us** |
            | --- | ---: |
            | a, p90 | 1 ns |

            `bench/idle.cpp`, 5 repetitions, 2026-01-01.
            """)
        old, bench_readme.ROWS = bench_readme.ROWS, [row, bench_readme.Row("gone", "Part", "b", "**us**")]
        try:
            lines, missing = bench_readme.table(*bench_readme.tables_of(text))
        finally:
            bench_readme.ROWS = old
        self.assertEqual(lines.splitlines()[-1], "| what | **611 ns** (591 ns – 6.72 µs) | them: 166 µs | `python_tasks` |")
        self.assertEqual(missing, ["gone"])


PROGRAM = """
import os, sys
sys.path.insert(0, {folder!r})
from measure import Benchmark, NotMeasured, arguments, run
def me():
    print("not an answer")
    return {{"pid_x": float(os.getpid())}}
def fail():
    raise ValueError("no")
def leave_out():
    raise NotMeasured("too long")
run([
    Benchmark("a", "retinue", me), Benchmark("b", "retinue", me), Benchmark("a", "futures", me),
    Benchmark("a", "joblib", me, fresh=True), Benchmark("c", "futures", me, at_most=1),
    Benchmark("a", "ray", me), Benchmark("b", "ray", me),
    Benchmark("fails", "futures", fail), Benchmark("dies", "mp_pool", lambda: os._exit(3)),
    Benchmark("left out", "futures", leave_out),
], arguments())
"""


class Processes(unittest.TestCase):
    def run_program(self, *more):
        with tempfile.TemporaryDirectory() as folder:
            program, out = Path(folder, "program.py"), Path(folder, "out.json")
            program.write_text(PROGRAM.format(folder=str(TOP / "bench/python")))
            command = [sys.executable, str(program), f"--out={out}", "--repetitions=3", *more]
            subprocess.run(command, check=True, timeout=100, stderr=subprocess.DEVNULL)
            runs = self.runs = json.loads(out.read_text())["benchmarks"]
            self.report = bench_report.read_figures(out)
        by_name = {}
        for run in runs:
            by_name.setdefault(run["run_name"], []).append(run)
        return by_name

    def pids(self, runs, *names):
        return {run["pid_x"] for name in names for run in runs[name]}

    def stretches(self, column):
        """How often what is measured changes to that column."""
        here = [run["run_name"].endswith(column) for run in self.runs]
        return sum(now and not before for before, now in zip([False, *here], here))

    def test_each_column_has_a_process_of_its_own(self):
        runs = self.run_program()
        self.assertEqual(len(runs["a/retinue"]), 3)
        self.assertEqual(len(self.pids(runs, "a/retinue", "b/retinue")), 1)
        self.assertEqual(len(self.pids(runs, "a/retinue", "a/futures")), 2)
        self.assertEqual(len(self.pids(runs, "a/joblib")), 3, "a new one each time")
        self.assertEqual(self.stretches("/ray"), len(self.pids(runs, "a/ray", "b/ray")), "it ends before another is measured")
        self.assertEqual(len(runs["c/futures"]), 1)
        self.assertEqual(sorted(set(self.report.errors)),
                         ["dies/mp_pool: RuntimeError: its process has ended", "fails/futures: ValueError: no"])
        self.assertEqual(self.report.left_out, {"left out, `concurrent.futures`": "too long"})

    def test_a_row_can_be_asked_for(self):
        self.assertEqual(set(self.run_program("--row=b")), {"b/retinue", "b/ray"})

    def test_what_works_in_the_background_is_measured_together(self):
        benchmarks = [measure.Benchmark(row, column, None) for row in "abc" for column in ("ray", "retinue")]
        columns = [benchmark.column for benchmark, _ in measure.plan(benchmarks, 4)]
        self.assertEqual(columns.count("ray"), 12)
        at = [i for i, column in enumerate(columns) if column == "ray"]
        self.assertTrue(all(at[i + 2] == at[i] + 2 for i in range(0, 12, 3)))

    def test_neighbours_count_until_they_are_sent_away(self):
        with crowd.Neighbours() as neighbours:
            pids = list(neighbours.pids)
            if neighbours.n:
                self.assertGreater(neighbours.count(), 0)
        for pid in pids:
            self.assertFalse(Path(f"/proc/{pid}").exists())


if __name__ == "__main__":
    unittest.main()
