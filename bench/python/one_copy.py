"""One copy of an array within a process: what anything that brings it elsewhere has at least to do. Each gives the
seconds and whether the copy is right."""

import mmap
import os
import time

import numpy as np


def into_warm(source, target):
    """Into an array that has been written to before."""
    begin = time.perf_counter()
    np.copyto(target, source)
    return time.perf_counter() - begin, target[-1] == source[-1]


def into_fresh(source):
    """Into a new private mapping without huge pages, which the copy is the first to touch."""
    with mmap.mmap(-1, source.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as mapping:
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
        target = np.frombuffer(mapping, count=len(source))
        begin = time.perf_counter()
        np.copyto(target, source)
        seconds = time.perf_counter() - begin
        right = target[-1] == source[-1]
        del target
    return seconds, right


def into_file(source):
    """By `pwrite` into a new file that lies in memory and has no name."""
    file = os.memfd_create("one_copy")
    try:
        data, at = memoryview(source).cast("B"), 0
        begin = time.perf_counter()
        while at < len(data):
            at += os.pwrite(file, data[at:], at)
        seconds = time.perf_counter() - begin
        right = os.pread(file, 8, len(data) - 8) == bytes(data[-8:])
    finally:
        os.close(file)
    return seconds, right
