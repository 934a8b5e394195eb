"""GNU OpenMP and fork.

A process that has run a parallel region keeps its threads for the next one. A child of fork inherits the belief in
them but not the threads, and waits for ever in its first parallel region: scikit-learn's KMeans in the owner, then in
a worker. The runtime can be asked to let its threads go; it makes new ones when it needs them.
"""

from __future__ import annotations

import os

_SOFT = 1  # of omp_pause_resource_t: what the program has set, such as the number of threads, stays


def release_threads() -> list[str]:
    """To be called before a fork, by the thread that forks: its are the threads that a child would wait for. Gives the files
    of those runtimes that cannot be asked."""
    refused: list[str] = []
    try:
        with open("/proc/self/maps", "rb") as file:
            text = file.read()
        if b"libgomp" not in text:
            return refused
        import ctypes
    except (OSError, ImportError):
        return refused
    # Wheels bring copies of their own along, under names of their own, and several may be loaded.
    for path in {line[line.index(b"/") :] for line in text.splitlines() if b"libgomp" in line and b"/" in line}:
        try:
            library = ctypes.CDLL(os.fsdecode(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            if library.omp_pause_resource_all(_SOFT) != 0:  # from GCC 9 on
                refused.append(os.fsdecode(path))
        except (OSError, AttributeError):
            refused.append(os.fsdecode(path))
    return refused
