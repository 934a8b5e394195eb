"""Code that was run from a notebook's cell: its lines in tracebacks, and what its tasks print."""

import io
import linecache

import pytest

import programs
from retinue.futures import ProcessPoolExecutor
from retinue._internal.output import WholeLines
from retinue._internal.remote import with_lines


def run_cell(name, text, names):
    """As IPython does it: the lines of a cell are kept where tracebacks look for them."""
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), names)


CELL = '''\
def divide(x):
    y = 10
    return y / x


def grouped(x):
    try:
        divide(x)
    except ZeroDivisionError as error:
        raise ExceptionGroup("several", [error])
'''


@pytest.mark.parametrize("name", ["<ipython-input-7-abc>", "/tmp/ipykernel_1/7.py"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_traceback_shows_lines_of_cells_that_were_run_after_the_workers_were_made(name, method):
    with ProcessPoolExecutor(1, mp_context=method) as pool:
        assert pool.submit(abs, -1).result(timeout=50) == 1
        names = {"__name__": "__main__"}
        run_cell(name, CELL, names)
        try:
            text = str(pool.submit(names["divide"], 0).exception(timeout=20).__cause__)
            assert f'  File "{name}", line 3, in divide\n    return y / x\n' in text
            assert text.count("return y / x") == 1
            text = str(pool.submit(names["grouped"], 0).exception(timeout=20).__cause__)
            assert f'File "{name}", line 8, in grouped\n    |     divide(x)\n' in text, text
            assert f'    |   File "{name}", line 3, in divide\n    |     return y / x\n' in text, text
        finally:
            del linecache.cache[name]


def test_lines_that_are_there_already_and_those_of_nobody_are_left_alone():
    linecache.cache["<cell>"] = (1, None, ["first\n", "    second\n"], "<cell>")
    try:
        text = '  File "<cell>", line 2, in f\n    other\n  File "<unknown>", line 2, in g\nError: File "<cell>"\n'
        assert with_lines(text) == text
        assert with_lines('  File "<cell>", line 2, in f\nError') == '  File "<cell>", line 2, in f\n    second\nError'
        assert with_lines('  File "<cell>", line 20, in f\nError') == '  File "<cell>", line 20, in f\nError'
    finally:
        del linecache.cache["<cell>"]


# What tasks print -----------------------------------------------------------------------------------------------------

PRINT = """
def speak(i):
    for k in range(200):
        print(i, k, "x" * 60, sep=",")

if __name__ == "__main__":
    {before}
    with ProcessPoolExecutor(4, mp_context=METHOD) as pool:
        list(pool.map(speak, range(40)))
"""


def lines_of(text):
    return sorted(text.splitlines())


EXPECTED = sorted(f"{i},{k}," + "x" * 60 for i in range(40) for k in range(200))


@pytest.mark.parametrize("method", programs.METHODS)
def test_lines_in_a_pipe_are_whole(method, tmp_path):
    assert lines_of(programs.run(PRINT.format(before="pass"), method=method, tmp_path=tmp_path).stdout) == EXPECTED


def test_lines_of_an_unbuffered_program_are_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    assert lines_of(programs.run(PRINT.format(before="pass"), tmp_path=tmp_path).stdout) == EXPECTED


# A stream that sends each piece by itself, as that of a notebook does in its children.
STREAM = """
class Pieces:
    encoding = "utf-8"
    def write(self, text):
        os.write(1, text.encode())
        return len(text)
    def flush(self):
        pass
"""


def test_lines_of_a_notebook_are_whole(tmp_path):
    done = programs.run(STREAM + PRINT.format(before="sys.stdout = Pieces()"), tmp_path=tmp_path)
    assert lines_of(done.stdout) == EXPECTED


def test_what_is_begun_is_seen_when_it_is_flushed_and_when_the_worker_rests(tmp_path):
    program = """
    def flushed(reader_waits):
        print("begun", end="", flush=True)

    def left():
        print("left", end="")

    if __name__ == "__main__":
        sys.stdout = Pieces()
        with ProcessPoolExecutor(1) as pool:
            pool.submit(flushed, 1).result(timeout=20)
            os.write(1, b"|")
            pool.submit(left).result(timeout=20)
    """
    import textwrap

    assert programs.run(STREAM + textwrap.dedent(program), tmp_path=tmp_path).stdout == "begun|left"


class Recorder(io.StringIO):
    def __init__(self):
        super().__init__()
        self.pieces = []

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)


def test_a_stream_of_whole_lines():
    inner = Recorder()
    stream = WholeLines(inner)
    print("a", 1, file=stream)
    assert inner.pieces == ["a 1\n"]
    print("b", end="", file=stream)
    print("\nc\nd", end="", file=stream)
    assert inner.pieces == ["a 1\n", "b\nc\n"]
    stream.flush()
    stream.flush()
    assert inner.pieces == ["a 1\n", "b\nc\n", "d"]
    stream.writelines(["e\n", "f\n"])
    assert inner.pieces[3:] == ["e\n", "f\n"]
    assert stream.getvalue() == "a 1\nb\nc\nde\nf\n"
    with pytest.raises(TypeError):
        stream.write(b"bytes")


def test_a_child_of_a_worker_can_write_while_another_thread_was_writing(tmp_path):
    program = """
    class Waits(Pieces):
        def write(self, text):
            if text == "slow\\n":
                started.set()
                time.sleep(1)
            return super().write(text)

    started = threading.Event()

    def task():
        threading.Thread(target=print, args=("slow",)).start()
        started.wait(20)
        child = os.fork()
        if child == 0:
            print("child")
            os._exit(0)
        return wait_for(child)

    if __name__ == "__main__":
        sys.stdout = Waits()
        with ProcessPoolExecutor(1) as pool:
            assert pool.submit(task).result(timeout=40) == 0
    """
    import textwrap

    done = programs.run(STREAM + textwrap.dedent(program), tmp_path=tmp_path)
    assert lines_of(done.stdout) == ["child", "slow"]




def test_the_streams_of_a_program_stay_what_they_are(tmp_path):
    program = """
    import io
    def look():
        return type(sys.stdout) is io.TextIOWrapper and sys.stdout is sys.__stdout__

    if __name__ == "__main__":
        with ProcessPoolExecutor(1) as pool:
            assert pool.submit(look).result(timeout=20)
            assert not sys.stdout.line_buffering  # the owner's are its own
    """
    programs.run(program, tmp_path=tmp_path)
