"""Says why the engine could not be imported: what is missing, and what to do."""

from __future__ import annotations

import glob
import importlib.machinery
import os
import sys


def explain(error: ImportError) -> ImportError:
    """An ImportError that says in its first line what is missing here."""
    folder = os.path.dirname(os.path.abspath(__file__))
    built = [os.path.basename(path) for path in glob.glob(os.path.join(glob.escape(folder), "_engine*.so"))]
    fits = {"_engine" + suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES}.intersection(built)
    python = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    said = str(error)
    if sys.platform != "linux":
        text = f"retinue runs on Linux only, and this is {sys.platform}"
    elif fits and "libdw" in said:
        text = (
            "retinue was built with libdw, which names the C++ functions of crashed workers and is not here: install it (on "
            "Debian and Ubuntu: apt install libdw1), or build retinue where libdw's headers are not, or install its wheel"
        )
    elif fits and "GLIBC" in said:
        text = "retinue was built for a newer system: its C or C++ library is missing here; install a wheel, or build it here (pip install .)"
    elif fits:
        text = "retinue's engine is there, and cannot be loaded"
    elif built:
        text = (
            f"retinue's engine was built for another Python than this one ({python}), as {', '.join(sorted(built))}: install "
            "retinue with this Python (python -m pip install .)"
        )
    elif os.path.exists(os.path.join(folder, "..", "..", "CMakeLists.txt")):
        text = "retinue's engine has not been built in this source tree: run ./run or scripts/build release, or pip install ."
    else:
        text = f"retinue's engine is missing from {folder}: install retinue again with this Python ({python})"
    return ImportError(f"{text} [{said}]", name="retinue._engine", path=error.path)
