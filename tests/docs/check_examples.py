"""Do the examples of the documentation work? Compiles and runs the C++ blocks of pages, or runs their Python blocks.

    python3 tests/docs/check_examples.py python PAGE...
    python3 tests/docs/check_examples.py cpp PAGE... --work FOLDER --compiler COMMAND --library FILE [--link FLAG]...

A Python block is a program of its own. So is a C++ block with a `main`. Of the other C++ blocks of a page, those marked
`<!-- example: declarations -->` are seen by all that follow; any other is the body of a function that is given a
ProcessPool `pool`, and is run in a process of its own. `preamble.hpp` has what else they may use.

Goes on after a failure. Exit status: 1 if a block failed, and then PAGE:LINE says where.
"""

import argparse
import ast
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pages import TOP, PageError, blocks_of

OPTIONAL = {"dask", "joblib", "numpy", "sklearn"}  # a block that imports one that is not installed is not run
FLAGS = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-Wno-unused-but-set-variable",
         f"-I{TOP}/include", f"-I{TOP}/tests/docs"]
COMPILING_S = 200


def run(command, seconds, place, **more):
    """What is wrong, or None."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                              timeout=seconds, **more)
    except subprocess.TimeoutExpired:
        return f"{place}: has not ended after {seconds:g} s"
    if done.returncode or "Traceback" in done.stderr:
        return f"{place}: failed with status {done.returncode}\n{done.stderr.strip()}"
    return None


# Python ---------------------------------------------------------------------------------------------


def missing_imports(program):
    for node in ast.walk(ast.parse(program)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in {name.partition(".")[0] for name in names} & OPTIONAL:
            if importlib.util.find_spec(name) is None:
                yield name


def check_python(blocks, seconds, **_):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for block in blocks:
        try:
            missing = list(missing_imports(block.text))
        except SyntaxError as error:
            yield f"{block.page}:{block.line + (error.lineno or 1) - 1}: {error.msg}"
            continue
        if block.not_run:
            continue
        if missing:
            print(f"{block.place}: not run, for {', '.join(missing)} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "program.py"
            program.write_text("\n" * (block.line - 1) + block.text)  # a traceback has the page's line numbers
            yield run([sys.executable, program], seconds, block.place, cwd=folder, env=environment)


# C++ ------------------------------------------------------------------------------------------------

MAIN = """
int main(int, char** argv) {
  const int wanted = std::atoi(argv[1]);
  try {
    retinue::ProcessPool pool(2);
    for (const auto& [line, run] : examples)
      if (line == wanted) return run(pool), 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\\n';
  }
  return 1;
}
"""


def source_of(blocks):
    """One source of blocks that are no programs; #line makes the compiler name page and line."""
    text, examples = '#include "preamble.hpp"\n', []
    for block in blocks:
        where = f'#line {block.line} "{block.page}"\n'
        if block.declarations:
            text += where + block.text
        else:
            text += f"static void line_{block.line}([[maybe_unused]] retinue::ProcessPool& pool) {{{{\n{where}{block.text}}}}}\n"
            examples.append(f"{{{block.line}, line_{block.line}}}")
    text += '#line 1 "main"\nconst std::vector<std::pair<int, void (*)(retinue::ProcessPool&)>> examples{\n'
    return text + ",\n".join(examples) + "};\n" + MAIN


def build(text, program, compiler, library, link):
    """Makes the program of a source; what is wrong, or None."""
    source = program.with_suffix(".cpp")
    source.write_text(text)
    made = program.with_suffix(".o")
    environment = dict(os.environ)
    if (TOP / "build/ccache").exists():  # scripts/build made it, where there is no home
        environment.setdefault("CCACHE_DIR", str(TOP / "build/ccache"))
    for command in ([*compiler, *FLAGS, "-c", source, "-o", made],
                    [compiler[-1], made, library, *link, "-o", program]):
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=COMPILING_S, cwd=TOP,
                              env=environment)
        if done.returncode:
            return done.stderr.strip()
    return None


def check_cpp(blocks, seconds, work, compiler, library, link):
    work.mkdir(parents=True, exist_ok=True)
    for block in (block for block in blocks if "int main(" in block.text):
        program = work / f"program_{block.line}"
        wrong = build(f'#line {block.line} "{block.page}"\n{block.text}', program, compiler, library, link)
        yield wrong or (None if block.not_run else run([program], seconds, block.place))
    parts = [block for block in blocks if "int main(" not in block.text]
    if not parts:
        return
    program = work / "parts"
    wrong = build(source_of(parts), program, compiler, library, link)
    if wrong:
        yield wrong
        return
    for block in parts:
        if not block.declarations and not block.not_run:
            yield run([program, str(block.line)], seconds, block.place)


# ----------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=["python", "cpp"])
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--seconds", type=float, default=30, help="for each block")
    parser.add_argument("--work", type=Path, help="a scratch folder for what is compiled")
    parser.add_argument("--compiler", type=str.split, help="with a launcher before it, if any")
    parser.add_argument("--library", type=Path)
    parser.add_argument("--link", action="append", default=[], metavar="FLAG")
    arguments = parser.parse_args()

    count, failures = 0, []
    for page in arguments.pages:
        try:
            blocks = [block for block in blocks_of(page) if block.language == arguments.language]
        except PageError as error:
            failures.append(str(error))
            continue
        count += len(blocks)
        if arguments.language == "python":
            found = check_python(blocks, arguments.seconds)
        else:
            found = check_cpp(blocks, arguments.seconds, arguments.work / page.stem, arguments.compiler, arguments.library,
                              arguments.link)
        failures += [wrong for wrong in found if wrong]
    for wrong in failures:
        print(wrong, file=sys.stderr)
    print(f"{count} blocks, {len(failures)} failures")
    sys.exit(1 if failures or not count else 0)


if __name__ == "__main__":
    main()
