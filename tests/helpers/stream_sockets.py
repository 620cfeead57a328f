"""Real sockets: publishers, a collector's answers to them, and subscribers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memwatch.stream import publishing
from messages import frames, message
from support import wait_for

zmq = pytest.importorskip("zmq")

PATIENCE_S = 60


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
    """The only one that has not died, as soon as that message of it has arrived."""

    def seen() -> Any:
        drain(collector)
        (process,) = [each for each in collector.processes() if not each.died]
        return process if process.message == number else None

    return wait_for(seen)


# ---- subscribers of a published kernel ----


def subscriber(context, endpoint=None, **options):
    socket = context.socket(zmq.SUB)
    socket.rcvtimeo = PATIENCE_S * 1000
    socket.rcvhwm = 0
    socket.subscribe(b"")
    for name, value in options.items():
        setattr(socket, name, value)
    if endpoint is not None:
        socket.connect(endpoint)
    return socket


def receive(socket):
    topic, body = socket.recv_multipart()
    message = json.loads(body)
    assert topic.decode() == f"memwatch.{message['kind']}.{message['kernel_id']}"
    assert len(body) <= 8192
    return message


def await_kind(socket, kind):
    while (message := receive(socket))["kind"] != kind:
        pass
    return message


def published():
    return publishing.status()["endpoint"][1:]


EXITS = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from memwatch.stream import publishing

ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
ip.run_line_magic("load_ext", "memwatch")
publishing.start(sys.argv[1])
print(publishing.status()["endpoint"])
"""
