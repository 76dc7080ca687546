"""Listening sockets: many on one port, and never a port that another hub has.

Many, because the event loop accepts one connection a turn from each: a storm of 2,000 reconnects
took 6.1 s with one listener and 0.95 s with sixteen. ``SO_REUSEPORT``, which makes that possible,
also lets a second process of the same user take a share of the connections without a word; so
the port is first tried without it, and a lock in the abstract socket namespace settles the race
between two hubs that start at the same moment.

Not here: accepting (inbound/server.py). Off Linux there is one listener and no lock: the meaning
of ``SO_REUSEPORT`` differs there, and an ordinary bind is exclusive.
"""

import errno
import socket
import sys
from typing import Final

USER_TIMEOUT_MILLISECONDS: Final = 30_000
"""Unacknowledged or unread this long, and the kernel ends the connection. Inherited when accepting."""
HINTS: Final = {
    errno.EACCES: "Use a port above 1023.",
    errno.EADDRNOTAVAIL: "Use an address of this machine, such as 127.0.0.1.",
}


class ListenError(Exception):
    """The hub cannot listen where it was told to. Two lines: what is wrong, what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"error: {message}\ntry: {hint}")
        self.message = message
        self.hint = hint


class AddressInUseError(ListenError):
    """Something listens there already, perhaps another hub."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is in use; another hub may be running there.",
            f"Stop what listens there, or choose another port, e.g. --port {port + 1 if port < 65535 else port - 1}.",
        )


class Listeners:
    """Bound sockets of one address, listening. ``close`` releases them and the lock."""

    def __init__(self, host: str, port: int, count: int, backlog: int) -> None:
        """Bind; port 0 takes a free one. Raises ListenError, or AddressInUseError."""
        self.sockets: list[socket.socket] = []
        self._lock: socket.socket | None = None
        family, address = _resolve(host, port)
        try:
            self._bind(family, address, count if sys.platform == "linux" else 1)
            for sock in self.sockets:
                sock.listen(backlog)
        except OSError as error:
            self.close()
            raise _explained(error, host, port) from error
        bound = self.sockets[0].getsockname()
        self.host, self.port = str(bound[0]), int(bound[1])

    def _bind(self, family: socket.AddressFamily, address: tuple[str, int], count: int) -> None:
        many = count > 1
        if address[1] != 0 and many:
            _listening_socket(family, address, reuse_port=False).close()
        for _ in range(count):
            sock = _listening_socket(family, address, reuse_port=many)
            self.sockets.append(sock)
            address = (address[0], sock.getsockname()[1])
            if many and self._lock is None:
                self._lock = _exclusive(address)

    def close(self) -> None:
        """Stop listening. Connections the kernel took but nobody accepted are reset."""
        for sock in self.sockets:
            sock.close()
        if self._lock is not None:
            self._lock.close()


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"The address {host!r} is unknown: {error.strerror}.", "Use 127.0.0.1 or ::1.") from error
    # A name such as localhost may stand for both families: IPv4 is what every client tries.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), port)


def _listening_socket(family: socket.AddressFamily, address: tuple[str, int], *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLISECONDS)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _exclusive(address: tuple[str, int]) -> socket.socket:
    """Take the lock of an address. The kernel releases it with the process; raises EADDRINUSE."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0crossfade/{address[0]}/{address[1]}")
    except OSError:
        lock.close()
        raise
    return lock


def _explained(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(host, port)
    hint = HINTS.get(error.errno or 0, "Choose another address or port.")
    return ListenError(f"Cannot listen on {host}:{port}: {error.strerror}.", hint)
