"""What is watched, published: real kernels, real sockets, real subscribers."""

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
from support import BECOME_NOBODY, MIB, Kernel, lines_in

pytest.importorskip("memwatch._stream", reason="built without libzmq")


# ---- a kernel ----


def test_kernel_is_published_while_it_runs(context, tmp_path):
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        told = kernel.run("%memwatch publish on")
        endpoint = re.search(r"published: @(ipc://\S+):", told)[1]
        socket = subscriber(context, endpoint)
        idle = await_kind(socket, "sample")
        while idle["cell"]:  # taken while the cell ran that began to publish
            idle = await_kind(socket, "sample")
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
