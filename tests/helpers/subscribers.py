"""Subscribers of a published kernel."""

import json

import zmq

from memwatch.stream import publishing

PATIENCE_S = 60


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
