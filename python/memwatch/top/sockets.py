"""The ZeroMQ sockets of a collector: one that connects, one that binds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..stream import ipc_file
from .auth import DOMAIN, CollectorError, Keys, authenticator

if TYPE_CHECKING:
    import zmq

_QUEUE = 250
"""Messages per connection; then its publisher has to keep or drop them."""
_MAX_FRAME_BYTES = 16 * 1024
"""libzmq disconnects a peer that sends more, before it allocates memory for it."""
_ZERO_COPY_RECV = 10
"""ZMQ_ZERO_COPY_RECV of zmq.h; pyzmq has no name for it."""
_BACKLOG = 4096
"""Simultaneous connection attempts: a thousand kernels after a restart."""
_HANDSHAKE_MS = 5_000
_RECONNECT_MS = 5_000
_IPC = "ipc://"
_TERM_S = 0.05
"""How long to wait for libzmq's name lookup at the end."""
_SPARE_THREADS = 4
"""libzmq's two, the authenticator's, and one more."""


class Sockets:
    """The sockets of one collector; they can be closed and opened again.

    CollectorError: no pyzmq, no threads, an endpoint that cannot be used.
    """

    def __init__(self, connect: list[str], bind: str | None, keys: Keys) -> None:
        try:
            import zmq
            import zmq.auth.thread
        except ImportError as error:
            from ..optional import install_command

            raise CollectorError(
                f"receiving needs pyzmq: {install_command('top')} ({error})"
            ) from None
        _check_threads()
        self.again: type[Exception] = zmq.Again
        """Raised if no message is waiting."""
        self.no_wait = zmq.NOBLOCK
        self.endpoint: str | None = None
        """The bound endpoint, with its port; None if it only connects."""
        self._zmq = zmq
        self._connect, self._bind, self._keys = connect, bind, keys
        self._open: list[Any] = []
        # The ipc socket that we bound.
        self._file: tuple[str, ipc_file.Identity] | None = None
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.max_sockets = 64
        with contextlib.suppress(zmq.ZMQError):
            # Else each waiting message holds 18 KiB, whatever its length.
            self._context.set(_ZERO_COPY_RECV, 0)
        self._authenticator: Any = None
        if keys.bind is not None:
            self._authenticator = authenticator(self._context)
        try:
            self.open()
        except CollectorError:
            self.end()
            raise

    def __iter__(self) -> Iterator[Any]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> None:
        """Connect and bind. CollectorError."""
        # Two sockets, because their keys differ.
        if self._connect:
            socket = self._new()
            if self._keys.connect is not None:
                public, secret, server = self._keys.connect
                socket.curve_publickey = public.encode()
                socket.curve_secretkey = secret.encode()
                socket.curve_serverkey = server.encode()
            for endpoint in self._connect:
                socket.ipv6 = "[" in endpoint
                _attach(socket.connect, endpoint, "connect to")
        if self._bind is not None:
            socket = self._new()
            if self._keys.bind is not None:
                socket.curve_secretkey = self._keys.bind.encode()
                socket.curve_server = True
                socket.zap_domain = DOMAIN.encode()
            # With IPv6 the peer 127.0.0.1 is reported as ::ffff:127.0.0.1.
            socket.ipv6 = "[" in self._bind
            self._bind_socket(socket, self._bind)
            bound: bytes = socket.getsockopt(self._zmq.LAST_ENDPOINT)
            # A chosen port is kept when the sockets are opened again.
            self.endpoint = self._bind = os.fsdecode(bound.rstrip(b"\0"))
        for socket in self._open:
            socket.send(b"\x01memwatch.")

    def close(self) -> None:
        """Close all sockets; the context stays. Idempotent."""
        if self._file is not None:
            ipc_file.remove(*self._file)
            self._file = None
        while self._open:
            self._open.pop().close(linger=0)

    def end(self) -> None:
        """Close all, the context included, without waiting for libzmq."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self.close()
        if self._connect:
            # libzmq's name lookup cannot be interrupted and may take long; the process
            # may end meanwhile.
            ending = threading.Thread(target=self._context.term, daemon=True)
            ending.start()
            ending.join(_TERM_S)
        else:
            self._context.term()

    def _bind_socket(self, socket: Any, endpoint: str) -> None:
        path = endpoint.removeprefix(_IPC)
        if path == endpoint:
            _attach(socket.bind, endpoint, "listen at")
            return
        try:
            ipc_file.look(path)
            _attach(socket.bind, endpoint, "listen at")
            self._file = path, ipc_file.claim(path)
        except OSError as error:
            raise CollectorError(
                f"cannot listen at {endpoint}: {error.strerror}"
            ) from None

    def _new(self) -> Any:
        # Not SUB, which skips unsubscribed messages inside one receive call: a fast
        # sender could keep it there.
        socket = self._context.socket(self._zmq.XSUB)
        self._open.append(socket)
        socket.linger = 0
        socket.rcvhwm = _QUEUE
        socket.maxmsgsize = _MAX_FRAME_BYTES
        socket.backlog = _BACKLOG
        socket.handshake_ivl = _HANDSHAKE_MS
        socket.tcp_keepalive = 1
        socket.reconnect_ivl_max = _RECONNECT_MS
        return socket


def _check_threads() -> None:
    """CollectorError if no threads can be created: libzmq would call abort()."""
    gate = threading.Event()
    threads: list[threading.Thread] = []
    try:
        while len(threads) < _SPARE_THREADS:
            each = threading.Thread(target=gate.wait, daemon=True)
            each.start()
            threads.append(each)
    except RuntimeError:
        raise CollectorError(
            "the threads to receive the stream cannot be created (pthread_create): too"
            " many threads, or not enough memory"
        ) from None
    finally:
        gate.set()
        for each in threads:
            each.join()


def _attach(act: Any, endpoint: str, verb: str) -> None:
    import zmq

    # pyzmq takes a path with bytes that are not UTF-8 only as bytes.
    address = endpoint if endpoint.isprintable() else os.fsencode(endpoint)
    try:
        act(address)
    except zmq.ZMQError as error:
        raise CollectorError(f"cannot {verb} {endpoint}: {error.strerror}") from None
