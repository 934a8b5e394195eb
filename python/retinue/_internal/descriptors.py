"""File descriptors of connections and sockets, on their way to a worker and back.

A number of a descriptor means something in its own process only. So a pickle holds a key, and who loads it asks for the
descriptor behind that, through a socket of the pool's owner:

- The owner lends: it keeps a duplicate under the key as long as the ``LentDescriptor`` lives, which a task holds until
  it has ended. Unless the pickle may be loaded again, the duplicate is closed once a worker has fetched it, so that the
  other end of a pipe sees its end when the worker closes it.
- A worker sends the descriptors of a result ahead of it. They wait in the owner until the result is loaded, also when the
  worker has long gone.

The socket has no file; keys and the workers' secret are random, and known to the pool's processes only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import threading
import time
import weakref
from multiprocessing import context, reduction

TYPE_CHECKING = False  # importing typing would take longer than all of this package
if TYPE_CHECKING:
    from typing import Any, Iterable, Optional

_FETCH, _RETURN, _HERE, _GONE = b"F", b"R", b"+", b"-"
_MOST = 200  # descriptors in a message; the kernel takes 253
_PATIENCE = 60  # seconds in which the owner answers; counted in slices, so that a stopped program loses one only


def _identity(fd: int) -> tuple[int, int, int]:
    it = os.fstat(fd)
    return it.st_dev, it.st_ino, it.st_mode


class LentDescriptor:
    """A descriptor of this process that workers may fetch, while this lives."""

    def __init__(self, fd: int, again: bool) -> None:
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        self._identity = _identity(self._fd)
        self.again = again
        self.key = os.urandom(16)
        server = prepare()
        server.lent[self.key] = self
        self._address = server.address

    def fd(self) -> Optional[int]:
        """None once it is closed. The program may have closed all descriptors, and opened others since."""
        try:
            return self._fd if self._fd >= 0 and _identity(self._fd) == self._identity else None
        except OSError:
            return None

    def close(self) -> None:
        fd, self._fd = self.fd(), -1
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_identity", None) is not None:
            self.close()

    def __reduce__(self) -> Any:
        return Fetched, (self._address, self.key)


class Fetched:
    """What a lent descriptor is where it is loaded."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address = address
        self._key = key

    def detach(self) -> int:
        server = _server
        if server is not None and server.address == self._address:  # loaded by the owner itself
            lent = server.lent.get(self._key)
            fd = lent.fd() if lent is not None else None
            if fd is not None:
                return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
            raise OSError(errno.EBADF, "the descriptor has been fetched already, or its task has ended")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.settimeout(1)
            _connect(peer, self._address)
            peer.sendall(_FETCH + self._key)
            for _ in range(_PATIENCE):
                try:
                    answer, fds = _receive(peer)
                except TimeoutError:
                    continue
                if answer == _HERE and len(fds) == 1:
                    return fds[0]
                close_all(fds)
                raise OSError(errno.EBADF, "the pool's owner no longer has the descriptor")
        raise TimeoutError(f"the pool's owner did not hand over a descriptor within {_PATIENCE} s")


class Returned:
    """What a descriptor in a result is: its place among those that were sent ahead."""

    def __init__(self, place: int) -> None:
        self._place = place

    def detach(self) -> int:
        fd = _opened.fds[self._place]
        if fd < 0:
            raise OSError(errno.EBADF, "the descriptor was taken already")
        _opened.fds[self._place] = -1
        return fd


class _Opened(threading.local):
    fds: list[int] = []  # of the result that this thread is loading


_opened = _Opened()


class Parcel:
    """A result that holds descriptors. They are with the owner by now."""

    def __init__(self, data: bytes, fds: list[int]) -> None:
        self._data = data
        self._address, self._key = _send_back(fds)

    def __reduce__(self) -> Any:
        return _open_parcel, (self._address, self._key, self._data)


def _open_parcel(address: str, key: bytes, data: bytes) -> Any:
    import pickle

    server = _server
    if server is None or server.address != address:
        raise OSError(errno.EBADF, "the descriptors in this result were sent to another process, or are closed")
    before, _opened.fds = _opened.fds, server.collect(key)
    try:
        return pickle.loads(data)
    finally:
        close_all(fd for fd in _opened.fds if fd >= 0)
        _opened.fds = before


def _send_back(fds: list[int]) -> tuple[str, bytes]:
    if _home is None:
        raise OSError(errno.ENOTCONN, "descriptors cannot travel from here: this process is no worker")
    address, secret = _home
    key = os.urandom(16)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(10)
        _connect(peer, address)
        for i in range(0, len(fds), _MOST):
            socket.send_fds(peer, [_RETURN + secret + key], fds[i : i + _MOST])
    return address, key


def _connect(peer: socket.socket, address: str) -> None:
    """EAGAIN: very many results with descriptors wait to be loaded."""
    for tries in range(100):
        try:
            return peer.connect(address)
        except BlockingIOError:
            if tries == 99:
                raise
            time.sleep(0.05)


def _receive(peer: socket.socket) -> tuple[bytes, list[int]]:
    data, fds, _, _ = socket.recv_fds(peer, 64, _MOST, socket.MSG_CMSG_CLOEXEC)
    return data, list(fds)


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


class _Server:
    """In an owner: the socket that its workers come to, and a thread once somebody needs an answer."""

    def __init__(self) -> None:
        self.address = "\0retinue-" + os.urandom(16).hex()
        self.secret = os.urandom(16)
        self.lent: weakref.WeakValueDictionary[bytes, LentDescriptor] = weakref.WeakValueDictionary()
        self._returned: dict[bytes, list[int]] = {}
        self._arrived = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind(self.address)
            self._socket.listen(4096)
        except BaseException:
            self._socket.close()
            raise
        self._identity = _identity(self._socket.fileno())

    def is_open(self) -> bool:
        """False if the program has closed the socket under us."""
        try:
            return _identity(self._socket.fileno()) == self._identity
        except OSError:
            return False

    def serve(self) -> None:
        with self._arrived:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="retinue-descriptors", daemon=True)
                self._thread.start()

    def collect(self, key: bytes) -> list[int]:
        """What a worker has sent ahead of its result."""
        self.serve()
        with self._arrived:
            if self._arrived.wait_for(lambda: key in self._returned or not self.is_open(), 30):
                fds = self._returned.pop(key, None)
                if fds is not None:
                    return fds
        raise OSError(errno.EBADF, "the descriptors of this result are lost")

    def leave(self) -> None:
        """The program may have closed the socket, and have opened a file that has its number, which is not to be closed."""
        if self.is_open():
            self._socket.close()
        else:
            self._socket.detach()

    def forget(self) -> None:
        """In the child of a fork: all of it is the parent's."""
        self.leave()
        for lent in list(self.lent.values()):
            lent.close()
        for fds in self._returned.values():
            close_all(fds)

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self.is_open():
            try:
                peer, _ = self._socket.accept()
            except OSError as error:
                if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                    break
                time.sleep(0.05)  # no descriptor is left: somebody will close one
                continue
            try:
                with peer:
                    peer.settimeout(5)
                    self._answer(peer)
            except OSError:  # a worker that died
                pass

    def _answer(self, peer: socket.socket) -> None:
        request, fds = _receive(peer)
        if request[:1] == _FETCH:
            close_all(fds)
            lent = self.lent.get(request[1:])
            fd = lent.fd() if lent is not None else None
            if lent is None or fd is None:
                peer.sendall(_GONE)
                return
            socket.send_fds(peer, [_HERE], [fd])
            if not lent.again:
                lent.close()
        elif request[:1] == _RETURN and request[1:17] == self.secret:
            try:
                while True:
                    more, others = _receive(peer)
                    fds += others
                    if not more:
                        break
            except BaseException:
                close_all(fds)
                raise
            with self._arrived:
                self._returned[request[17:]] = fds
                self._arrived.notify_all()
        else:
            close_all(fds)


_lock = threading.Lock()
_server: Optional[_Server] = None
_home: Optional[tuple[str, bytes]] = None  # in a worker: where its owner is, and the secret


def prepare() -> _Server:
    """Before workers are started, so that they can find their owner."""
    global _server
    with _lock:
        if _server is not None and not _server.is_open():
            _server.leave()
            _server = None
        if _server is None:
            _server = _Server()
        return _server


def address_for_workers() -> tuple[str, bytes]:
    server = prepare()
    return server.address, server.secret


def set_home(home: Optional[tuple[str, bytes]]) -> None:
    """In a fresh interpreter, which inherits nothing."""
    global _home
    _home = home


def _forget() -> None:
    """In the child of a fork, which may be a worker of the parent's."""
    global _lock, _server, _home
    _lock = threading.Lock()
    server, _server = _server, None
    if server is not None:
        _home = server.address, server.secret
        server.forget()


os.register_at_fork(after_in_child=_forget)


def reduced(fd: int) -> Any:
    """What stands for this descriptor in the pickle at hand; its ``detach`` gives a descriptor there."""
    from retinue._internal.pickling import travelling

    if context.get_spawning_popen() is not None:  # for a process that inherits it
        return reduction.DupFd(fd)
    if travelling.fds is not None:
        travelling.fds.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0))
        return Returned(len(travelling.fds) - 1)
    if travelling.lent is None:
        raise TypeError("an open connection, socket or file can only travel as a part of a task")
    lent = LentDescriptor(fd, travelling.again)
    prepare().serve()
    travelling.lent.append(lent)
    return lent
