"""What `import retinue` says where something is missing."""

import importlib.machinery
import pathlib
import shutil
import subprocess
import sys

import pytest

import retinue
from retinue._missing import explain

PACKAGE = pathlib.Path(retinue.__file__).parent
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]


def copy_of_package(folder):
    copied = folder / "retinue"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return copied


def last_line_of_import(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); import retinue"],
        capture_output=True, text=True, timeout=30, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    return done.stderr.splitlines()[-1]


def test_no_engine(tmp_path):
    copied = copy_of_package(tmp_path)
    line = last_line_of_import(tmp_path)
    assert line.startswith(f"ImportError: retinue's engine is missing from {copied}: install retinue again"), line


def test_a_source_tree_that_was_not_built(tmp_path):
    (tmp_path / "CMakeLists.txt").touch()
    copy_of_package(tmp_path / "python")
    line = last_line_of_import(tmp_path / "python")
    assert line.startswith("ImportError: retinue's engine has not been built in this source tree: run ./run"), line


def test_an_engine_of_another_python(tmp_path):
    (copy_of_package(tmp_path) / "_engine.cpython-39-x86_64-linux-gnu.so").touch()
    line = last_line_of_import(tmp_path)
    assert "was built for another Python than this one" in line and "cpython-39" in line and "pip install" in line, line


def test_an_engine_that_is_no_library(tmp_path):
    (copy_of_package(tmp_path) / f"_engine{SUFFIX}").write_text("no library")
    line = last_line_of_import(tmp_path)
    assert line.startswith("ImportError: retinue's engine is there, and cannot be loaded ["), line


@pytest.mark.parametrize(
    "said, advice",
    [
        ("libdw.so.1: cannot open shared object file: No such file or directory", "apt install libdw1"),
        ("/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found", "built for a newer system"),
        ("/usr/lib/libstdc++.so.6: version `GLIBCXX_3.4.99' not found", "built for a newer system"),
    ],
)
def test_a_library_that_is_missing_or_too_old(said, advice):
    error = explain(ImportError(said))
    assert advice in str(error) and said in str(error)
    assert error.name == "retinue._engine"
