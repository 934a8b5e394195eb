"""The supervisor: a process of its own, so that no fault of the program it watches is a hang."""

import ctypes
import os
import random
import select
import signal
import sys
import time

import census

CLONE_NEWTIME = 0x80
HUNG = 3  # exit codes
LOST = 4


def enter_other_time(seconds):
    """Children of this process find a monotonic clock that is this far ahead, if the system permits it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWTIME) != 0:
        return False
    try:
        with open("/proc/self/timens_offsets", "w") as file:
            file.write(f"monotonic {seconds} 0\nboottime {seconds} 0\n")
    except OSError:
        return False
    return True


def supervise(program, seed, patience, stop_owner):
    """Runs `program(report)` in a child, which reports what it does at least every `patience` seconds. With
    `stop_owner`, it is stopped for a moment now and then: time passes for its workers, and jumps for itself. Gives an
    exit code."""
    census.adopt_orphans()
    end, report_end = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.setpgid(0, 0)
        code = 1
        try:
            code = program(lambda text: os.write(report_end, text.encode() + b"\n"))
        except SystemExit as error:
            code = error.code
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(report_end)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _give_up(child, "interrupted", ""))
    code = _watch(child, end, random.Random(f"stops {seed}"), patience, stop_owner)
    left = _living_descendants(2.0)
    if left:
        print(f"chaos: the program has ended, and left {left}")
        code = code or LOST
        _kill_all()
    return code


def _watch(child, end, dice, patience, stop_owner):
    descriptor = os.pidfd_open(child)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(end, select.POLLIN)
    reported, at = "", time.monotonic()
    while True:
        wait = dice.expovariate(1 / 0.3) if stop_owner else 1.0
        ready = dict(poll.poll(wait * 1000))
        if end in ready:
            news = os.read(end, 1 << 16)
            if news:
                reported, at = news.decode().splitlines()[-1], time.monotonic()
            else:
                poll.unregister(end)
        if descriptor in ready:
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                print(f"chaos: the program died of {signal.Signals(-code).name} in: {reported}")
            return code if code >= 0 else 1
        if time.monotonic() - at > patience:
            _give_up(child, f"nothing was reported for {patience:.0f} s", reported)
        if stop_owner and not ready:
            os.kill(child, signal.SIGSTOP)
            time.sleep(dice.choice((0.005, 0.05, 0.2)))
            os.kill(child, signal.SIGCONT)


def _give_up(child, why, reported):
    print(f"chaos: {why}; last reported: {reported}")
    for pid, (state, name) in sorted(census.descendants().items()):
        print(f"  {pid} {name} {state} parent {_field(pid, 'status', 'PPid')} waits in {_line(pid, 'wchan')} {_threads(pid)}")
    sys.stdout.flush()
    try:
        os.kill(child, signal.SIGUSR1)  # its threads' stacks
        time.sleep(1)
    except ProcessLookupError:
        pass
    _kill_all()
    os._exit(HUNG)


def _line(pid, name):
    try:
        with open(f"/proc/{pid}/{name}") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _field(pid, name, field):
    return next((line.split()[1] for line in _line(pid, name).splitlines() if line.startswith(field)), "?")


def _threads(pid):
    try:
        return " ".join(f"{tid}:{_line(pid, f'task/{tid}/wchan')}" for tid in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return ""


def _living_descendants(seconds):
    end = time.monotonic() + seconds
    reaper = census.Reaper()
    while True:
        reaper.reap()
        left = census.descendants()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def _kill_all():
    for _ in range(50):
        alive = [pid for pid, (state, _) in census.descendants().items() if state != "Z"]
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)  # descendants all, which nobody reaps but we
            except ProcessLookupError:
                pass
        time.sleep(0.02)
