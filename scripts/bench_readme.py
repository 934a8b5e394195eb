"""Writes README's table of figures, out of those that stand in docs/benchmarks.md. scripts/bench does so at its end.

    python3 scripts/bench_readme.py            writes it
    python3 scripts/bench_readme.py --check    says whether README has it as it would be written; a test
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
README = TOP / "README.md"
BENCHMARKS = TOP / "docs/benchmarks.md"
BEGIN = "<!-- figures: written by scripts/bench out of docs/benchmarks.md -->\n\n"
END = "\n<!-- figures: end -->\n"
UNITS = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9, "MB": 1.0}


@dataclass
class Row:
    """A line of README's table: where in docs/benchmarks.md its figures are."""

    what: str
    section: str
    row: str  # with a * for several rows: then the lowest and the highest figure are given
    column: str
    unit: str = ""  # what stands after retinue's figure
    rivals: dict = field(default_factory=dict)  # words -> column, or (row, column)


FUTURES, POOL = "`concurrent.futures`", "`multiprocessing.Pool`"
SUBMIT = "`submit` all, then `get` all"
OURS, CPP, THREADS = "**retinue.futures**", "**ProcessPool**, 2 workers", "oneTBB `task_group`, threads"
COPY = "one `pwrite` into a new file in memory"
TASKS, TRIPS, FIRST = "Python: tasks", "Python: round trips in company", "Python: an array, the first time"
PWRITE = "one `pwrite`, a new file in memory"
BUSY = "a busy neighbour for each other CPU"
ROWS = [
    Row("Python: `map` of tiny tasks, one by one", TASKS, "`map`, unchunked", OURS, "a task",
        {FUTURES: FUTURES, POOL: POOL, "pebble": "pebble", "mpire": "mpire"}),
    Row("Python: `map` of tiny tasks in a crowded process", TASKS, "`map`, unchunked, crowded", OURS, "a task",
        {FUTURES: FUTURES, POOL: POOL}),
    Row("Python: `map` where rivals may make chunks", TASKS, "`map`, chunks allowed", OURS,
        "a task", {FUTURES: FUTURES, POOL: POOL, "joblib": "joblib (loky)"}),
    Row("Python: `submit(...).result()`, median", TASKS, "round trip, median", OURS, "",
        {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: `submit(...).result()`, p90", TRIPS, "alone, p90", OURS, "", {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: `submit(...).result()` in a crowded process, p90", TRIPS, "crowded, p90", OURS, "",
        {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: `submit(...).result()` beside busy neighbours, mean", TRIPS, f"{BUSY}, mean", OURS, "",
        {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: how much of its CPU a busy neighbour then keeps", TRIPS, f"{BUSY}, neighbours keep",
        OURS, "", {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: pool made, one task, closed", TASKS, "pool made, one task, closed, median", OURS,
        "", {FUTURES: FUTURES, POOL: POOL}),
    Row("Python: pool made, one task, closed, in a process of 300 MB", TASKS, "the same in a process of 300 MB, median", OURS,
        "", {FUTURES: FUTURES, POOL: POOL}),
    Row("Python: 100 MB NumPy array to a task, the first time", FIRST, "100 MB argument, the first time", OURS, "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "Ray": "Ray", COPY: PWRITE}),
    Row("Python: 100 MB NumPy array to a task, after 3 s without one", FIRST, "100 MB argument, after 3 s", OURS, "",
        {"Ray": "Ray"}),
    Row("Python: 100 MB NumPy array to a task, again and again", "As an argument", "100 MB argument", OURS, "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "one `memcpy` into fresh memory": "one `memcpy`, fresh memory"}),
    Row("Python: 100 MB NumPy array made by a task, the first time", FIRST, "100 MB result, the first time", OURS, "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "Ray": "Ray", f"made here, {COPY}": PWRITE}),
    Row("Python: 100 MB NumPy array made by a task, again and again", "As a result", "100 MB result", OURS, "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "made here, without any task": "`numpy.ones` here"}),
    Row("Python: `retinue.shared_array` to a task, 1 KB to 1 GB", "Shared", "* shared, round trip", "`retinue.shared_array`", "",
        {"an `int`": "an `int`"}),
    Row("Python: 10,000 tasks on one table of 1 GB: how often it is in memory", "Memory",
        "10,000 tasks on one 1 GB table, memory", OURS, "", {"joblib": "joblib (loky)"}),
    Row("C++: `map` of tiny tasks, one by one", "Tiny tasks", "`map`", CPP, "a task",
        {THREADS: (SUBMIT, "oneTBB `task_group`, 2 threads"), "`std::async`": (SUBMIT, "`std::async`")}),
    Row("C++: `submit` of all, then `get` of all", "Tiny tasks", SUBMIT, CPP,
        "a task", {THREADS: "oneTBB `task_group`, 2 threads", "`std::async`": "`std::async`"}),
    Row("C++: round trip, median", "Round trips", "warm, median", CPP, "",
        {"spinning ping-pong of two bare processes": "spinning ping-pong", "`std::async`": "`std::async`"}),
    Row("C++: round trip, p90", "Round trips in company", "alone, p90", CPP, "", {"fork and pipe": "fork and pipe"}),
    Row("C++: round trip in a crowded process, p90", "Round trips in company", "crowded, p90", CPP, "",
        {"fork and pipe": "fork and pipe"}),
    Row("C++: 100 MB `vector` to a task, the first time", "Payloads, the first time", "100 MB argument, the first time", CPP, "",
        {"fork and pipe": "fork and pipe", COPY: PWRITE}),
    Row("C++: 100 MB `vector` to a task, again and again", "Payloads", "100 MB argument", CPP, "",
        {"fork and pipe": "fork and pipe", "one `memcpy` into fresh memory": "one `memcpy`, fresh memory"}),
    Row("C++: 100 MB `vector` made by a task, again and again", "Payloads", "100 MB result, median", CPP, "",
        {"fork and pipe": "fork and pipe", "a `vector` copied here": "a vector copied here"}),
    Row("C++: fib list, two workers to one", "From one worker to two", "fib list", CPP, "",
        {THREADS: "oneTBB `task_group`, 2 threads"}),
]


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


@dataclass(frozen=True)
class Figure:
    """As it stands in a cell: `611 ns [591 ns – 6.72 µs] (0.07×)`, of which what is in brackets may be missing."""

    value: str
    spread: str = ""

    @classmethod
    def of(cls, cell):
        found = re.fullmatch(r"(.*?)(?: \[(.*)\])?(?: \(.*\))?", cell)
        return cls(found[1], found[2] or "")

    def __str__(self):
        return self.value + (f" ({self.spread})" if self.spread else "")

    def size(self):
        number, _, unit = self.value.partition(" ")
        return float(number.rstrip("×")) * UNITS.get(unit, 1.0)


def tables_of(text):
    """tables[heading][row][column]: a figure with its unit; and by heading, the program that repeats it."""
    tables, programs, headings, columns = {}, {}, [], []
    for line in text.splitlines():
        if line.startswith("#"):
            if line.startswith("## "):
                headings = []
            headings.append(line.lstrip("# "))
            columns = []
        elif line.startswith("| | "):
            columns = cells_of(line[2:])
        elif line.startswith("| ") and columns and not line.startswith("| ---"):
            name, *figures = cells_of(line)
            tables.setdefault(headings[-1], {})[name] = dict(zip(columns, map(Figure.of, figures), strict=True))
        elif found := re.match(r"`bench/(?:python/)?(\w+)\.\w+`, ", line):
            programs |= dict.fromkeys(headings, found[1])
    return tables, programs


def figures_of(tables, section, row, column):
    """What stands there, the lowest and the highest if it is several rows; nothing if it was not measured."""
    found = [columns.get(column, Figure("–")) for name, columns in tables.get(section, {}).items() if fnmatchcase(name, row)]
    found = sorted((figure for figure in found if figure.value != "–"), key=Figure.size)
    return list(dict.fromkeys(found[:1] + found[-1:]))


def own_cell(figures, unit):
    cell = "**" + " to ".join(figure.value for figure in figures) + "**" + (f" {unit}" if unit else "")
    return cell + (f" ({figures[0].spread})" if len(figures) == 1 and figures[0].spread else "")


def table(tables, programs):
    """The table, and what of it is not in docs/benchmarks.md."""
    lines, missing = ["| | retinue | beside it | program |", "| --- | ---: | --- | --- |"], []
    for row in ROWS:
        own = figures_of(tables, row.section, row.row, row.column)
        if not own:
            missing.append(row.what)
            continue
        beside = []
        for words, place in row.rivals.items():
            place = (row.row, place) if isinstance(place, str) else place
            if found := figures_of(tables, row.section, *place):
                beside.append(f"{words}: {' to '.join(map(str, found))}")
        lines.append(f"| {row.what} | {own_cell(own, row.unit)} | {'; '.join(beside)} | `{programs[row.section]}` |")
    return "\n".join(lines) + "\n", missing


def with_table(readme, text):
    before, found, rest = readme.partition(BEGIN)
    _, found_too, after = rest.partition(END)
    if not (found and found_too):
        sys.exit(f"bench_readme.py: README.md has not the lines\n{BEGIN}and{END}")
    lines, missing = table(*tables_of(text))
    return before + BEGIN + lines + END + after, missing


def wanted():
    """README as it is to be, and what has no figure yet."""
    return with_table(README.read_text(), BENCHMARKS.read_text())


def write():
    """Gives what has no figure yet, and so no line."""
    text, missing = wanted()
    README.write_text(text)
    return missing


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        for what in write():
            print(f"no figure yet: {what}", file=sys.stderr)
    elif README.read_text() != wanted()[0]:
        sys.exit("README.md has not the table that docs/benchmarks.md gives: python3 scripts/bench_readme.py writes it")


if __name__ == "__main__":
    main()
