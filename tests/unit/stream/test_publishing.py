"""What is watched, published: real kernels, real sockets, real subscribers."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import memwatch
from memwatch.ipython.completion import complete
from memwatch.stream import keys, publishing
from memwatch.stream.publishing import PublishError
from support import BECOME_NOBODY, MIB, Kernel, lines_in, run_python, wait_for

zmq = pytest.importorskip("zmq")
pytest.importorskip("memwatch._stream", reason="built without libzmq")

PATIENCE_S = 60


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


@pytest.fixture
def show(ip, capsys):
    """What a cell prints, but for its line."""

    def show(code):
        capsys.readouterr()
        ip.run_cell(code, store_history=True)
        captured = capsys.readouterr()
        shown = (captured.out + captured.err).splitlines()
        return "\n".join(each for each in shown if not lines_in(each))

    return show


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


# ---- a kernel ----


def test_kernel_is_published_while_it_runs(context, tmp_path):
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        told = kernel.run("%memwatch publish on")
        endpoint = re.search(r"published: @(ipc://\S+):", told)[1]
        socket = subscriber(context, endpoint)
        idle = await_kind(socket, "sample")
        assert idle["cell"] is None
        assert idle["rss_bytes"] > 10 * MIB
        assert idle["pid"] == kernel.manager.provisioner.pid
        connection = Path(kernel.manager.connection_file).stem
        assert connection.removeprefix("kernel-") == idle["kernel_id"]

        go = tmp_path / "go"
        code = "held = bytearray(64 * 2**20)\nimport os, time\n"
        code += f"while not os.path.exists({str(go)!r}): time.sleep(0.01)"
        request = kernel.send(code)
        opened = await_kind(socket, "open")
        assert opened["cell"]["source"] == "held = bytearray(64 * 2**20)"
        # A kernel that is busy answers nobody; its samples come all the same.
        samples = [receive(socket) for _ in range(3)]
        go.touch()
        while (message := receive(socket))["kind"] == "sample":
            samples.append(message)
        assert message["kind"] == "close"
        assert {each["kind"] for each in samples} == {"sample"}
        assert samples[-1]["rss_bytes"] > opened["rss_bytes"] + 60 * MIB
        assert {each["cell"]["number"] for each in samples} == {
            opened["cell"]["number"]
        }
        report = message["report"]
        assert report.keys() == memwatch.CellReport().to_dict().keys()
        text = kernel.output_of(request)
        assert lines_in(text)[0].used == pytest.approx(
            report["used_bytes"] / MIB, abs=1e-4
        )
        numbers = [each["message"] for each in samples]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert message["dropped"] == 0

        path = endpoint.removeprefix("ipc://")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        kernel.run("%unload_ext memwatch")
        assert await_kind(socket, "bye")["cell"] is None
        assert not os.path.exists(path)
    finally:
        kernel.close()


def test_stuck_subscriber_delays_no_cell(ip, context):
    publishing.start("on", hz=1000)
    endpoint = published()
    stuck = subscriber(zmq.Context(), endpoint, rcvhwm=1, rcvbuf=4096)
    receive(stuck)  # it is there, and then reads no more
    other = subscriber(context, endpoint)
    number = receive(other)["message"]
    deadline = time.monotonic() + PATIENCE_S
    # Short cells are sampled at 1 kHz.
    while publishing.status()["dropped"] == 0 and time.monotonic() < deadline:
        ip.run_cell("import time; time.sleep(0.2)", store_history=True)
    status = publishing.status()
    assert status["dropped"] > 0
    publishing.stop()
    while True:
        message = receive(other)
        assert message["message"] == number + 1
        number = message["message"]
        if message["kind"] == "bye":
            break
    assert message["dropped"] >= status["dropped"]
    stuck.context.destroy(linger=0)


# ---- fork and exit ----

FORKS = """
import multiprocessing, os, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
import memwatch
from memwatch.stream import publishing

def child(queue):
    queue.put((publishing.status(), os.getpid()))

ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
ip.run_line_magic("load_ext", "memwatch")
publishing.start(sys.argv[1])
input()
context = multiprocessing.get_context("fork")
for _ in range(10):
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    status, pid = queue.get()
    process.join(60)
    assert process.exitcode == 0, process.exitcode
    assert status is None, status
    assert publishing.status()["alive"]
print(os.getpid())
"""


@contextmanager
def script(code, *arguments):
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_forked_children_neither_hang_nor_publish(context):
    collector = subscriber(context)
    port = collector.bind_to_random_port("tcp://127.0.0.1")
    with script(FORKS, f">tcp://127.0.0.1:{port}") as process:
        # Who binds subscribes when it is asked: so it has to be heard of first.
        messages = [receive(collector)]
        out, _ = process.communicate("\n", timeout=PATIENCE_S)
        assert process.returncode == 0
    while messages[-1]["kind"] != "bye":
        messages.append(receive(collector))
    pids = {each["pid"] for each in messages}
    numbers = [each["message"] for each in messages]
    assert pids == {int(out.splitlines()[-1])}
    assert numbers == sorted(set(numbers))


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


@pytest.mark.parametrize("endpoint", ["on", ">tcp://127.0.0.1:9", "@tcp://127.0.0.1:*"])
@pytest.mark.parametrize("how", ["", "raise SystemExit(0)", "ip.run_cell('1/0')"])
def test_exit_with_a_live_stream_does_not_hang(endpoint, how):
    with script(f"{EXITS}\n{how}", endpoint) as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    told = out.splitlines()[0]
    if endpoint == "on":
        assert not os.path.exists(told.removeprefix("@ipc://"))


# ---- who may not ----

NOBODY_CONNECTS = f"""
import socket
{BECOME_NOBODY}
become_nobody(1)
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    print("refused")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_cannot_connect(ip, open_folder):
    """Even if the folder lets everybody in."""
    publishing.start(f"@ipc://{open_folder}/socket")
    for path in (f"{open_folder}/socket",):
        done = subprocess.run(
            [sys.executable, "-c", NOBODY_CONNECTS, path],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.stdout == "refused\n", done.stderr


def test_only_admitted_peers_get_messages(ip, context, config):
    keys.make_keys()
    friend, _ = keys.make_keys("friend")
    keys.make_keys("stranger")
    own = keys.own_keys()
    # Nobody is admitted yet: so nothing is bound.
    with pytest.raises(PublishError, match="no public key is admitted; put those"):
        publishing.start("@tcp://0.0.0.0:*")
    friend.rename(friend.parent / "admitted" / friend.name)
    publishing.start("@tcp://0.0.0.0:*", hz=1000)
    endpoint = published().replace("0.0.0.0", "127.0.0.1")

    def with_keys(name):
        secret = (keys.keys_folder() / f"{name}.key_secret").read_text()
        found = dict(re.findall(r'(\w+)-key = "(.+)"', secret))
        socket = context.socket(zmq.SUB)
        socket.curve_publickey = found["public"].encode()
        socket.curve_secretkey = found["secret"].encode()
        socket.curve_serverkey = own.public.encode()
        socket.rcvtimeo = PATIENCE_S * 1000
        socket.subscribe(b"")
        socket.connect(endpoint)
        return socket

    plain, stranger = subscriber(context, endpoint), with_keys("stranger")
    friendly = with_keys("friend")
    deadline = time.monotonic() + PATIENCE_S
    while publishing.status()["refused"] == 0 and time.monotonic() < deadline:
        receive(friendly)
    assert publishing.status()["refused"] > 0
    for _ in range(3):
        receive(friendly)
    for socket in (plain, stranger):
        socket.rcvtimeo = 100
        with pytest.raises(zmq.Again):
            receive(socket)


# ---- what is typed ----


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
    assert complete("%memwatch publish ", "") == [
        *("on", "off", "@ipc:///", "@tcp://127.0.0.1:*", ">tcp://")
    ]
    assert complete("%memwatch publish o", "o") == ["on", "off"]


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
