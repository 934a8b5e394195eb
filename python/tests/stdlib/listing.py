"""Reads left_out.txt."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

METHODS = ("fork", "spawn", "forkserver")
# The only reasons for which a test may stand in the list. Those under "break" are run all the same, by an executor
# that ends with its first worker.
REASONS = ("break", "internals", "better")

_ENTRY = re.compile(r"(?P<name>\w+\.\w+)(?: \((?P<methods>[a-z, ]+)\))?(?: since 3\.(?P<since>\d+))?: (?P<why>.+)")


@dataclass(frozen=True)
class Entry:
    name: str
    reason: str
    why: str
    methods: tuple[str, ...]


def read(path: Path) -> dict[str, list[Entry]]:
    """The entries of each kind of test, ``executors`` and ``pools``."""
    entries: dict[str, list[Entry]] = {"executors": [], "pools": []}
    kind = reason = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            kind, _, reason = line.strip("[]").partition(" ")
            if kind not in entries or reason not in REASONS:
                raise ValueError(f"{path.name}:{number}: a section is [executors REASON] or [pools REASON]")
            continue
        found = _ENTRY.fullmatch(line)
        if found is None or not kind:
            raise ValueError(f"{path.name}:{number}: an entry is 'Class.test [(method, ...)] [since 3.N]: why'")
        methods = tuple(found["methods"].split(", ")) if found["methods"] else METHODS
        if not set(methods) <= set(METHODS):
            raise ValueError(f"{path.name}:{number}: no such start method")
        if sys.version_info >= (3, int(found["since"] or 0)):
            entries[kind].append(Entry(found["name"], reason, found["why"], methods))
    return entries


def of_method(entries: list[Entry], method: str) -> dict[str, str]:
    """Name and reason of those that count under this start method."""
    return {e.name: e.reason for e in entries if method in e.methods}
