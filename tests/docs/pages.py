"""The pages of the documentation as what can be checked of them: fenced blocks, links, headings, files they name.

A comment in the line before a block says what the block is, where it is not a whole program (CONTRIBUTING.md, "Docs"):

    <!-- example: declarations -->
    <!-- example: not run: REASON -->
"""

import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
LANGUAGES = {"cpp", "python", "cmake", "sh"}
FENCE = re.compile(r"^( *)```(.*)$")
DIRECTIVE = re.compile(r"^ *<!-- example: (.*) -->$")


class PageError(Exception):
    """What is wrong with a page; begins with PAGE:LINE."""


def all_pages(top=TOP):
    return [top / "README.md", top / "CONTRIBUTING.md", top / "examples/README.md", *sorted((top / "docs").rglob("*.md"))]


def name_of(page):
    """As a reader knows it: from the tree's top."""
    page = Path(page).resolve()
    return str(page.relative_to(TOP) if page.is_relative_to(TOP) else page)


@dataclass
class Block:
    page: str
    line: int  # of its first line
    language: str
    text: str
    declarations: bool = False
    not_run: str = ""  # the reason

    @property
    def place(self):
        return f"{self.page}:{self.line}"


def blocks_of(page):
    name = name_of(page)
    blocks, directive, block, indent = [], "", None, ""
    for number, line in enumerate(Path(page).read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if block and fence and not fence[2]:
            blocks.append(block)
            block = None
        elif block:
            block.text += line.removeprefix(indent) + "\n"
        elif fence:
            indent = fence[1]
            if fence[2] not in LANGUAGES:
                raise PageError(f"{name}:{number}: a block of the language '{fence[2]}'; known are {sorted(LANGUAGES)}")
            block = Block(name, number + 1, fence[2], "")
            if directive == "declarations" and block.language == "cpp":
                block.declarations = True
            elif directive.startswith("not run: "):
                block.not_run = directive.removeprefix("not run: ")
            elif directive:
                raise PageError(f"{name}:{number - 1}: '{directive}' says nothing about a block of {block.language}")
            directive = ""
        elif directive:
            raise PageError(f"{name}:{number - 1}: no block follows in the next line")
        elif found := DIRECTIVE.match(line):
            directive = found[1]
        elif "<!-- example" in line:
            raise PageError(f"{name}:{number}: is not of the form <!-- example: WORDS -->")
    if block or directive:
        raise PageError(f"{name}: ends within a block, or before one")
    return blocks


def prose_of(page):
    """(number, line) of what is outside of fenced blocks."""
    inside = False
    for number, line in enumerate(Path(page).read_text().splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def links_of(page):
    """(number, target) of the links and images that do not lead out of the tree."""
    for number, line in prose_of(page):
        if line.startswith("    "):
            continue  # a command
        for target in re.findall(r"\]\(([^()\s]+)\)", line):
            if not re.match(r"[a-z]+:", target):
                yield number, target


def anchors_of(page):
    """Of the headings, as GitHub makes them."""
    found = set()
    for _, line in prose_of(page):
        if heading := re.match(r"#+ +(.*)$", line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
            found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found
