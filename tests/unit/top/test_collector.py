"""The receiving end, over real sockets: what it keeps, counts, refuses and bounds."""

import json
import os
import random
import socket
import stat
import struct

import pytest

from memwatch.top import collector as room
from memwatch.top.collector import Collector, CollectorError
from messages import frames, message, until

zmq = pytest.importorskip("zmq")


class Publisher:
    """Numbers what it sends, as memwatch does."""

    def __init__(self, endpoint, kernel_id="kernel"):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PUB)
        self.socket.sndhwm = 0
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.kernel_id = kernel_id
        self.number = 0

    def send(self, kind="sample", **values):
        self.number += 1
        values = {"message": self.number, "kernel_id": self.kernel_id} | values
        self.socket.send_multipart(frames(message(kind, **values)))

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def collector():
    running = Collector([], "tcp://127.0.0.1:*")
    yield running
    running.close()


@pytest.fixture
def publisher(collector):
    with_number = Publisher(collector.endpoint)
    meet(collector, with_number)
    yield with_number
    with_number.close()


def meet(collector, publisher):
    """Until what it sends arrives."""

    def seen():
        publisher.send()
        drain(collector)
        return [
            each for each in collector.look() if each.kernel_id == publisher.kernel_id
        ]

    return until(seen)[0]


def drain(collector):
    """The collector is heard, which is not to say that anything came."""
    return collector.drain(1)


def fetch(collector, count):
    """So many more have come, and nobody has looked."""
    wanted = collector.received + count
    until(lambda: (drain(collector), collector.received >= wanted)[1])


def see(collector, number):
    """The one process when its message of that number has come."""

    def seen():
        drain(collector)
        (process,) = collector.look()
        return process if process.message == number else None

    return until(seen)


def test_nothing_is_lost_and_only_the_newest_sample_is_kept(collector, publisher):
    for size in range(1000):
        publisher.send(rss_bytes=size)
    process = see(collector, publisher.number)
    assert (process.rss_bytes, process.lost) == (999, 0)
    assert collector.lost == collector.refused == 0
    assert process.received <= publisher.number


def test_a_gap_in_the_numbers_is_what_was_lost(collector, publisher):
    publisher.number += 5
    publisher.send()
    assert see(collector, publisher.number).lost == 5
    publisher.send()
    assert see(collector, publisher.number).lost == 5


def test_beginnings_and_ends_are_not_swallowed_by_newer_samples(collector, publisher):
    publisher.send("open", cell={"label": "In [7]"})
    publisher.send("close", cell={"label": "In [7]"}, report={"status": "error"})
    for _ in range(100):
        publisher.send(cell=None)
    process = see(collector, publisher.number)
    assert (process.cell.label, process.cell.status) == ("In [7]", "error")
    assert not process.is_running
    assert collector.passed_over == 0


def test_what_waits_is_bounded(collector, publisher):
    for _ in range(200):
        publisher.send("open")
        publisher.send("close")
    process = see(collector, publisher.number)
    # All were counted, not all were looked at.
    assert process.lost == 0
    assert collector.passed_over > 0


def test_a_kernel_that_was_restarted_is_another_process(collector, publisher):
    publisher.number = 1000
    publisher.send()
    assert see(collector, publisher.number).lost > 0
    publisher.number = 0
    publisher.send(pid=124)
    process = see(collector, publisher.number)
    assert (process.pid, process.lost, process.received) == (124, 0, 1)


def test_a_restart_that_is_looked_at_late_loses_nothing(collector, publisher):
    publisher.number = 1000
    publisher.send()
    see(collector, publisher.number)
    # All of this waits when somebody looks: of the samples the newest alone.
    publisher.send("bye", cell=None)
    publisher.number = 0
    publisher.send(pid=124)
    publisher.send("open", pid=124)
    for _ in range(50):
        publisher.send(pid=124)
    fetch(collector, 53)
    process = see(collector, publisher.number)
    assert (process.pid, process.lost, process.received) == (124, 0, 52)
    publisher.number += 3
    publisher.send(pid=124)
    process = see(collector, publisher.number)
    assert (process.lost, process.received) == (3, 53)


def test_what_a_restart_lost_before_it_was_looked_at(collector, publisher):
    publisher.send()
    see(collector, publisher.number)
    publisher.send("bye", cell=None)
    publisher.number = 0
    publisher.send("open", pid=124)
    publisher.number += 100
    publisher.send(pid=124)
    fetch(collector, 3)
    process = see(collector, publisher.number)
    # At most one of what came was the old one's, but nobody counted which.
    assert 99 <= process.lost <= 100


def test_goodbye(collector, publisher):
    publisher.send("bye", cell=None)
    process = see(collector, publisher.number)
    assert process.state(process.went_ns) == "gone"
    collector.forget(process)
    assert collector.look() == []
    meet(collector, publisher)


def test_the_calling_end(tmp_path):
    context = zmq.Context()
    sockets = [context.socket(zmq.PUB) for _ in range(2)]
    endpoints = [f"ipc://{tmp_path}/{each}.ipc" for each in range(2)]
    for each, endpoint in zip(sockets, endpoints, strict=True):
        each.bind(endpoint)
    collector = Collector(endpoints)

    def both():
        for number, each in enumerate(sockets):
            each.send_multipart(frames(message(kernel_id=f"k{number}")))
        drain(collector)
        return len(collector.look()) == 2

    try:
        until(both)
        assert collector.endpoint is None
    finally:
        collector.close()
        context.destroy(linger=0)


# ---- what is refused ----


def hostile():
    """Bodies and frames that nobody honest sends."""
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


def test_hostile_messages_leave_the_honest_ones_alone(collector, publisher):
    enemy = Publisher(collector.endpoint, "enemy")
    meet(collector, enemy)
    for each in hostile():
        enemy.socket.send_multipart(each)
    enemy.send("bye")

    def enemy_is_gone():
        drain(collector)
        return any(each.went_ns for each in collector.look())

    try:
        until(enemy_is_gone)
        publisher.send(rss_bytes=77)

        def honest():
            drain(collector)
            found = [each for each in collector.look() if each.kernel_id == "kernel"]
            return found[0].rss_bytes == 77

        until(honest)
        # Of samples only the newest is looked at.
        assert collector.refused > 100
        assert collector.why_refused
    finally:
        enemy.close()


def test_garbage_on_the_port(collector, publisher):
    port = int(collector.endpoint.rpartition(":")[2])
    chance = random.Random(6)
    for size in (0, 1, 10, 64, 10_000):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(chance.randbytes(size))
    publisher.send(rss_bytes=88)
    assert see(collector, publisher.number).rss_bytes == 88


def test_a_frame_that_is_too_long_ends_the_connection(collector, publisher):
    enemy = Publisher(collector.endpoint, "enemy")
    meet(collector, enemy)
    monitor = enemy.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    enemy.socket.send_multipart([b"memwatch.sample.enemy", bytes(100 * 2**20)])
    assert monitor.poll(30_000)
    enemy.close()
    publisher.send()
    process = [each for each in collector.look() if each.kernel_id == "kernel"]
    assert process


def test_processes_are_bounded_and_the_silent_make_room(monkeypatch, collector):
    monkeypatch.setattr(room, "MAX_PROCESSES", 3)
    publishers = [Publisher(collector.endpoint, f"k{each}") for each in range(4)]
    try:
        for each in publishers[:3]:
            meet(collector, each)
        fourth = publishers[3]

        def refused():
            fourth.send()
            drain(collector)
            return collector.refused

        until(refused)
        assert collector.why_refused == "more than 3 processes"
        assert {each.kernel_id for each in collector.look()} == {"k0", "k1", "k2"}
        monkeypatch.setattr(room, "_SILENT_NS", -1)
        meet(collector, fourth)
        assert len(collector.look()) == 1
    finally:
        for each in publishers:
            each.close()


def endless(port):
    """A peer whose message never ends: each frame says that more will come."""
    raw = socket.create_connection(("127.0.0.1", port))
    raw.settimeout(30)
    # ZMTP 3.0: greeting, mechanism NULL, then READY as a PUB.
    raw.sendall(
        b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    )
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 3) + b"PUB"
    raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
    return raw


def test_a_message_without_an_end_is_not_held_without_an_end(monkeypatch):
    monkeypatch.setattr(room, "_FREE_BYTES", 24 * 2**20)
    monkeypatch.setattr(room, "_GUARD_NS", 0)
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

        until(disconnected)
        drain(collector)
        assert collector.restarts >= 1
        # Who is honest comes back by itself.
        publisher.number += 1000
        before = publisher.number

        def is_back():
            publisher.send()
            drain(collector)
            (process,) = collector.look()
            return process.message > before

        until(is_back)
    finally:
        raw.close()
        publisher.close()
        collector.close()


# ---- where it may listen ----


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((["nonsense"],), "invalid endpoint"),
        ((["tcp://10.0.0.1:5555"],), "--server-key"),
        (([], "tcp://127.0.0.1:1", "k" * 40), "--connect"),
        (([], "ipc:///no/such/folder/a.ipc"), "cannot listen at"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, told):
    with pytest.raises(CollectorError, match=told) as caught:
        Collector(*arguments)
    assert "\n" not in str(caught.value)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CollectorError, match="in use"):
            Collector([], endpoint)


def test_an_ipc_socket_is_ours_alone(tmp_path):
    path = tmp_path / "a.ipc"
    endpoint = f"ipc://{path}"
    umask = os.umask(0)
    try:
        collector = Collector([], endpoint)
    finally:
        os.umask(umask)
    publisher = Publisher(endpoint)
    try:
        before = path.lstat()
        assert stat.S_IMODE(before.st_mode) == 0o600
        # Whoever comes later gets another place.
        with pytest.raises(CollectorError, match=r"a\.ipc: .*in use"):
            Collector([], endpoint)
        assert path.lstat().st_ino == before.st_ino
        meet(collector, publisher)
    finally:
        publisher.close()
        collector.close()
    assert not path.exists()
    path.write_text("somebody's")
    with pytest.raises(CollectorError, match="not a socket"):
        Collector([], endpoint)
    assert path.read_text() == "somebody's"


def test_what_the_dead_left_is_taken_over_and_what_is_anothers_stays(tmp_path):
    path = tmp_path / "a.ipc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    collector = Collector([], f"ipc://{path}")
    path.rename(tmp_path / "moved")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        collector.close()
        assert path.is_socket()


def test_an_ipc_socket_is_opened_anew(monkeypatch, tmp_path):
    path = tmp_path / "a.ipc"
    collector = Collector([], f"ipc://{path}")
    publisher = Publisher(collector.endpoint)
    try:
        meet(collector, publisher)
        monkeypatch.setattr(room, "_GUARD_NS", 0)
        with monkeypatch.context() as tight:
            tight.setattr(collector, "_holds_too_much", lambda: True)
            collector.guard()
        assert collector.restarts == 1
        before = publisher.number

        def is_back():
            publisher.send()
            drain(collector)
            (process,) = collector.look()
            return process.message > before

        until(is_back)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    finally:
        publisher.close()
        collector.close()
    assert not path.exists()


def test_nothing_is_left_open():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    Collector([], "tcp://127.0.0.1:*").close()
    before = descriptors()
    for _ in range(5):
        Collector([], "tcp://127.0.0.1:*").close()
    assert descriptors() == before
