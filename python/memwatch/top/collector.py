"""The receiving end of the stream. pyzmq, and nowhere else.

Twenty thousand messages a second are to cost little, and a hostile sender no more than
its share: nobody is woken by a message, they are fetched in batches, and of the samples
of one process only the newest is decoded, when somebody looks. What is lost is told by
the publisher's numbers and by how many came.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import threading
import time
from typing import TYPE_CHECKING, Any

from ..stream import ipc_file
from .auth import DOMAIN, CollectorError, authenticator, find_keys
from .messages import (
    MAX_BODY_BYTES,
    Kind,
    Message,
    MessageError,
    read_message,
    read_topic,
)
from .processes import Process

if TYPE_CHECKING:
    import zmq

__all__ = ["DRAIN_S", "Collector", "CollectorError"]

DRAIN_S = 0.05
"""How often to drain: 50 messages of a publisher at 1 kHz wait then."""
MAX_PROCESSES = 10_000
_QUEUE = 250
"""Messages a connection, before its publisher has to keep or to drop them."""
_MAX_FRAME_BYTES = 16 * 1024
"""libzmq closes the connection of who sends more, before it makes room for it."""
_MAX_WAITING = 32
"""Cells' beginnings and ends that wait, a process, until somebody looks."""
_SILENT_NS = 5_000_000_000
"""Who has been silent for so long makes room for another, where there is none."""
_GUARD_NS = 50_000_000
_TRIM_AFTER_NS = 1_000_000_000
_FREE_BYTES = 256 * 2**20
_FREE_BYTES_A_PROCESS = 16 * 2**10
"""The longest message that waits takes half of it."""
_FREE_BYTES_A_CONNECTION = 96 * 2**10
"""One took 65 KiB, most of it two blocks of libzmq's queue."""
_SPARE_DESCRIPTORS = 16
_SPARE_THREADS = 4
"""libzmq's two, the one that authenticates, and one more."""
_ZERO_COPY_RECV = 10
"""zmq.h's ZMQ_ZERO_COPY_RECV, which pyzmq has no name for."""
_BACKLOG = 4096
"""Connections that knock at once: a thousand kernels after a restart."""
_HANDSHAKE_MS = 5_000
_RECONNECT_MS = 5_000
_IPC = "ipc://"
_END_S = 0.05
"""How long libzmq may take to look up whom we no longer connect to."""


class _Source:
    """A publisher: what it is, and what of it has not been looked at."""

    __slots__ = (
        "base", "counted", "newest", "process", "received", "seen_ns",
        "waiting",
    )  # fmt: skip

    def __init__(self, process: Process) -> None:
        self.process = process
        self.received = 0
        self.seen_ns = 0
        self.newest: bytes | None = None
        """The newest sample, where no other kind came after it."""
        self.waiting: list[tuple[Kind, bytes]] = []
        """What came before it, oldest first."""
        self.base = 0
        """The number of the message that was the first to be counted ..."""
        self.counted = 0
        """... and what `received` was before it; -1: it is to be found out."""


class Collector:
    """Sockets, and one row a process that is heard of. For one thread."""

    def __init__(
        self,
        connect: list[str],
        bind: str | None = None,
        server_key: str | None = None,
        *,
        curve: bool = False,
    ) -> None:
        """CollectorError: no pyzmq, a wrong endpoint, no keys where it takes them."""
        try:
            import zmq
            import zmq.auth.thread
        except ImportError as error:
            from ..optional import install_command

            raise CollectorError(
                f"receiving needs pyzmq: {install_command('top')} ({error})"
            ) from None
        _look_for_threads()
        self._zmq = zmq
        self._connect, self._bind = connect, bind
        self.endpoint: str | None = None
        """Where it listens, the port filled in; None where it only connects."""
        self._keys = find_keys(connect, bind, server_key, curve=curve)
        self._sources: dict[str, _Source] = {}
        self._topics: dict[bytes, tuple[_Source, Kind]] = {}
        self.received = 0
        """Messages, whatever was in them."""
        self.refused = 0
        """Of those, what is no message of ours, or of one process too many."""
        self.passed_over = 0
        """Beginnings and ends of cells that nobody looked at in time."""
        self.restarts = 0
        """How often all were disconnected for what they had made us hold."""
        self.why_refused: str | None = None
        """The newest reason."""
        # A connection is a descriptor.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.max_sockets = 64
        with contextlib.suppress(zmq.ZMQError):
            # What waits would hold 18 KiB a connection, whatever its length.
            self._context.set(_ZERO_COPY_RECV, 0)
        self._authenticator: Any = None
        if self._keys.bind is not None:
            self._authenticator = authenticator(self._context)
        self._sockets: list[Any] = []
        self._file: tuple[str, ipc_file.Identity] | None = None
        """Of the ipc socket that we bound."""
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._rss_start_bytes = self._rss_bytes()
        self._guarded_ns = 0
        self._trim_at_ns: int | None = None
        try:
            self._open()
        except CollectorError:
            self.close()
            raise

    def close(self) -> None:
        """Nothing is waited for: libzmq may go on alone for a while."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self._close_sockets()
        if self._connect:
            # A thread of libzmq's that looks a name up cannot be interrupted, and takes
            # as long as the name's server; the process may end meanwhile.
            ending = threading.Thread(target=self._context.term, daemon=True)
            ending.start()
            ending.join(_END_S)
        else:
            self._context.term()
        os.close(self._statm)

    def _open(self) -> None:
        """One socket for whom we call, one for who calls us: their keys differ."""
        if self._connect:
            socket = self._new_socket()
            if self._keys.connect is not None:
                public, secret, server = self._keys.connect
                socket.curve_publickey = public.encode()
                socket.curve_secretkey = secret.encode()
                socket.curve_serverkey = server.encode()
            for endpoint in self._connect:
                socket.ipv6 = "[" in endpoint
                _attach(socket.connect, endpoint, "connect to")
        if self._bind is not None:
            socket = self._new_socket()
            if self._keys.bind is not None:
                socket.curve_secretkey = self._keys.bind.encode()
                socket.curve_server = True
                socket.zap_domain = DOMAIN.encode()
            # Where it is on, 127.0.0.1 is called ::ffff:127.0.0.1.
            socket.ipv6 = "[" in self._bind
            self._bind_socket(socket, self._bind)
            told: bytes = socket.getsockopt(self._zmq.LAST_ENDPOINT)
            # Where all has to be opened anew, a port that was ours to choose stays.
            self.endpoint = self._bind = os.fsdecode(told.rstrip(b"\0"))
        for socket in self._sockets:
            socket.send(b"\x01memwatch.")

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

    def _new_socket(self) -> Any:
        zmq = self._zmq
        # Not SUB: it would go on and on through what it did not ask for, in one call,
        # as fast as somebody sends it.
        socket = self._context.socket(zmq.XSUB)
        self._sockets.append(socket)
        socket.linger = 0
        socket.rcvhwm = _QUEUE
        socket.maxmsgsize = _MAX_FRAME_BYTES
        socket.backlog = _BACKLOG
        socket.handshake_ivl = _HANDSHAKE_MS
        socket.tcp_keepalive = 1
        socket.reconnect_ivl_max = _RECONNECT_MS
        return socket

    def _close_sockets(self) -> None:
        if self._file is not None:
            ipc_file.remove(*self._file)
            self._file = None
        while self._sockets:
            self._sockets.pop().close(linger=0)

    @property
    def admits_nobody(self) -> bool:
        """Whether it listens for nobody, as no key is in the folder yet."""
        return self._keys.admitted == 0

    # ---- what comes ----

    def drain(self, for_s: float) -> int:
        """Fetch what has come, for at most so long. Returns how many messages."""
        now_ns = time.monotonic_ns()
        self.guard()
        until_ns = now_ns + int(for_s * 1e9)
        count = sum(self._fetch(each, now_ns, until_ns) for each in self._sockets)
        self.received += count
        return count

    def _fetch(self, socket: Any, now_ns: int, until_ns: int) -> int:
        receive, dont_wait = socket.recv_multipart, self._zmq.NOBLOCK
        topics, count = self._topics, 0
        try:
            while True:
                if count & 63 == 63 and time.monotonic_ns() > until_ns:
                    return count
                frames = receive(dont_wait)
                count += 1
                if len(frames) != 2 or len(frames[1]) > MAX_BODY_BYTES:
                    self._refuse("not two frames, or the second too long")
                    continue
                topic, body = frames
                known = topics.get(topic) or self._meet(topic, body, now_ns)
                if known is None:
                    continue
                source, kind = known
                source.received += 1
                source.seen_ns = now_ns
                if kind == "sample":
                    source.newest = body
                else:
                    self._keep(source, kind, body)
        except self._zmq.Again:
            return count

    def _keep(self, source: _Source, kind: Kind, body: bytes) -> None:
        """A cell's beginning or end is not swallowed by a newer sample."""
        waiting = source.waiting
        if source.newest is not None:
            waiting.append(("sample", source.newest))
            source.newest = None
        waiting.append((kind, body))
        if len(waiting) > _MAX_WAITING:
            gone = len(waiting) - _MAX_WAITING
            self.passed_over += sum(kind != "sample" for kind, _ in waiting[:gone])
            del waiting[:gone]

    def _meet(
        self, topic: bytes, body: bytes, now_ns: int
    ) -> tuple[_Source, Kind] | None:
        """The source of a topic that is new; None where it gets no place.

        It gets one for a message that is right, as a topic alone costs nothing.
        """
        try:
            kind, kernel_id = read_topic(topic)
            message = read_message(kind, kernel_id, body)
        except MessageError as error:
            self._refuse(str(error))
            return None
        source = self._sources.get(kernel_id)
        if source is None:
            if len(self._sources) >= MAX_PROCESSES and not self._make_room(now_ns):
                self._refuse(f"more than {MAX_PROCESSES:,} processes")
                return None
            source = _Source(Process("stream", kernel_id, message.pid))
            source.base = message.number
            self._sources[kernel_id] = source
        known = self._topics[topic] = (source, kind)
        return known

    def _make_room(self, now_ns: int) -> bool:
        """Forget those that have been silent, all of them: looking is not for free."""
        silent = {
            kernel_id
            for kernel_id, source in self._sources.items()
            if now_ns - source.seen_ns > _SILENT_NS
        }
        if not silent:
            return False
        for kernel_id in silent:
            self._forget(kernel_id)
        return True

    def _forget(self, kernel_id: str) -> None:
        del self._sources[kernel_id]
        for kind in ("sample", "open", "close", "bye"):
            self._topics.pop(f"memwatch.{kind}.{kernel_id}".encode(), None)

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.why_refused = why

    # ---- what is seen ----

    def look(self) -> list[Process]:
        """The processes as of now."""
        for place, source in enumerate(self._sources.values()):
            if source.newest is not None or source.waiting:
                self._decode(source)
            if not place & 127:
                self.guard()
        return [source.process for source in self._sources.values()]

    def forget(self, process: Process) -> None:
        """It is gone, and was shown as such."""
        source = self._sources.get(process.kernel_id)
        if source is not None and source.process is process:
            self._forget(process.kernel_id)

    def _decode(self, source: _Source) -> None:
        process = source.process
        waiting = source.waiting
        if source.newest is not None:
            waiting.append(("sample", source.newest))
        looked_at = source.counted + process.received
        newest: Message | None = None
        for kind, body in waiting:
            try:
                message = read_message(kind, process.kernel_id, body)
            except MessageError as error:
                self._refuse(str(error))
                continue
            if message.pid != process.pid or message.number < (process.message or 0):
                # Another publisher with that kernel's id: a kernel that was restarted.
                process = source.process = Process(
                    "stream", message.kernel_id, message.pid
                )
                source.base, source.counted = message.number, -1
            process.see_message(message, source.seen_ns)
            newest = message
        source.newest = None
        waiting.clear()
        if newest is not None:
            self._count(source, newest, looked_at)

    def _count(self, source: _Source, newest: Message, looked_at: int) -> None:
        process = source.process
        sent = newest.number - source.base + 1
        if source.counted < 0:
            # Of what came since we looked, nobody knows how much was still of the one
            # before: as much as is no gap in the numbers of this one.
            source.counted = max(looked_at, source.received - sent)
        process.received = source.received - source.counted
        process.lost = max(process.lost, sent - process.received)

    @property
    def lost(self) -> int:
        """What was numbered and did not come, of the processes that are known."""
        return sum(source.process.lost for source in self._sources.values())

    # ---- what it may hold ----

    def _rss_bytes(self) -> int:
        pages = int(os.pread(self._statm, 128, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def guard(self) -> None:
        """Disconnect all where they have made us hold more than is ours to give.

        To be called in between by whoever does much: loopback brings 100 MiB in 0.1 s.
        libzmq bounds a frame and the messages of a queue, but not the frames of a
        message: one that never ends is held until it does. Who is honest comes back.
        """
        now_ns = time.monotonic_ns()
        if now_ns - self._guarded_ns < _GUARD_NS:
            return
        self._guarded_ns = now_ns
        if not self._sockets:
            self._reopen()
        if self._trim_at_ns is not None and now_ns > self._trim_at_ns:
            self._trim_at_ns = None
            _trim()
        if not self._holds_too_much():
            return
        # What is free already, but kept by malloc, is not held.
        _trim()
        if self._holds_too_much():
            self.restarts += 1
            self._close_sockets()
            self._reopen()
            # libzmq frees what they held in threads of its own, a moment later.
            self._trim_at_ns = now_ns + _TRIM_AFTER_NS

    def _holds_too_much(self) -> bool:
        held_bytes = self._rss_bytes() - self._rss_start_bytes
        held_bytes -= _FREE_BYTES + _FREE_BYTES_A_PROCESS * len(self._sources)
        # Counting connections takes its time: only where it matters.
        return (
            held_bytes > 0
            and held_bytes > _FREE_BYTES_A_CONNECTION * _count_descriptors()
        )

    def _reopen(self) -> None:
        if not _are_descriptors_left():
            return  # libzmq would end the process; those closed will soon be free
        try:
            self._open()
        except CollectorError:
            # The port is not free yet: libzmq closes in a thread of its own.
            self._close_sockets()


def _trim() -> None:
    """Have malloc give back what it keeps; musl's has nothing to be asked for that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _count_descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # there is none left


def _are_descriptors_left() -> bool:
    taken: list[int] = []
    try:
        while len(taken) < _SPARE_DESCRIPTORS:
            taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        for each in taken:
            os.close(each)
    return True


def _look_for_threads() -> None:
    """CollectorError: libzmq calls abort() where it can create none."""
    gate = threading.Event()
    threads: list[threading.Thread] = []
    try:
        while len(threads) < _SPARE_THREADS:
            each = threading.Thread(target=gate.wait, daemon=True)
            each.start()
            threads.append(each)
    except RuntimeError:
        raise CollectorError(
            "the threads to receive the stream cannot be created (pthread_create):"
            " there are too many, or there is no memory for them"
        ) from None
    finally:
        gate.set()
        for each in threads:
            each.join()


def _attach(act: Any, endpoint: str, what: str) -> None:
    import zmq

    # A path may have bytes that are not UTF-8, which pyzmq takes as bytes only.
    address = endpoint if endpoint.isprintable() else os.fsencode(endpoint)
    try:
        act(address)
    except zmq.ZMQError as error:
        raise CollectorError(f"cannot {what} {endpoint}: {error.strerror}") from None
