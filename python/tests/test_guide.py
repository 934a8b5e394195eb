"""The Python programs in the guides run as they stand."""

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
GUIDES = ["from-other-libraries.md", "python.md", "security.md"]


def programs():
    for guide in GUIDES:
        text = (DOCS / guide).read_text()
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 2
            yield pytest.param(match[1], id=f"{guide}:{line}")


def imports(program):
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("program", programs())
def test_a_program_of_a_guide_runs(program, tmp_path):
    for name in imports(program):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    file = tmp_path / "program.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_guides_have_programs():
    assert len(list(programs())) > 10
