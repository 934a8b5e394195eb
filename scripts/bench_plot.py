"""Draws docs/images/large-data.svg.

bench_report.py runs it in .venv, which has matplotlib.
"""

import argparse
import io
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

from bench_report import read_figures  # noqa: E402

PANELS = (("argument", "An array as an argument"), ("result", "An array as a result"))

# Colours that can be told from a white page and from a dark one; the page shows through.
TEXT = "#7d7d7d"
LINES = {
    "retinue": ("retinue", {"color": "#e8590c", "linewidth": 2.6, "marker": "o", "zorder": 5}),
    "futures": ("concurrent.futures", {"color": "#3b8ede", "marker": "s"}),
    "mp_pool": ("multiprocessing.Pool", {"color": "#2ba372", "marker": "^"}),
    "joblib": ("joblib (loky)", {"color": "#a974d8", "marker": "D"}),
    "ray": ("Ray", {"color": "#c2a000", "marker": "v"}),
    "shared": ("retinue.shared_array", {"color": "#e8590c", "linestyle": ":", "linewidth": 2.2}),
    "memcpy_fresh": ("one memcpy, fresh memory", {"color": TEXT, "linestyle": "--"}),
}


def decades(units, end):
    """{10: "10 KB"} and so on: `units` are (name, exponent of ten), `end` is the last exponent."""
    exponents = [(unit, first + i, i) for unit, first in units for i in range(3) if first + i <= end]
    return {10**exponent: f"{10**i} {unit}" for unit, exponent, i in exponents}


SIZES = decades((("KB", 3), ("MB", 6), ("GB", 9)), 9)
TIMES = decades((("ns", 0), ("µs", 3), ("ms", 6), ("s", 9)), 11)

STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "large-data",  # the same names inside whenever it is drawn
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}


def points_of(figures, way, column):
    """(size, median) of what was measured. A shared array is an argument of any size."""
    row = "{} shared, round trip" if column == "shared" and way == "argument" else f"{{}} {way}"
    medians = ((size, figures.figure(row.format(label), column, "median_ns")) for size, label in SIZES.items())
    return [(size, median) for size, median in medians if median is not None]


def ticks(axis, labels):
    axis.set_ticks(list(labels), list(labels.values()))
    axis.set_ticks([], minor=True)


def draw(figures, image):
    figure, panels = pyplot.subplots(1, 2, figsize=(9.6, 4.6), sharey=True, layout="constrained")
    shown = {}
    for axes, (way, title) in zip(panels, PANELS):
        for column, (name, style) in LINES.items():
            points = points_of(figures, way, column)
            if points:
                shown.setdefault(name, axes.plot(*zip(*points), **style)[0])
        axes.set_title(title, fontsize=11)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(color=TEXT, alpha=0.25, linewidth=0.8)
        axes.tick_params(length=0)
        axes.set_xlabel("size of the array")
    figure.get_layout_engine().set(rect=(0, 0, 0.995, 0.86), wspace=0.06)  # above is the legend
    low, high = panels[0].get_ylim()
    for axes in panels:
        ticks(axes.xaxis, SIZES)
        axes.set_xlim(min(SIZES) / 1.8, max(SIZES) * 1.8)
    ticks(panels[0].yaxis, {at: label for at, label in TIMES.items() if low / 2 <= at <= high})
    panels[0].set_ylim(low, high)
    panels[0].set_ylabel("round trip, median")
    figure.legend(shown.values(), shown.keys(), loc="upper center", ncols=3, frameon=False)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    image.write_text("".join(line.rstrip() + "\n" for line in text.getvalue().splitlines()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", metavar="FIGURES.json", type=Path)
    parser.add_argument("image", metavar="IMAGE.svg", type=Path)
    options = parser.parse_args()
    with matplotlib.rc_context(STYLE):
        draw(read_figures(options.figures), options.image)


if __name__ == "__main__":
    main()
