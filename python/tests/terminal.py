"""A pseudo-terminal with a program that leads its session: what is typed becomes signals in the kernel."""

import ctypes
import os
import pty
import resource
import select
import signal
import termios
import time

PR_SET_CHILD_SUBREAPER = 36
CTRL_C, CTRL_BACKSLASH, CTRL_Z = b"\x03", b"\x1c", b"\x1a"

TIME_FACTOR = float(os.environ.get("RETINUE_TEST_TIME_FACTOR", "1"))
LONG = 30 * TIME_FACTOR
A_SECOND = 1 * TIME_FACTOR  # what is promised for the processes of a pool when their owner has ended, and they find a CPU


def processes_of_session(session):
    """The processes of a session, zombies among them, as {pid: (name, state)}."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                stat = file.read()
        except OSError:
            continue
        state, _parent, _group, its_session = stat[stat.rindex(")") + 2 :].split()[:4]
        if int(its_session) == session:
            found[int(name)] = (stat[stat.index("(") + 1 : stat.rindex(")")], state)
    return found


def waited_for_cpu(pid):
    """The seconds for which this process was ready to run and others were run instead."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:  # it has ended, or the kernel does not count this
        return 0.0


def describe(processes):
    """What they are doing, for a failure."""
    words = []
    for pid, (name, state) in processes.items():
        try:
            with open(f"/proc/{pid}/wchan") as wchan, open(f"/proc/{pid}/stat") as stat:
                words.append(f"{pid} {name} {state} in {wchan.read()}: {stat.read().strip()}")
        except OSError as error:
            words.append(f"{pid} {name} {state}, then {error}")
    return "\n".join(words)


class Terminal:
    """Use as a context manager. ``program``: the words of a command, run in ``folder``."""

    def __init__(self, program, folder):
        # Orphans become children of this process, which waits for them: a zombie that stays is nobody else's fault.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.folder = folder
        self.before = set(os.listdir(folder))
        self.shown = ""
        self.status = None
        self.program, self.screen = pty.fork()
        if self.program == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.chdir(folder)
            os.environ.update(PYTHON_COLORS="0", PS1="", PYTHONDONTWRITEBYTECODE="1", TERM="dumb")
            os.execvp(program[0], list(program))
        self.settings = termios.tcgetattr(self.screen)
        os.set_blocking(self.screen, False)

    def collect(self, seconds=0.01):
        if self.screen is not None and select.select([self.screen], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.screen, 65536).decode(errors="replace").replace("\r\n", "\n")
            except OSError:  # nobody has it open any more
                time.sleep(seconds)
        elif self.screen is None:
            time.sleep(seconds)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.program:
                self.status = status

    def wait(self, condition, seconds=LONG):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.collect()
        return True

    def shows(self, text, times=1):
        """Waits until the terminal has shown ``text`` so often."""
        assert self.wait(lambda: self.shown.count(text) >= times or self.status is not None), "it hung: " + self.shown
        assert self.shown.count(text) >= times, self.shown

    def type(self, keys):
        os.write(self.screen, keys)

    def hang_up(self):
        if self.screen is not None:
            os.close(self.screen)
            self.screen = None

    def kill(self, number):
        os.kill(self.program, number)

    def end(self):
        """Waits for the program's end; demands that its processes go within a second and leave nothing.
        Returns the exit code, or the signal below zero."""
        assert self.wait(lambda: self.status is not None), "it hung: " + self.shown
        left = self.left_after_a_second()
        assert left == {}, f"{describe(left)}\n{self.shown}"
        assert set(os.listdir(self.folder)) == self.before
        assert [name for name in os.listdir("/dev/shm") if "retinue" in name] == []
        if self.screen is not None:
            self.collect()
            assert termios.tcgetattr(self.screen) == self.settings
        return os.waitstatus_to_exitcode(self.status)

    def left_after_a_second(self):
        """The processes that are still there. On a busy machine, what they have waited for a CPU is no time of theirs."""
        begin, before, waited = time.monotonic(), {}, {}
        while left := processes_of_session(self.program):
            for pid in (*left, os.getpid()):  # this one too, which waits for orphans
                so_far = waited_for_cpu(pid)
                waited[pid] = max(waited.get(pid, 0), so_far - before.setdefault(pid, so_far))
            if time.monotonic() - begin > min(A_SECOND + sum(waited.values()), LONG):
                break
            self.collect()
        return left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(1000):
            for pid in processes_of_session(self.program):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.collect(0.001)
            if not processes_of_session(self.program):
                break
        self.hang_up()
