"""%memwatch publish and c.MemWatch.publish."""

import os
import re
import subprocess
import sys

import pytest

import memwatch
from memwatch.ipython.completion import complete
from memwatch.stream import keys, publishing
from memwatch.stream.publishing import PublishError
from stream_sockets import (
    EXITS,
    PATIENCE_S,
    await_kind,
    published,
    receive,
    subscriber,
    zmq,
)
from support import run_python, wait_for

pytest.importorskip("memwatch._stream", reason="built without libzmq")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "invalid endpoint"),
        ("tcp://127.0.0.1:1", "invalid endpoint 'tcp://127.0.0.1:1'"),
        ("@udp://127.0.0.1:1", "expected ipc://PATH or tcp://"),
        ("@tcp://127.0.0.1", "expected ipc://PATH or tcp://"),
        ("@tcp://127.0.0.1:70000", "invalid port '70000'"),
        (">tcp://127.0.0.1:*", "names no host to connect to"),
        (">tcp://*:1", "names no host to connect to"),
        ("@tcp://a;b:1", "expected ipc://PATH or tcp://"),
        ("@ipc://relative", "expected an absolute path"),
        ("@ipc://@abstract", "expected an absolute path"),
        ("@ipc://*", "expected an absolute path"),
        (f"@ipc:///{'x' * 107}", "the path of a socket has at most 107 bytes"),
    ],
)
def test_wrong_endpoints(typed, told):
    with pytest.raises(PublishError, match=re.escape(told)):
        publishing.parse(typed)


@pytest.mark.parametrize(
    ("typed", "needs_keys"),
    [
        ("@ipc:///tmp/x", False),
        ("@tcp://127.0.0.1:*", False),
        ("@tcp://127.9.9.9:80", False),
        (">tcp://localhost:80", False),
        ("@tcp://[::1]:80", False),
        ("@tcp://lo:80", False),
        (">tcp://lo:80", True),
        ("@tcp://*:80", True),
        ("@tcp://0.0.0.0:80", True),
        ("@tcp://[::]:80", True),
        ("@tcp://eth0:80", True),
        (">tcp://127.0.0.1.example.org:80", True),
        (">tcp://10.0.0.1:80", True),
    ],
)
def test_beyond_loopback_takes_keys(config, typed, needs_keys):
    assert publishing.parse(typed).needs_keys == needs_keys
    assert str(publishing.parse(typed)) == typed


def test_publish_is_refused_with_the_reason(show, config):
    told = show("%memwatch publish @tcp://*:5555")
    assert "@tcp://*:5555 is reachable from other machines" in told
    assert "create one with: memwatch keygen" in told
    keys.make_keys()
    assert "publish_server_key" in show("%memwatch publish >tcp://10.0.0.1:5555")
    assert show("%memwatch publish") == "published: nothing"


def test_typed(show, ip):
    assert show("%memwatch publish") == "published: nothing"
    assert "invalid endpoint" in show("%memwatch publish nonsense")
    assert re.fullmatch(
        r"published: @ipc:///\S+\.ipc: \d+ messages, 0 dropped, no subscriptions",
        show("%memwatch publish on"),
    )
    assert "published: @ipc://" in show("%memwatch status")
    # Anew, at the same place.
    assert "published: @ipc://" in show("%memwatch publish on")
    assert show("%memwatch publish off") == "published: nothing"
    show("%config MemWatch.publish = '@tcp://127.0.0.1:*'")
    assert publishing.status()["endpoint"].startswith("@tcp://127.0.0.1:")
    ip.run_line_magic("unload_ext", "memwatch")
    assert publishing.status() is None


def test_tab(ip):
    def offered(line):
        return [each.text for each in complete(line, None, {})[1]]

    assert offered("%memwatch publish ") == [
        *("on", "off", "@ipc:///", "@tcp://127.0.0.1:*", ">tcp://")
    ]
    assert offered("%memwatch publish o") == ["on", "off"]


def test_port_in_use(show, context):
    socket = context.socket(zmq.PUB)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    told = show(f"%memwatch publish @tcp://127.0.0.1:{port}")
    assert f"@tcp://127.0.0.1:{port}: Address already in use" in told


def test_a_change_that_fails_leaves_all_as_it_was(show, ip, context):
    socket = context.socket(zmq.PUB)
    taken = socket.bind_to_random_port("tcp://127.0.0.1")
    show("%memwatch publish @tcp://127.0.0.1:*")
    before = publishing.status()["endpoint"]
    told = show(f"%memwatch publish @tcp://127.0.0.1:{taken}")
    assert "Address already in use" in told
    assert f"still published: {before}" in told
    # The port that was found, too, and what the session believes.
    assert publishing.status()["endpoint"] == before
    assert publishing.status()["alive"]
    assert ip.find_line_magic("memwatch").__self__.publish == "@tcp://127.0.0.1:*"
    await_kind(subscriber(context, before[1:]), "sample")


def test_a_change_that_fails_where_the_old_place_is_taken_too(ip, context, monkeypatch):
    socket = context.socket(zmq.PUB)
    taken = socket.bind_to_random_port("tcp://127.0.0.1")
    publishing.start("@tcp://127.0.0.1:*")
    before = published()
    stop = publishing.stop

    def stop_and_be_overtaken():
        stop()
        wait_for(lambda: binds(socket, before))

    monkeypatch.setattr(publishing, "stop", stop_and_be_overtaken)
    with pytest.raises(PublishError, match=r"nothing is published: .*in use"):
        publishing.start(f"@tcp://127.0.0.1:{taken}")
    assert publishing.status() is None


def binds(socket, endpoint):
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True


def test_configured(shell, context):
    shell.config.MemWatch.publish = "on"
    shell.config.MemWatch.publish_hz = 100
    shell.run_line_magic("load_ext", "memwatch")
    message = receive(subscriber(context, published()))
    assert message["interval_ns"] == 10_000_000


def test_configured_wrongly_is_warned_of(tmp_path):
    code = EXITS.replace("publishing.start(sys.argv[1])", "").replace(
        'print(publishing.status()["endpoint"])', "print(publishing.status())"
    )
    code = code.replace(
        'Config({"HistoryManager": {"enabled": False}})',
        'Config({"HistoryManager": {"enabled": False},'
        ' "MemWatch": {"publish": "@tcp://*:1"}})',
    )
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment,
        check=True,
    )
    assert done.stdout == "None\n"
    assert (
        "memwatch does not publish: @tcp://*:1 is reachable from other machines"
        in done.stderr
    )


def test_publishing_needs_a_black_box(show):
    show("%config MemWatch.record = False")
    assert "c.MemWatch.record = True" in show("%memwatch publish on")


def test_without_libzmq(show, monkeypatch):
    monkeypatch.setitem(sys.modules, "memwatch._stream", None)
    monkeypatch.delattr(memwatch, "_stream")
    told = show("%memwatch publish on")
    assert "publishing requires libzmq" in told
    assert "libzmq3-dev" in told


def test_libzmq_is_loaded_on_demand():
    code = (
        "import sys, memwatch; from memwatch.ipython import magics;"
        "print('memwatch._stream' in sys.modules)"
    )
    assert run_python(code) == "False\n"


def test_subscriptions_are_counted(show):
    def told():
        return show("%memwatch publish").rpartition(", ")[2]

    def wait_for_subscriptions(count):
        # No cell asks: cells in a row, faster than they can be published, are dropped.
        wait_for(lambda: publishing.status()["subscriptions"] == count)

    show("%memwatch publish on")
    assert told() == "no subscriptions"
    assert publishing.status()["subscriptions"] == 0
    with zmq.Context() as context:
        first, second = (subscriber(context, published()) for _ in range(2))
        wait_for_subscriptions(2)
        assert told() == "2 subscriptions"
        second.close()
        wait_for_subscriptions(1)
        assert told() == "1 subscription"
        assert receive(first)["dropped"] == 0
        first.close()
    wait_for_subscriptions(0)
    assert told() == "no subscriptions"
    # Nobody is at the other end.
    show("%memwatch publish >tcp://127.0.0.1:9")
    assert told() == "no subscriptions"


def test_runtime_folder_whose_name_is_not_utf_8(tmp_path):
    """The default endpoint works, can be printed, and a collector can connect to it."""
    folder = os.path.join(os.fsencode(tmp_path), b"r\xff\xe9")
    out = run_python(
        "import os, sys\n"
        "from traitlets.config import Config\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "config = Config({'HistoryManager': {'enabled': False}})\n"
        "ip = InteractiveShell.instance(config=config)\n"
        "ip.run_cell('%load_ext memwatch')\n"
        "ip.run_cell('%memwatch publish on')\n"
        "ip.run_cell('%memwatch status')\n"
        "from memwatch.top import collector; from memwatch.stream import publishing\n"
        "endpoint = publishing.status()['endpoint'][1:]\n"
        "print(os.path.exists(endpoint.removeprefix('ipc://')))\n"
        "found = collector.Collector([endpoint])\n"
        "import time\n"
        "end = time.monotonic() + 60\n"
        "while found.received == 0 and time.monotonic() < end: found.drain(1)\n"
        "print('received', found.received > 0)\n"
        "found.close()\n",
        env={
            **os.environ,
            "JUPYTER_RUNTIME_DIR": os.fsdecode(folder),
            "PYTHONIOENCODING": "utf-8:strict",
        },
    )
    shown = f"{tmp_path}/r\\xff\\xe9/memwatch/"
    assert f"published: @ipc://{shown}" in out
    assert f"black box: {shown}" in out
    assert "Error" not in out
    assert out.endswith("True\nreceived True\n")
