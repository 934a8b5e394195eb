"""One version: of the package, of the engine, and of what pip notes when it installs them."""

import importlib.metadata
import pathlib
import re
import tomllib

import pytest

import retinue

TREE = pathlib.Path(__file__).resolve().parents[2]


def test_is_that_of_the_header_as_pyproject_reads_it():
    settings = tomllib.loads((TREE / "pyproject.toml").read_text())
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    rule = settings["tool"]["scikit-build"]["metadata"]["version"]
    found = re.search(rule["regex"], (TREE / rule["input"]).read_text(), re.MULTILINE)
    assert found
    assert rule["result"].format(**found.groupdict()) == retinue.__version__


def test_is_that_of_the_package_where_one_is_installed():
    try:
        installed = importlib.metadata.version("retinue")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the tree's own package is not installed by pip")
    assert installed == retinue.__version__
