"""A collector and a publisher that is connected to it."""

import pytest

from memwatch.top.collector import Collector


@pytest.fixture
def collector():
    pytest.importorskip("zmq")
    running = Collector([], "tcp://127.0.0.1:*")
    yield running
    running.close()


@pytest.fixture
def publisher(collector):
    from stream_sockets import Publisher, meet

    connected = Publisher(collector.endpoint)
    meet(collector, connected)
    yield connected
    connected.close()
