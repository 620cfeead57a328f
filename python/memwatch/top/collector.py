"""The receiving end of the stream.

Twenty thousand messages per second must be cheap, and a hostile sender must not cost
more than its share. Messages are therefore fetched in batches, and of one process's
samples only the newest is decoded, at the next refresh. Losses are counted from the
publisher's message numbers.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from .auth import CollectorError, find_keys
from .memory_limit import (
    MemoryLimit,
    are_descriptors_left,
    raise_descriptor_limit,
    trim,
)
from .messages import (
    MAX_BODY_BYTES,
    Kind,
    Message,
    MessageError,
    read_message,
    read_topic,
)
from .processes import Process
from .sockets import Sockets

DRAIN_S = 0.05
"""The drain interval: a publisher at 1 kHz sends 50 messages in it."""
MAX_PROCESSES = 10_000
_MAX_WAITING = 32
"""Waiting messages per process, besides the newest sample."""
_MAX_REPLACED = 64
"""Processes that died and whose kernel was started again."""
_SILENT_NS = 5_000_000_000
"""If MAX_PROCESSES is reached, processes that were silent for so long are dropped."""
_GUARD_NS = 50_000_000
_TRIM_AFTER_NS = 1_000_000_000


class _Publisher:
    """A publisher and its messages that have not been decoded."""

    __slots__ = (
        "counted", "first_number", "newest", "process", "received", "seen_ns",
        "waiting",
    )  # fmt: skip

    def __init__(self, process: Process) -> None:
        self.process = process
        self.received = 0
        self.seen_ns = 0
        # The newest sample, if no other kind of message came after it.
        self.newest: bytes | None = None
        # The messages before it, oldest first.
        self.waiting: list[tuple[Kind, bytes]] = []
        # The number of the first counted message, and `received` before it (-1: to be
        # determined).
        self.first_number = 0
        self.counted = 0


class Collector:
    """Receives messages; one row per process. For one thread."""

    def __init__(
        self,
        connect: list[str],
        bind: str | None = None,
        server_key: str | None = None,
        *,
        curve: bool = False,
    ) -> None:
        """CollectorError: no pyzmq, an invalid endpoint, missing keys."""
        keys = find_keys(connect, bind, server_key, curve=curve)
        self.admits_nobody = keys.admitted == 0
        """Whether it binds with CURVE, but no publisher's key is admitted yet."""
        self.received = 0
        """All messages."""
        self.refused = 0
        """Invalid messages, and those of processes beyond MAX_PROCESSES."""
        self.refused_reason: str | None = None
        """Of the last refused message."""
        self.skipped_messages = 0
        """Starts and ends of cells that were dropped before a refresh."""
        self.restarts = 0
        """How often all connections were closed because they held too much memory."""
        self._publishers: dict[str, _Publisher] = {}
        self._topics: dict[bytes, tuple[_Publisher, Kind]] = {}
        self._replaced: deque[Process] = deque(maxlen=_MAX_REPLACED)
        raise_descriptor_limit()
        self._sockets = Sockets(connect, bind, keys)
        self._limit = MemoryLimit()
        self._guarded_ns = 0
        self._trim_at_ns: int | None = None

    def close(self) -> None:
        """Close all sockets; libzmq may need a moment longer."""
        self._sockets.end()
        self._limit.close()

    @property
    def endpoint(self) -> str | None:
        """The bound endpoint, with its port; None if it only connects."""
        return self._sockets.endpoint

    @property
    def lost(self) -> int:
        """Messages of the known processes that were numbered but did not arrive."""
        return sum(each.process.lost for each in self._publishers.values())

    # ---- receiving ----

    def drain(self, for_s: float) -> int:
        """Fetch waiting messages, for at most so many seconds; their number."""
        now_ns = time.monotonic_ns()
        self.guard()
        until_ns = now_ns + int(for_s * 1e9)
        count = sum(self._fetch(each, now_ns, until_ns) for each in self._sockets)
        self.received += count
        return count

    def _fetch(self, socket: Any, now_ns: int, until_ns: int) -> int:
        receive, no_wait = socket.recv_multipart, self._sockets.no_wait
        topics, count = self._topics, 0
        try:
            while True:
                if count & 63 == 63 and time.monotonic_ns() > until_ns:
                    return count
                frames = receive(no_wait)
                count += 1
                if len(frames) != 2 or len(frames[1]) > MAX_BODY_BYTES:
                    self._refuse("not two frames, or body too long")
                    continue
                topic, body = frames
                known = topics.get(topic) or self._add_topic(topic, body, now_ns)
                if known is None:
                    continue
                publisher, kind = known
                publisher.received += 1
                publisher.seen_ns = now_ns
                if kind == "sample":
                    publisher.newest = body
                else:
                    self._keep(publisher, kind, body)
        except self._sockets.again:
            return count

    def _keep(self, publisher: _Publisher, kind: Kind, body: bytes) -> None:
        """Keep a cell's start or end: a newer sample must not replace it."""
        waiting = publisher.waiting
        if publisher.newest is not None:
            waiting.append(("sample", publisher.newest))
            publisher.newest = None
        waiting.append((kind, body))
        excess = len(waiting) - _MAX_WAITING
        if excess > 0:
            self.skipped_messages += sum(
                kind != "sample" for kind, _ in waiting[:excess]
            )
            del waiting[:excess]

    def _add_topic(
        self, topic: bytes, body: bytes, now_ns: int
    ) -> tuple[_Publisher, Kind] | None:
        """The publisher of a new topic; None if it is refused.

        The message must be valid, because a topic alone costs its sender nothing.
        """
        try:
            kind, kernel_id = read_topic(topic)
            message = read_message(kind, kernel_id, body)
        except MessageError as error:
            self._refuse(str(error))
            return None
        publisher = self._publishers.get(kernel_id)
        if publisher is None:
            if len(self._publishers) >= MAX_PROCESSES and not self._drop_silent(now_ns):
                self._refuse(f"more than {MAX_PROCESSES:,} processes")
                return None
            publisher = _Publisher(Process("stream", kernel_id, message.pid))
            publisher.first_number = message.number
            self._publishers[kernel_id] = publisher
        known = self._topics[topic] = (publisher, kind)
        return known

    def _drop_silent(self, now_ns: int) -> bool:
        """Drop all silent processes at once, because the search is expensive."""
        silent = [
            kernel_id
            for kernel_id, publisher in self._publishers.items()
            if now_ns - publisher.seen_ns > _SILENT_NS
        ]
        for kernel_id in silent:
            self._forget(kernel_id)
        return bool(silent)

    def _forget(self, kernel_id: str) -> None:
        del self._publishers[kernel_id]
        for kind in ("sample", "open", "close", "bye"):
            self._topics.pop(f"memwatch.{kind}.{kernel_id}".encode(), None)

    def _refuse(self, reason: str) -> None:
        self.refused += 1
        self.refused_reason = reason

    # ---- decoding ----

    def processes(self) -> list[Process]:
        """Decode what has arrived; the processes as of now."""
        for place, publisher in enumerate(self._publishers.values()):
            if publisher.newest is not None or publisher.waiting:
                self._decode(publisher)
            if not place & 127:
                self.guard()
        return [*(each.process for each in self._publishers.values()), *self._replaced]

    def forget(self, process: Process) -> None:
        """Drop a process that is gone and has been shown as gone."""
        if process in self._replaced:
            self._replaced.remove(process)
        publisher = self._publishers.get(process.kernel_id)
        if publisher is not None and publisher.process is process:
            self._forget(process.kernel_id)

    def _decode(self, publisher: _Publisher) -> None:
        process = publisher.process
        waiting = publisher.waiting
        if publisher.newest is not None:
            waiting.append(("sample", publisher.newest))
        counted_before = publisher.counted + process.received
        newest: Message | None = None
        for kind, body in waiting:
            try:
                message = read_message(kind, process.kernel_id, body)
            except MessageError as error:
                self._refuse(str(error))
                continue
            if message.pid != process.pid or message.number < (process.message or 0):
                # The kernel was restarted: another publisher with the same id.
                if message.pid != process.pid and process.gone_ns is None:
                    process.end(publisher.seen_ns, died=True)
                    self._replaced.append(process)
                process = publisher.process = Process(
                    "stream", message.kernel_id, message.pid
                )
                publisher.first_number, publisher.counted = message.number, -1
            process.update_from_message(message, publisher.seen_ns)
            newest = message
        publisher.newest = None
        waiting.clear()
        if newest is not None:
            self._count(publisher, newest, counted_before)

    def _count(
        self, publisher: _Publisher, newest: Message, counted_before: int
    ) -> None:
        process = publisher.process
        sent = newest.number - publisher.first_number + 1
        if publisher.counted < 0:
            # How many of the messages since the last refresh were the old publisher's
            # is unknown. Assume as many as leave no gap in the new one's numbers.
            publisher.counted = max(counted_before, publisher.received - sent)
        process.received = publisher.received - publisher.counted
        process.lost = max(process.lost, sent - process.received)

    # ---- memory ----

    def guard(self) -> None:
        """Close and open all connections if they make this process hold too much.

        Call it during long work: loopback delivers 100 MiB in 0.1 s. Honest publishers
        connect again.
        """
        now_ns = time.monotonic_ns()
        if now_ns - self._guarded_ns < _GUARD_NS:
            return
        self._guarded_ns = now_ns
        if not self._sockets:
            self._reopen()
        if self._trim_at_ns is not None and now_ns > self._trim_at_ns:
            self._trim_at_ns = None
            trim()
        if not self._holds_too_much():
            return
        # malloc's free memory does not count.
        trim()
        if self._holds_too_much():
            self.restarts += 1
            self._sockets.close()
            self._reopen()
            # libzmq's threads free the memory of the connections a moment later.
            self._trim_at_ns = now_ns + _TRIM_AFTER_NS

    def _holds_too_much(self) -> bool:
        return self._limit.is_exceeded(len(self._publishers))

    def _reopen(self) -> None:
        if not are_descriptors_left():
            return  # libzmq would end the process; the closed ones are free soon
        try:
            self._sockets.open()
        except CollectorError:
            # The port is not free yet: libzmq closes it in a thread.
            self._sockets.close()
