"""The collector's sockets: where it may listen, and what it leaves behind."""

import os
import socket
import stat

import pytest

from memwatch.top import collector as collector_module
from memwatch.top.collector import Collector, CollectorError
from stream_sockets import Publisher, drain, meet
from support import wait_for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["nonsense"],), "invalid endpoint"),
        ((["tcp://10.0.0.1:5555"],), "--server-key"),
        (([], "tcp://127.0.0.1:1", "k" * 40), "--connect"),
        (([], "ipc:///no/such/folder/a.ipc"), "cannot listen at"),
    ],
)
def test_invalid_arguments_are_one_line(arguments, message):
    with pytest.raises(CollectorError, match=message) as caught:
        Collector(*arguments)
    assert "\n" not in str(caught.value)


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CollectorError, match="in use"):
            Collector([], endpoint)


def test_ipc_socket_belongs_to_one_collector(tmp_path):
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
        # A second collector cannot bind it.
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


def test_stale_ipc_socket_is_replaced_and_a_foreign_one_stays(tmp_path):
    path = tmp_path / "a.ipc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    collector = Collector([], f"ipc://{path}")
    path.rename(tmp_path / "moved")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        collector.close()
        assert path.is_socket()


def test_ipc_socket_is_opened_again(monkeypatch, tmp_path):
    path = tmp_path / "a.ipc"
    collector = Collector([], f"ipc://{path}")
    publisher = Publisher(collector.endpoint)
    try:
        meet(collector, publisher)
        monkeypatch.setattr(collector_module, "_GUARD_NS", 0)
        with monkeypatch.context() as tight:
            tight.setattr(collector, "_holds_too_much", lambda: True)
            collector.guard()
        assert collector.restarts == 1
        before = publisher.number

        def is_back():
            publisher.send()
            drain(collector)
            (process,) = collector.processes()
            return process.message > before

        wait_for(is_back)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    finally:
        publisher.close()
        collector.close()
    assert not path.exists()


def test_no_descriptor_is_left_open():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    Collector([], "tcp://127.0.0.1:*").close()
    before = descriptors()
    for _ in range(5):
        Collector([], "tcp://127.0.0.1:*").close()
    assert descriptors() == before
