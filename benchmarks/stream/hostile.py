"""A million hostile messages at one collector, over loopback: does it live, how much
does it hold, does it still show who is honest?

The collector is the command itself, `memwatch top --bind ... --json`. Each sort of
enemy is a process of its own and has its share of the messages. RSS is looked at every
50 ms; what it may be at most is what collector.py allows itself: 256 MiB more than at
the start, 16 KiB for each of 10,000 processes, 96 KiB for each connection (here a few),
and what comes between two looks of its own.

usage: hostile.py [--messages=1000000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

import zmq

from benchmarks.helpers.process import cpu_ns, rss_bytes
from benchmarks.stream.load import Collector

BOUND_BYTES = 256 * 2**20 + 10_000 * 16 * 2**10 + 256 * 2**20
"""The last is what loopback brings while nobody looks: a refresh of 10,000 rows."""

TOPIC = b"memwatch.sample.enemy"


def sample(kernel_id: str, number: int, **values) -> bytes:
    told = {
        "schema": 2, "kind": "sample", "kernel_id": kernel_id, "host": "h",
        "user": "u", "pid": 7, "notebook": None, "message": number, "dropped": 0,
        "interval_ns": 10**8, "sampled_at": "2026-11-22T12:00:00.000Z",
        "t_mono_ns": 1, "rss_bytes": 2**20, "lifetime_peak_bytes": 2**20,
        "limit_bytes": None, "limit_set_by": None, "limit_group": None, "cell": None,
    }  # fmt: skip
    return json.dumps(told | values).encode()


# ---- the enemies: each is a generator of frames ----


def random_bytes(chance):
    while True:
        size = chance.randrange(1200)
        yield [TOPIC, chance.randbytes(size)]
        yield [b"memwatch." + chance.randbytes(size % 100), chance.randbytes(size)]


def truncated(chance):
    whole = sample("enemy", 1)
    while True:
        yield [TOPIC, whole[: chance.randrange(len(whole))]]


def deep(chance):
    while True:
        depth = chance.randrange(1, 1600)
        # Under a topic of its own each: that is decoded at once.
        topic = b"memwatch.sample.%d" % chance.randrange(10**9)
        yield [topic, b"[" * depth * 5]
        yield [topic, b'{"a":' * depth]


def wrong(chance):
    names = ("pid", "message", "rss_bytes", "host", "cell", "schema", "interval_ns")
    values = (None, -1, 2**70, 10**1000, "x" * 3000, [[]], {"a": {}}, True, 1e300)
    while True:
        bad = {chance.choice(names): chance.choice(values)}
        name = f"wrong{chance.randrange(1000)}"
        yield [f"memwatch.sample.{name}".encode(), sample(name, 1, **bad)]


def topics(chance):
    for number in range(10**9):
        name = f"endless{number}" + "x" * 100
        body = sample(name, 1, notebook="n" * 500, host="h" * 64)
        yield [f"memwatch.sample.{name}".encode(), body]


def events(chance):
    for number in range(10**9):
        kind = ("open", "close", "bye")[number % 3]
        body = sample("events", number + 1, kind=kind, notebook="n" * 5000)
        yield [f"memwatch.{kind}.events".encode(), body]


def parts(chance):
    while True:
        yield [TOPIC, *[b"p" * 100] * chance.randrange(3, 300)]


PUBLISHED = [random_bytes, truncated, deep, wrong, topics, events, parts]


def publish(which: int, endpoint: str, count: int) -> None:
    """Sends them all: it waits where the collector does not follow."""
    context = zmq.Context()
    sender = context.socket(zmq.XPUB)
    sender.setsockopt(zmq.XPUB_NODROP, 1)
    sender.linger = -1
    sender.connect(endpoint)
    sender.recv()  # the subscription
    frames = PUBLISHED[which](random.Random(which))
    for _ in range(count):
        sender.send_multipart(next(frames))
    context.destroy()


def huge(endpoint: str, count: int) -> None:
    """Messages of 100 MiB: each ends its connection."""
    context = zmq.Context()
    body = bytes(100 * 2**20)
    for _ in range(count):
        sender = context.socket(zmq.XPUB)
        sender.linger = 0
        sender.connect(endpoint)
        if sender.poll(5000):
            sender.recv()
            monitor = sender.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            sender.send_multipart([TOPIC, body], copy=False)
            monitor.poll(5000)
        sender.close()
    context.destroy(linger=0)


def garbage(endpoint: str, count: int) -> None:
    """No ZMTP at all."""
    chance = random.Random(8)
    port = int(endpoint.rpartition(":")[2])
    for _ in range(count):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
                raw.sendall(chance.randbytes(chance.randrange(5000)))
        except OSError:
            continue  # it hung up first


def endless(endpoint: str, seconds: float) -> None:
    """A message that never ends, again and again."""
    port = int(endpoint.rpartition(":")[2])
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0")
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"PUB"
    part = (b"\x03" + struct.pack(">Q", 16_000) + bytes(16_000)) * 16
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
                raw.sendall(
                    greeting + bytes(32) + b"\x04" + bytes([len(ready)]) + ready
                )
                while time.monotonic() < until:
                    raw.sendall(part)
        except OSError:
            time.sleep(0.05)  # it hung up, or listens anew


def honest(endpoint: str, stop) -> None:
    """Ten samples a second, all the while."""
    context = zmq.Context()
    sender = context.socket(zmq.PUB)
    sender.linger = 0
    sender.connect(endpoint)
    message = 0
    while not stop.wait(0.1):
        message += 1
        sender.send_multipart([b"memwatch.sample.honest", sample("honest", message)])
    context.destroy(linger=0)


class Watch(threading.Thread):
    """The highest RSS of the collector, looked at every 50 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.highest_bytes = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.highest_bytes = max(self.highest_bytes, rss_bytes(self.pid))


def state_of_honest(seen: dict) -> str | None:
    for each in seen["processes"]:
        if each["kernel_id"] == "honest":
            return each["state"]
    return None


def run(messages: int, folder: Path) -> bool:
    collector = Collector(folder, "--rate=1")
    endpoint = collector.look()["stream"]["endpoint"]
    watch = Watch(collector.pid)
    watch.start()
    started_bytes = rss_bytes(collector.pid)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    friend = spawn.Process(target=honest, args=(endpoint, stop))
    friend.start()
    collector.wait_until(lambda seen: state_of_honest(seen) == "idle", 30)
    begin, spent = time.monotonic(), cpu_ns(collector.pid)

    def wave(name: str, *enemies) -> None:
        """These at once, until the last has done."""
        since = time.monotonic()
        watch.highest_bytes = 0
        running = [spawn.Process(target=each, args=args) for each, *args in enemies]
        for each in running:
            each.start()
        for each in running:
            each.join()
        # It may still have to look at what was sent.
        seen = collector.look()
        told = seen["stream"]
        print(
            f"{name:<28}{time.monotonic() - since:6.1f} s, at most"
            f" {watch.highest_bytes / 2**20:6.0f} MiB; received {told['received']:,},"
            f" refused {told['refused']:,}, restarts {told['restarts']}"
        )
        highest.append(watch.highest_bytes)

    highest: list[int] = []
    share = messages // len(PUBLISHED)
    wave(
        "seven sorts of messages",
        *((publish, each, endpoint, share) for each in range(len(PUBLISHED))),
    )
    wave("frames of 100 MiB", (huge, endpoint, 20))
    wave("no ZMTP at all", (garbage, endpoint, 2000))
    wave("messages without an end", (endless, endpoint, 10.0))
    took = time.monotonic() - begin
    core = (cpu_ns(collector.pid) - spent) / (took * 1e9)
    seen = collector.wait_until(lambda seen: state_of_honest(seen) == "idle", 30)
    stop.set()
    friend.join()
    watch.done.set()
    now_bytes = rss_bytes(collector.pid)
    received = seen["stream"]["received"]
    ended = collector.close()
    print(
        f"the collector lives and shows who is honest; {100 * core:.0f} % of a core;"
        f" {started_bytes / 2**20:.0f} MiB before, {max(highest) / 2**20:.0f} at most"
        f" (allowed: {(started_bytes + BOUND_BYTES) / 2**20:.0f}),"
        f" {now_bytes / 2**20:.0f} after"
    )
    return (
        received >= share * len(PUBLISHED)
        and max(highest) < started_bytes + BOUND_BYTES
        and ended == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if run(given.messages, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
