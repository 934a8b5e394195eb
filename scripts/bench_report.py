"""Runs the benchmark programs of build/release/bench and writes docs/benchmarks.md and README's table of figures.

Called by scripts/bench, which builds them. A benchmark is named `row/column`; each of its counters is a
line of the table of its program, and the last word of a counter's name is its unit. Figures are medians over the
repetitions, which are shuffled between all benchmarks of one program: by Google Benchmark, and for those in Python
by bench/python/measure.py, which writes its figures in the same form.
"""

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bench_readme
from bench_tables import AVERAGED, COLUMNS, COUNTERS, PROGRAMS
from bench_targets import TARGETS

TOP = Path(__file__).resolve().parent.parent
PYTHON = TOP / ".venv/bin/python"
PROGRAMS_FOLDER = TOP / "build/release/bench"
BY_HAND = "## Limits and endurance"
DEADLINE_S = 1800  # for all programs together
NOISY = 1.5  # a figure whose highest repetition is above so many times its lowest is shown with both

# Figures -----------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What one program measured: samples[row][column][counter], the errors of what failed, and why what is left out."""

    samples: dict
    errors: list
    left_out: dict
    date: str
    load: float
    cpus: int
    repetitions: int

    def all(self, row, column, counter):
        return self.samples.get(row, {}).get(column, {}).get(counter, [])

    def figure(self, row, column, counter):
        """The median of the repetitions; of a share, their mean."""
        values = self.all(row, column, counter)
        if not values:
            return None
        return statistics.fmean(values) if counter in AVERAGED else statistics.median(values)

    def spread(self, row, column, counter):
        """The lowest and the highest repetition where they are far apart; else None."""
        values = self.all(row, column, counter)
        if counter.endswith("_ns") and values and max(values) > NOISY * min(values):
            return min(values), max(values)
        return None


def read_figures(path):
    raw = json.loads(path.read_text())
    samples, errors, left_out, repetitions = {}, [], {}, 0
    for run in raw["benchmarks"]:
        row, column = run["run_name"].split("/")[:2]
        if run.get("run_type") == "not measured":
            left_out[f"{row}, {COLUMNS[column]}"] = run["reason"]
        if run.get("run_type") != "iteration":
            continue
        if run.get("error_occurred"):
            errors.append(f"{row}/{column}: {run.get('error_message', 'failed')}")
            continue
        repetitions = max(repetitions, run.get("repetition_index", 0) + 1)
        cell = samples.setdefault(row, {}).setdefault(column, {})
        for key, value in run.items():
            if key in COUNTERS:
                cell.setdefault(key, []).append(value)
    context = raw["context"]
    load = (context.get("load_avg") or [0.0])[0]
    return Figures(samples, sorted(set(errors)), left_out, context["date"][:10], load, context["num_cpus"], repetitions)


def shown(value, counter):
    """A value with its unit, in three digits."""
    if value is None:
        return "–"
    unit = counter.rsplit("_", 1)[-1]
    if unit == "ns":
        for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)):
            if abs(value) >= scale or unit == "ns":
                return f"{digits(value / scale)} {unit}"
    if unit == "x":
        return f"{value:.2f}×"
    if unit == "mb":
        return f"{value:.1f} MB"
    if unit == "percent":
        return f"{value:.1f} %"
    return digits(value)


def digits(value):
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


# The table of targets -----------------------------------------------------------------------------


def target_lines(figures):
    lines = [
        "| target | reach | median | lowest – highest | rival in the same run | ratio | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for target in TARGETS:
        program = figures.get(target.program)
        values = program.all(*target.cell) if program else []
        if not values:
            lines.append(f"| {target.what} | {target.limit} | – | | | | not measured |")
            continue
        value, counter = program.figure(*target.cell), target.cell[2]
        rival = program.figure(*target.rival) if target.rival else None
        beside = f"{target.rival_name}: {shown(rival, counter)}" if rival is not None else ""
        ratio = ""
        if rival:
            ratio = f"1/{rival / value:.0f}" if 20 * value < rival else f"{value / rival:.2f}×"
        if target.per_rival and ratio:
            ratio = f"**{ratio}**"
        verdict = "reached" if target.reached(value, rival) else "**missed**"
        if target.per_rival and rival is None:
            verdict = f"{target.rival_name} not measured"
        spread = f"{shown(min(values), counter)} – {shown(max(values), counter)}"
        lines.append(f"| {target.what} | {target.limit} | {shown(value, counter)} | {spread} | {beside} | {ratio} "
                     f"| {verdict} |")
    return lines


# The report --------------------------------------------------------------------------------------


def table_lines(program, figures, part=None):
    rows = [row for row in figures.samples if part is None or re.match(part.rows, row)]
    present = {column for row in rows for column in figures.samples[row]}
    columns = [column for column in COLUMNS if column in present]
    order = {name: i for i, name in enumerate(program.rows)}
    rows.sort(key=lambda row: (order.get(row, len(order)), position_of(row), row))
    own = part.columns if part else program.columns
    labels = [own.get(column, COLUMNS[column]) for column in columns]
    lines = ["| | " + " | ".join(labels) + " |", "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        counters = [c for c in COUNTERS if any(figures.all(row, column, c) for column in columns)]
        counters = [c for c in counters if c not in program.hidden]
        for counter in counters:
            name = program.rows.get(row, row) + (f", {COUNTERS[counter]}" if len(counters) > 1 else "")
            base = figures.figure(row, columns[0], counter)
            cells = []
            for column in columns:
                value = figures.figure(row, column, counter)
                cell = shown(value, counter)
                if spread := figures.spread(row, column, counter):
                    cell += " [" + " – ".join(shown(end, counter) for end in spread) + "]"
                if value is not None and base and column != columns[0] and counter.endswith("_ns"):
                    cell += f" ({digits(value / base)}×)"
                cells.append(cell)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def position_of(row):
    """Rows that name a size or a time stand in the order of those, the rest as they come by name."""
    match = re.match(r"(\d+) (B|KB|MB|GB|us|ms)\b(.*)", row)
    if not match:
        return -1.0
    scale = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "us": 1e3, "ms": 1e6}[match[2]]
    return float(match[1]) * scale + (1e12 if "result" in match[3] else 0.0)


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine_lines():
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    virtual = ", a virtual machine" if re.search(r"flags\s*:.*\bhypervisor\b", cpuinfo) else ""
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    cache = TOP / "build/release/CMakeCache.txt"
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", cache.read_text() if cache.exists() else "")
    version = output_of(compiler[1] if compiler else "c++", "--version").split("\n")[0]
    flags = re.search(r"CMAKE_CXX_FLAGS_RELEASE:\w+=(.*)", cache.read_text() if cache.exists() else "")
    packages = [line for line in output_of("dpkg-query", "-W", "-f=${Package} ${Version}\n", "libbenchmark-dev",
                                           "libtbb-dev").split("\n") if line]
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return [
        f"- CPU: {model[1].strip() if model else platform.machine()}, {os.cpu_count()} cores{virtual}, "
        f"{int(memory[1]) / 2**20 if memory else 0:.0f} GB of memory",
        f"- Kernel: Linux {platform.release()}; {system[1] if system else ''}",
        f"- Compiler: {version}, `{flags[1] if flags else ''}`",
        f"- Packages: {', '.join(packages)}" if packages else "- Packages: unknown",
    ]


def report(figures):
    dates = sorted({f.date for f in figures.values()})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    out = [
        "# Benchmarks",
        "",
        "Written by `scripts/bench`; change words there, in `scripts/bench_report.py`, `scripts/bench_tables.py` and `scripts/bench_targets.py`. Only the "
        f"last section, {BY_HAND[3:]}, is written by hand. To repeat:",
        "",
        "    scripts/bench                    # all, about a quarter of an hour on a quiet machine",
        "    scripts/bench --only tiny_tasks  # one program of bench/",
        "",
        f"Measured {days} on",
        "",
        *machine_lines(),
        "",
        "Every figure is the median over its repetitions. Repetitions of all rivals in a table are shuffled among "
        "each other, so that what disturbs one disturbs all; what counts are ratios within one table. In round "
        "brackets: the figure divided by the one in the first column. In square brackets: the lowest and the highest "
        f"repetition, where they are more than {NOISY}× apart. Every benchmark checks what it computes. Each rival in Python has "
        "a process of its own; those that bring processes working in the background end before the next is measured.",
        "",
        "## Targets",
        "",
        *target_lines(figures),
    ]
    for program in PROGRAMS:
        if program.name not in figures:
            continue
        result = figures[program.name]
        out += ["", f"## {program.title}", "", program.words, ""]
        if program.image:
            out += [f"![{program.alternative}]({program.image})", ""]
        for part in program.parts:
            out += [f"### {part.title}", "", part.words, "", *table_lines(program, result, part), ""]
        if not program.parts:
            out += [*table_lines(program, result), ""]
        note = f"`{program.path}`, {result.repetitions} repetitions, {result.date}; `scripts/bench --only {program.name}`."
        if result.load > 0.5 * result.cpus:
            note += f" **The machine was busy with other things**: load {result.load:.1f} when this began."
        out.append(note)
        if result.left_out:
            out += ["", "Not measured: " + "; ".join(f"{cell}: {why}" for cell, why in result.left_out.items()) + "."]
        out += [f"Failed: {error}" for error in result.errors]
    return "\n".join(out) + "\n"


def written_by_hand():
    """The end of the report there is, with what takes too long to be measured each time."""
    old = (TOP / "docs/benchmarks.md").read_text()
    at = old.find("\n" + BY_HAND + "\n")
    return old[at:] if at >= 0 else ""


def draw(program, figures, place):
    """The program's image beside the report at `place`, by the Python that has matplotlib; the trouble, or None."""
    image = place.parent / program.image
    image.parent.mkdir(parents=True, exist_ok=True)
    command = [str(PYTHON), str(TOP / "scripts/bench_plot.py"), str(figures), str(image)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        return f"{program.image} cannot be drawn: {error}"
    last = (done.stdout.strip() or "no words").split("\n")[-1]
    return f"{program.image} cannot be drawn: {last}" if done.returncode else None


# Running -----------------------------------------------------------------------------------------


def run(program, into, quick, seconds):
    """Runs one program; the trouble as a string, or None."""
    environment = dict(os.environ)
    environment.pop("RETINUE_BENCH_QUICK", None)
    if quick:
        environment["RETINUE_BENCH_QUICK"] = "1"
    partial = into.with_suffix(".partial")
    command = [
        str(PROGRAMS_FOLDER / program.name),
        f"--benchmark_repetitions={3 if quick else program.repetitions}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_out={partial}",
        "--benchmark_out_format=json",
    ]
    if program.python:
        command = [str(PYTHON), str(TOP / program.path), f"--out={partial}"]
        command += ["--quick"] if quick else [f"--repetitions={program.repetitions}"]
    log = into.with_suffix(".log")
    with log.open("w") as output:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        except OSError as error:
            return f"cannot be run: {error}"
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"ran out of time after {seconds:.0f} s; its words are in {log.relative_to(TOP)}"
        except BaseException:
            process.kill()
            process.wait()
            raise
    if status != 0:
        how = f"died of {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
        return f"{how}; its words are in {log.relative_to(TOP)}"
    partial.replace(into)
    return None


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        choices=[program.name for program in PROGRAMS])
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()

    folder = TOP / "build/bench" / ("quick" if arguments.quick else "")
    folder.mkdir(parents=True, exist_ok=True)
    give_up_at = time.monotonic() + DEADLINE_S
    troubles = []
    for program in PROGRAMS:
        if arguments.report or (arguments.only and program.name not in arguments.only):
            continue
        start = time.monotonic()
        print(f"{program.name} ...", end=" ", flush=True)
        trouble = run(program, folder / f"{program.name}.json", arguments.quick, max(1.0, give_up_at - start))
        print(trouble or f"{time.monotonic() - start:.0f} s", flush=True)
        if trouble:
            troubles.append(f"{program.name} {trouble}")

    figures = {}
    for program in PROGRAMS:
        path = folder / f"{program.name}.json"
        if path.exists():
            figures[program.name] = read_figures(path)
            if not arguments.only or program.name in arguments.only:
                troubles += [f"{program.name}: {error}" for error in figures[program.name].errors]
    if not figures:
        sys.exit("scripts/bench: nothing has been measured yet")
    whole = not arguments.quick and len(figures) == len(PROGRAMS)
    place = TOP / "docs/benchmarks.md" if whole else folder / "benchmarks.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        if program.image and program.name in figures:
            trouble = draw(program, folder / f"{program.name}.json", place)
            troubles += [trouble] if trouble else []
    place.write_text(report(figures) + written_by_hand())
    if whole:
        troubles += [f"README.md has no figure for '{what}'" for what in bench_readme.write()]
    print()
    print("\n".join(target_lines(figures)))
    print(f"\nWritten: {place.relative_to(TOP)}")
    if not whole and not arguments.quick:
        print("docs/benchmarks.md and README.md stay as they are until every program has been measured here once")
    for trouble in troubles:
        print(f"scripts/bench: {trouble}", file=sys.stderr)
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
