"""Endpoints: which are valid, and which other machines can reach."""

import pytest

from memwatch.stream.endpoints import is_beyond


def test_endpoints_beyond_this_machine():
    for endpoint in (
        "ipc:///run/a.ipc", "tcp://127.0.0.1:5555", "tcp://[::1]:5555",
        "tcp://localhost:*", "tcp://127.1.2.3:1",
    ):  # fmt: skip
        assert not is_beyond(endpoint, connects=False)
        assert not is_beyond(endpoint, connects=True)
    for endpoint in (
        "tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://10.0.0.1:5555", "tcp://hub:5555",
        "tcp://[::]:5555", "tcp://eth0:5555", "tcp://localhost.evil.example:1",
    ):  # fmt: skip
        assert is_beyond(endpoint, connects=False)
        assert is_beyond(endpoint, connects=True)
    # `lo` is an interface when binding and a host name when connecting.
    assert not is_beyond("tcp://lo:5555", connects=False)
    assert is_beyond("tcp://lo:5555", connects=True)
    for endpoint in (
        "", "5555", "tcp://", "tcp://a", "tcp://a:b", "tcp://a:99999", "inproc://a",
        "ipc://", "ipc://@a", "udp://a:1", "tcp://127.0.0.1:1\n", "ipc://" + "a" * 200,
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"endpoint|port|path"):
            is_beyond(endpoint, connects=True)
