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
ROWS = [
    Row("Python: `map` of tiny tasks, one by one", "Python: tasks", "`map`, unchunked", "**retinue.futures**", "a task",
        {FUTURES: FUTURES, POOL: POOL, "pebble": "pebble", "mpire": "mpire"}),
    Row("Python: the same, where rivals may make chunks", "Python: tasks", "`map`, chunks allowed", "**retinue.futures**",
        "a task", {FUTURES: FUTURES, POOL: POOL, "joblib": "joblib (loky)"}),
    Row("Python: `submit(...).result()`", "Python: tasks", "round trip, median", "**retinue.futures**", "",
        {FUTURES: FUTURES, "`Pool.apply`": POOL}),
    Row("Python: pool made, one task, closed", "Python: tasks", "pool made, one task, closed, median", "**retinue.futures**",
        "", {FUTURES: FUTURES, POOL: POOL}),
    Row("Python: 100 MB NumPy array to a task", "As an argument", "100 MB argument", "**retinue.futures**", "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "one `memcpy` into fresh memory": "one `memcpy`, fresh memory"}),
    Row("Python: 100 MB NumPy array made by a task", "As a result", "100 MB result", "**retinue.futures**", "",
        {FUTURES: FUTURES, "joblib": "joblib (loky)", "made here, without any task": "`numpy.ones` here"}),
    Row("Python: `retinue.shared_array` to a task, 1 KB to 1 GB", "Shared", "* shared, round trip", "`retinue.shared_array`", "",
        {"an `int`": "an `int`"}),
    Row("Python: 10,000 tasks on one table of 1 GB: how often it is in memory", "Memory",
        "10,000 tasks on one 1 GB table, memory", "**retinue.futures**", "", {"joblib": "joblib (loky)"}),
    Row("C++: `map` of tiny tasks, one by one", "Tiny tasks", "`map`", "**ProcessPool**, 2 workers", "a task",
        {"oneTBB `task_group`, threads": (SUBMIT, "oneTBB `task_group`, 2 threads"), "`std::async`": (SUBMIT, "`std::async`")}),
    Row("C++: `submit` of all, then `get` of all", "Tiny tasks", SUBMIT, "**ProcessPool**, 2 workers",
        "a task", {"oneTBB `task_group`, threads": "oneTBB `task_group`, 2 threads", "`std::async`": "`std::async`"}),
    Row("C++: round trip", "Round trips", "warm, median", "**ProcessPool**, 2 workers", "",
        {"spinning ping-pong of two bare processes": "spinning ping-pong", "`std::async`": "`std::async`"}),
    Row("C++: fib list, two workers to one", "From one worker to two", "fib list", "**ProcessPool**, 2 workers", "",
        {"oneTBB `task_group`, threads": "oneTBB `task_group`, 2 threads"}),
]


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def tables_of(text):
    """tables[heading][row][column]: a figure with its unit."""
    tables, heading, columns = {}, "", []
    for line in text.splitlines():
        if line.startswith("#"):
            heading, columns = line.lstrip("# "), []
        elif line.startswith("| | "):
            columns = cells_of(line[2:])
        elif line.startswith("| ") and columns and not line.startswith("| ---"):
            name, *figures = cells_of(line)
            figures = [re.sub(r" \(.*\)$", "", figure) for figure in figures]
            tables.setdefault(heading, {})[name] = dict(zip(columns, figures, strict=True))
    return tables


def size_of(figure):
    number, _, unit = figure.partition(" ")
    return float(number.rstrip("×")) * UNITS.get(unit, 1.0)


def figure_of(tables, section, row, column):
    """What stands there, from the lowest to the highest if it is several rows; empty if it was not measured."""
    found = [columns.get(column, "–") for name, columns in tables.get(section, {}).items() if fnmatchcase(name, row)]
    found = sorted((figure for figure in found if figure != "–"), key=size_of)
    return " to ".join(dict.fromkeys(found[:1] + found[-1:]))


def table(tables):
    lines = ["| | retinue | beside it |", "| --- | ---: | --- |"]
    for row in ROWS:
        own = figure_of(tables, row.section, row.row, row.column)
        if not own:
            sys.exit(f"bench_readme.py: docs/benchmarks.md has no figure for '{row.section}', '{row.row}', '{row.column}'")
        beside = []
        for words, place in row.rivals.items():
            place = (row.row, place) if isinstance(place, str) else place
            if figure := figure_of(tables, row.section, *place):
                beside.append(f"{words}: {figure}")
        lines.append(f"| {row.what} | **{own}**{' ' if row.unit else ''}{row.unit} | {'; '.join(beside)} |")
    return "\n".join(lines) + "\n"


def with_table(readme, tables):
    before, found, rest = readme.partition(BEGIN)
    _, found_too, after = rest.partition(END)
    if not (found and found_too):
        sys.exit(f"bench_readme.py: README.md has not the lines\n{BEGIN}and{END}")
    return before + BEGIN + table(tables) + END + after


def wanted():
    """README as it is to be."""
    return with_table(README.read_text(), tables_of((TOP / "docs/benchmarks.md").read_text()))


def write():
    README.write_text(wanted())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write()
    elif README.read_text() != wanted():
        sys.exit("README.md has not the table that docs/benchmarks.md gives: python3 scripts/bench_readme.py writes it")


if __name__ == "__main__":
    main()
