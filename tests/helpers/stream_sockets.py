"""Publishers of messages over real sockets, and a collector's answers to them."""

from __future__ import annotations

from typing import Any

import pytest

from messages import frames, message
from support import wait_for

zmq = pytest.importorskip("zmq")


class Publisher:
    """Numbers its messages, as memwatch does."""

    def __init__(self, endpoint: str, kernel_id: str = "kernel") -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PUB)
        self.socket.sndhwm = 0
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.kernel_id = kernel_id
        self.number = 0

    def send(self, kind: str = "sample", **values: Any) -> None:
        self.number += 1
        values = {"message": self.number, "kernel_id": self.kernel_id} | values
        self.socket.send_multipart(frames(message(kind, **values)))

    def close(self) -> None:
        self.context.destroy(linger=0)


def drain(collector: Any) -> int:
    """Fetch what has arrived; possibly nothing."""
    return collector.drain(1)


def meet(collector: Any, publisher: Publisher) -> Any:
    """Send until a message arrives; the collector's process."""

    def seen() -> list[Any]:
        publisher.send()
        drain(collector)
        return [
            each
            for each in collector.processes()
            if each.kernel_id == publisher.kernel_id
        ]

    return wait_for(seen)[0]


def fetch(collector: Any, count: int) -> None:
    """Fetch `count` more messages without decoding them."""
    wanted = collector.received + count
    wait_for(lambda: (drain(collector), collector.received >= wanted)[1])


def wait_for_message(collector: Any, number: int) -> Any:
    """The only process, as soon as its message of that number has arrived."""

    def seen() -> Any:
        drain(collector)
        (process,) = collector.processes()
        return process if process.message == number else None

    return wait_for(seen)
