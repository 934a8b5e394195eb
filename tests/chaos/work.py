"""What chaos runs as tasks. A module of its own, so that workers find the functions by name."""

import asyncio
import contextlib
import ctypes
import errno
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np

import odd

HELD = []  # what tasks keep beyond their end


def mix(x, rounds=1):
    for _ in range(rounds):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
    return x


def echo(*values):
    return values


def is_same(value, copy):
    return value == copy


def call(function, args):
    """For maps over tasks of different kinds."""
    return function(*args)


def call_item(item):
    return call(*item)


def counted(runs, index, function, args):
    """Runs a task, and notes in shared memory that it did."""
    runs[index] += 1
    return function(*args)


def sleep(seconds, value):
    time.sleep(seconds)
    return value


def spin(seconds, value):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return value


def many_bytes(seed, size):
    return random.Random(seed).randbytes(size)


def slow_bytes(seed, size, pieces):
    """A payload that is slow to make."""
    made = []
    for piece in range(pieces):
        made.append(random.Random(seed + piece).randbytes(size // pieces))
        time.sleep(0.002)
    return b"".join(made)


def make_array(seed, count, dtype):
    return (np.arange(count) * (seed % 1000 + 1) % 251).astype(dtype)


def twice_in_place(array):
    array *= 2
    return array, float(array.sum())


def keep_array(array):
    """The worker keeps what it was given; what the next tasks are given must not change it."""
    while len(HELD) > 3:
        HELD.pop(0)
    HELD.append((array, int(array.sum())))
    return [int(kept.sum()) == total for kept, total in HELD].count(False)


def fill(table, row, value):
    table[row] = value
    return float(table[row].sum())


def look_up(table, index):
    return table["rows"][index % len(table["rows"])].sum() + table["extra"]


def raise_(error):
    raise error


def raise_caused(text):
    try:
        raise KeyError(text)
    except KeyError as error:
        raise odd.ChaosError(text) from error


def raise_group(text):
    raise ExceptionGroup(text, [ValueError(text), TypeError(1)])


def raise_two_arguments(a, b):
    raise odd.TwoArguments(a, b)


def raise_made(name, *args):
    raise getattr(odd, name)(*args)


def recurse(depth):
    return 1 + recurse(depth + 1)


def make(name, *args):
    return getattr(odd, name)(*args)


def a_lock():
    return threading.Lock()


def a_generator():
    return (x for x in range(3))


def leave_cycles(count):
    for _ in range(count):
        odd.DelRaises()
    return count


def collect(value):
    gc.collect()
    return value


def stop_myself(value):
    os.kill(os.getpid(), signal.SIGSTOP)
    return value


def kill_myself(number):
    os.kill(os.getpid(), number)
    time.sleep(10)
    return "alive"


def interrupt_myself(value):
    """Workers leave Ctrl-C to their owner."""
    os.kill(os.getpid(), signal.SIGINT)
    return value


def crash():
    ctypes.string_at(0)


def crash_in_a_thread():
    thread = threading.Thread(target=ctypes.string_at, args=(0,))
    thread.start()
    time.sleep(10)


def leave(code):
    os._exit(code)


def leave_by_exit(code):
    sys.exit(code)


def die_at_first(runs, index, value):
    """Dies unless it is run for the second time."""
    runs[index] += 1
    if runs[index] == 1:
        os._exit(9)
    return value


def exhaust_memory(value):
    held = []
    try:
        while True:
            held.append(bytearray(8 << 20))
    except MemoryError:
        del held
        return value


def exhaust_memory_and_raise():
    held = []
    while True:
        held.append(bytearray(1 << 20))


def ask_for_too_much():
    return len(bytearray(1 << 40))


def exhaust_descriptors(value, size):
    """The result is made, and its exception reported, while none is left."""
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        if value is None:
            raise odd.ChaosError("no descriptors") from error
        return value, bytes(size)
    finally:
        for descriptor in held:
            os.close(descriptor)


def keep_descriptors(count):
    """For this worker's later tasks few are left."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for _ in range(count):
        try:
            HELD_DESCRIPTORS.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            break
    return soft


HELD_DESCRIPTORS = []


def close_output(how, value):
    if how == "object":
        if sys.stdout is not None:  # an earlier task may have taken it away
            sys.stdout.close()
    elif how == "none":
        sys.stdout = None
    else:
        with contextlib.suppress(OSError):  # likewise
            os.close(1)
    return value


def turn_clock(seconds, value):
    """For this process the time of day jumps, and stays where it is."""
    before = time.time
    time.time = lambda: before() + seconds
    return value


def count_in_threads(n, threads):
    results = [0] * threads

    def count(i):
        results[i] = sum(range(n + i))

    made = [threading.Thread(target=count, args=(i,)) for i in range(threads)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    return results


def leave_a_thread(value):
    threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
    return value


def fork_a_child(code):
    child = os.fork()
    if child == 0:
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_a_program(word):
    return subprocess.run(["echo", word], capture_output=True, text=True, check=True).stdout


def alarm(value):
    """A timer's signals arrive while the task runs and while its worker sleeps."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    time.sleep(0.005)
    return value


def no_alarm(value):
    signal.setitimer(signal.ITIMER_REAL, 0)
    return value


def in_asyncio(n):
    async def main():
        return sum(await asyncio.gather(*(asyncio.sleep(0, i) for i in range(n))))

    return asyncio.run(main())


def nested(seed, count, deadly):
    """A pool in a worker; with `deadly`, one of its workers dies on the way."""
    from retinue import WorkerDied
    from retinue.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1 + seed % 2) as pool:
        lost = pool.submit(leave, 3) if deadly else None
        total = sum(pool.map(mix, range(count)))
        if lost is not None and not isinstance(lost.exception(timeout=30), WorkerDied):
            return "the death was not reported"
    return total % 2**32


def nested_pool(count):
    from retinue.multiprocessing import Pool

    with Pool(1) as pool:
        return sum(pool.imap_unordered(mix, range(count))) % 2**32


def serial_sum(count):
    return sum(map(mix, range(count))) % 2**32


def set_up(memory, descriptors, how):
    """The initializer: limits for a worker, and how it fails."""
    sys.unraisablehook = lambda _: None
    if memory:
        used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + memory, resource.RLIM_INFINITY))
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if how == "raises":
        raise odd.ChaosError("the initializer fails")
    if how == "exits":
        os._exit(4)
    if how == "sometimes" and time.monotonic_ns() // 1000 % 5 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
