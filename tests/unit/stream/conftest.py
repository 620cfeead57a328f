"""What tests of publishing share: a ZeroMQ context, an empty configuration, a shell."""

import pytest
import zmq

from memwatch.stream import publishing


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration folder of its own: no keys are there."""
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def ip(shell):
    shell.run_line_magic("load_ext", "memwatch")
    yield shell
    publishing.stop()
