"""Does what the documentation names exist? Looks at links between pages and at the headings they lead to, at notes, at files and
folders of the tree that commands and `code` name, at presets, whether docs/index.md leads to every page,
and whether the picture of the house shows the folders of src/.

    python3 tests/docs/check_links.py [PAGE...]     all pages, if none is given

In a name of a file, words in capitals stand for anything (tests/FOLDER/NAME_test.cpp). Exit status: 1 if something is
named that is not there, and then PAGE:LINE says where.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from pages import TOP, FENCE, all_pages, anchors_of, links_of, name_of, prose_of

FOLDERS = "apps|bench|cmake|docs|examples|include|python|scripts|src|tests|\\.ci"
NAMED = re.compile(rf"(?<![\w./-])(?:\./)?((?:{FOLDERS})/[\w./*-]+|\./(?:run|test)\b)")
PRESET = re.compile(r"(?:--preset |scripts/build |TEST_PRESET=)([\w-]+)")


def dead_links(page):
    for number, target in links_of(page):
        path, _, anchor = target.partition("#")
        file = page if not path else page.parent / path
        if not file.exists():
            yield number, f"there is no {path}"
        elif anchor and anchor not in anchors_of(file):
            yield number, f"{name_of(file)} has no heading #{anchor}"


def notes_without_text(page):
    named, written = {}, {}
    for number, line in prose_of(page):
        if note := re.match(r"\[\^([\w-]+)\]: ", line):
            written[note[1]] = number
        else:
            named.update((name, number) for name in re.findall(r"\[\^([\w-]+)\]", line))
    for name in named.keys() - written.keys():
        yield named[name], f"there is no note [^{name}]"
    for name in written.keys() - named.keys():
        yield written[name], f"nothing leads to the note [^{name}]"


def exists(name):
    if name.startswith("./"):
        return (TOP / name).is_file()
    parts = [re.sub(r"[A-Z]{4,}", "*", part) for part in name.split("/")]
    pattern = "/".join(parts) + ("" if Path(name).suffix or name.startswith("scripts/") else "*")
    return any(TOP.glob(pattern))


def missing_files(page, presets):
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        code = [line] if inside or line.startswith("    ") else re.findall(r"`([^`]+)`", line)
        for text in code:
            for name in NAMED.findall(text):
                name = name.rstrip("./")
                if not exists(name):
                    yield number, f"there is no {name}"
            for name in PRESET.findall(text):
                if name not in presets and name != "PRESET":
                    yield number, f"there is no preset {name}"


def not_in_the_index():
    index = TOP / "docs/index.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for _, target in links_of(index)}
    for page in sorted((TOP / "docs").rglob("*.md")):
        if page != index and page not in listed:
            yield 1, f"does not lead to {name_of(page)}"


def wrong_floors():
    """The picture of the house has a floor for each folder of src/, and so has the table beneath it."""
    folders = {folder.name for folder in (TOP / "src").iterdir() if folder.is_dir()}
    picture = (TOP / "docs/images/house.svg").read_text()
    page = (TOP / "docs/internals/architecture.md").read_text().partition("## The house")[2].partition("\n## ")[0]
    drawn = {name for group in re.findall(r'<g class="floor">.*?</g>', picture, re.DOTALL)
             for name in re.findall(r'class="name"[^>]*>(\w+)<', group)}
    for name in sorted(drawn ^ folders):
        yield f"docs/images/house.svg: src/{name} is there, or drawn as a floor, but not both"
    for name in sorted(set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) ^ folders):
        yield f"docs/internals/architecture.md: src/{name} is there, or in the table of floors, but not both"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    pages = [page.resolve() for page in arguments.pages] or all_pages()
    presets = {preset["name"] for preset in json.loads((TOP / "CMakePresets.json").read_text())["configurePresets"]}
    wrong = [f"{name_of(page)}:{number}: {what}" for page in pages for number, what in
             (*dead_links(page), *notes_without_text(page), *missing_files(page, presets))]
    if not arguments.pages:
        wrong += [f"docs/index.md:{number}: {what}" for number, what in not_in_the_index()]
        wrong += wrong_floors()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(pages)} pages, {len(wrong)} names of nothing")
    sys.exit(1 if wrong or not pages else 0)


if __name__ == "__main__":
    main()
