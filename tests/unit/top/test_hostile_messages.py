"""The collector under attack: what it refuses, and what it may hold."""

import json
import random
import socket
import struct

from memwatch.top import collector as collector_module
from memwatch.top import memory_limit
from memwatch.top.collector import Collector
from messages import message
from stream_sockets import Publisher, drain, meet, wait_for_message, zmq
from support import wait_for


def hostile():
    """Frames that no honest publisher sends."""
    chance = random.Random(5)
    good = json.dumps(message()).encode()
    topic = b"memwatch.sample.kernel"
    yield [topic]
    yield [topic, good, b"more"]
    yield [topic, *[b"x"] * 500]
    yield [b"memwatch.", good]
    yield [b"memwatch.sample.", good]
    yield [b"memwatch." + b"a" * 9000, good]
    for body in (b"", b"{}", b"[" * 8000, b'{"a":' * 1500, good[:-9], b"\0" * 8000):
        yield [topic, body]
        yield [b"memwatch.open.kernel", body]
        yield [b"memwatch.sample.new", body]
    for _ in range(200):
        yield [topic, chance.randbytes(chance.randrange(600))]
        cut = bytearray(good)
        cut[chance.randrange(len(cut))] = chance.randrange(256)
        yield [b"memwatch.close.other", bytes(cut)]
    for name in ("pid", "message", "rss_bytes", "host", "cell", "kernel_id", "schema"):
        for value in (None, -1, 2**70, 1e400, "x" * 7000, [[]], {"a": {}}, True):
            bad = json.dumps(
                message(**{name: value} if name != "cell" else {}) | {name: value}
            )
            yield [topic, bad.encode()]


def test_hostile_messages_do_not_affect_honest_ones(collector, publisher):
    enemy = Publisher(collector.endpoint, "enemy")
    meet(collector, enemy)
    for each in hostile():
        enemy.socket.send_multipart(each)
    enemy.send("bye")

    def enemy_is_gone():
        drain(collector)
        return any(each.gone_ns for each in collector.processes())

    try:
        wait_for(enemy_is_gone)
        publisher.send(rss_bytes=77)

        def honest():
            drain(collector)
            found = [
                each for each in collector.processes() if each.kernel_id == "kernel"
            ]
            return found[0].rss_bytes == 77

        wait_for(honest)
        # Of samples only the newest is decoded, so not all are refused.
        assert collector.refused > 100
        assert collector.refused_reason
    finally:
        enemy.close()


def test_garbage_on_the_port_is_ignored(collector, publisher):
    port = int(collector.endpoint.rpartition(":")[2])
    chance = random.Random(6)
    for size in (0, 1, 10, 64, 10_000):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(chance.randbytes(size))
    publisher.send(rss_bytes=88)
    assert wait_for_message(collector, publisher.number).rss_bytes == 88


def test_frame_that_is_too_long_ends_the_connection(collector, publisher):
    enemy = Publisher(collector.endpoint, "enemy")
    meet(collector, enemy)
    monitor = enemy.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    enemy.socket.send_multipart([b"memwatch.sample.enemy", bytes(100 * 2**20)])
    assert monitor.poll(30_000)
    enemy.close()
    publisher.send()
    process = [each for each in collector.processes() if each.kernel_id == "kernel"]
    assert process


def test_silent_processes_are_dropped_at_the_limit(monkeypatch, collector):
    monkeypatch.setattr(collector_module, "MAX_PROCESSES", 3)
    publishers = [Publisher(collector.endpoint, f"k{each}") for each in range(4)]
    try:
        for each in publishers[:3]:
            meet(collector, each)
        fourth = publishers[3]

        def refused():
            fourth.send()
            drain(collector)
            return collector.refused

        wait_for(refused)
        assert collector.refused_reason == "more than 3 processes"
        assert {each.kernel_id for each in collector.processes()} == {"k0", "k1", "k2"}
        monkeypatch.setattr(collector_module, "_SILENT_NS", -1)
        meet(collector, fourth)
        assert len(collector.processes()) == 1
    finally:
        for each in publishers:
            each.close()


def endless(port):
    """A peer whose message never ends: each frame announces another."""
    raw = socket.create_connection(("127.0.0.1", port))
    raw.settimeout(30)
    # ZMTP 3.0: greeting, mechanism NULL, then READY as a PUB.
    raw.sendall(
        b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    )
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 3) + b"PUB"
    raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
    return raw


def test_endless_message_ends_the_connections(monkeypatch):
    monkeypatch.setattr(memory_limit, "_FREE_BYTES", 24 * 2**20)
    monkeypatch.setattr(collector_module, "_GUARD_NS", 0)
    collector = Collector([], "tcp://127.0.0.1:*")
    publisher = Publisher(collector.endpoint)
    raw = endless(int(collector.endpoint.rpartition(":")[2]))
    part = b"\x03" + struct.pack(">Q", 16_000) + bytes(16_000)
    try:
        meet(collector, publisher)

        def disconnected():
            try:
                raw.sendall(part * 64)
            except OSError:
                return True
            drain(collector)
            return collector.restarts > 0

        wait_for(disconnected)
        drain(collector)
        assert collector.restarts >= 1
        # The honest publisher connects again.
        publisher.number += 1000
        before = publisher.number

        def is_back():
            publisher.send()
            drain(collector)
            (process,) = collector.processes()
            return process.message > before

        wait_for(is_back)
    finally:
        raw.close()
        publisher.close()
        collector.close()
