"""What a process and all that it has started hold in memory."""

import os
import pathlib
import shutil

SHARED = ("/memfd:", "/dev/shm/", "/dev/zero")  # how the files of shared memory are named in /proc


def processes(pid):
    """`pid`, its children, theirs, and so on."""
    pids = [pid]
    for each in pids:
        for task in entries(f"/proc/{each}/task"):
            pids += [int(child) for child in read(task / "children").split()]
    return pids


def total_bytes(pid):
    """The memory of these processes but for program files: private memory, and shared memory once, mapped or not.

    It asks for sums that the kernel keeps, in well under a millisecond. (Pss would take a tenth of a second for each
    gigabyte, while the processes go on and hand memory to each other.) What a fork shares with its parent counts for
    both, so compare with an earlier total of the same processes.

    Files of shared memory are those that are open, those that are mapped as far as the kernel lets this process see
    them, and those in /dev/shm that are named after `pid`, as joblib names its own.
    """
    private = most_mapped = 0
    files = {}
    for each in processes(pid):
        status = dict(line.split(":", 1) for line in read(f"/proc/{each}/status").splitlines())
        private += kilobytes(status, "RssAnon") + kilobytes(status, "VmSwap")
        most_mapped = max(most_mapped, kilobytes(status, "RssShmem"))
        for descriptor in entries(f"/proc/{each}/fd"):
            note(files, descriptor, SHARED)
        for line in read(f"/proc/{each}/maps").splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith(SHARED):
                note(files, pathlib.Path(f"/proc/{each}/map_files/{fields[0]}"))
    for path in named_after(pid):
        note(files, path)
        for parent, _, names in os.walk(path):  # which passes over what goes meanwhile
            for name in names:
                note(files, pathlib.Path(parent, name))
    return private * 1024 + max(most_mapped * 1024, sum(files.values()))


def named_after(pid):
    """What joblib's loky has made in /dev/shm for this owner."""
    return [path for path in entries("/dev/shm") if f"_{pid}_" in path.name or f"-{pid}-" in path.name]


def remove_named_after(pid):
    """For an owner that was killed, and could not."""
    for path in named_after(pid):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def kilobytes(status, name):
    return int(status[name].split()[0]) if name in status else 0


def note(files, path, beginnings=None):
    try:
        if beginnings and not os.readlink(path).startswith(beginnings):
            return
        status = path.stat()
    except OSError:
        return  # closed or removed meanwhile, or none of ours to see
    files[status.st_dev, status.st_ino] = status.st_blocks * 512


def entries(folder):
    try:
        return list(pathlib.Path(folder).iterdir())
    except OSError:
        return []  # the process has ended


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def available_gb():
    """What the machine could give to programs before it swaps or kills, in GB."""
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    return 0.0
