"""`memwatch top`, as one types it: real kernels, real sockets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from messages import frames, message
from support import Kernel, wait_for

zmq = pytest.importorskip("zmq")

COMMAND = [str(Path(sys.executable).parent / "memwatch"), "top"]


def top(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False,
        **options,
    )  # fmt: skip


class Top:
    """It runs, and its refreshes can be looked at."""

    def __init__(self, *arguments, **options):
        self.process = subprocess.Popen(
            [*COMMAND, "--json", *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        self.seen = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def wait_for(self, wanted):
        """The first refresh from now on in which `wanted(process)` of one is true."""
        start = len(self.seen)

        def found():
            return [
                (refresh, process)
                for refresh in self.seen[start:]
                for process in refresh["processes"]
                if wanted(process)
            ]

        return wait_for(found, 60)[0]

    @property
    def endpoint(self):
        wait_for(lambda: self.seen)
        return self.seen[0]["stream"]["endpoint"]

    def close(self):
        """As Ctrl-C does; what it said on stderr."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(60)
        told = self.process.stderr.read()
        assert code == 0, told
        return told


@pytest.fixture
def nobody(tmp_path):
    """An environment in which no process is watched, and nobody has keys."""
    return os.environ | {
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }


@pytest.fixture
def published():
    """A function: a PUB socket that is connected to an endpoint, its keys set."""
    context = zmq.Context()

    def connect(endpoint, **values):
        socket = context.socket(zmq.PUB)
        socket.linger = 0
        for name, value in values.items():
            setattr(socket, name, value)
        socket.connect(endpoint)
        return socket

    yield connect
    context.destroy(linger=0)


def publish_until_seen(running, socket, **values):
    """Send, until a refresh has it: the subscription takes its time."""
    number = 0

    def seen():
        nonlocal number
        number += 1
        socket.send_multipart(frames(message(message=number, **values)))
        found = [each for each in running.seen[-1:] if each["processes"]]
        return found and found[0]["processes"][0]

    return wait_for(seen)


# ---- what it says ----


def test_no_watched_processes(nobody):
    done = top("--once", env=nobody)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert "%load_ext memwatch" in done.stdout
    value = json.loads(top("--once", "--json", env=nobody).stdout)
    assert (value["processes"], value["stream"]) == ([], None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--once"),
        (["--once", "--connect=nonsense"], "invalid endpoint"),
        (["--once", "--connect=tcp://10.0.0.1:5555"], "--server-key"),
        (["--once", "--connect=tcp://lo:5555"], "--server-key"),
        (["--once", "--bind=tcp://*:0"], "keygen"),
        (["--once", "--bind=tcp://127.0.0.1:0", "--curve"], "keygen"),
        (["--once", "--server-key=a"], "--connect"),
        (["--once", "--sort=colour"], "rss"),
        (["--once", "--rate=1000"], "50"),
    ],
)
def test_errors_are_one_line(nobody, arguments, told):
    done = top(*arguments, env=nobody)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "told"),
    [
        ("zmq", ["--once", "--bind=tcp://127.0.0.1:0"], "pip install textual pyzmq"),
        ("zmq", ["--once"], None),
        ("textual", ["--once"], None),
        ("rich", ["--once"], None),
    ],
)
def test_libraries_are_asked_for_only_where_they_are_needed(
    nobody, tmp_path, missing, arguments, told
):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / f"{missing}.py").write_text("raise ImportError('not here')")
    done = top(*arguments, env=nobody | {"PYTHONPATH": str(broken)})
    if told is None:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert told in done.stderr


def test_closed_pipe_ends_quietly(nobody):
    line = " ".join([*COMMAND, "--json", "--rate=50"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} | head -n 2"],
        capture_output=True, text=True, timeout=60, env=nobody, check=False,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    assert (done.returncode, done.stderr) == (0, "")


def test_unreadable_box_is_reported(nobody, tmp_path):
    folder = tmp_path / "runtime/memwatch"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "1-1.box").write_bytes(b"no box")
    done = top("--once", env=nobody)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1


# ---- kernels ----


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A runtime folder for this test's kernels alone."""
    folder = tmp_path / "runtime"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def watched(own_folder):
    kernel = Kernel()
    kernel.run("%load_ext memwatch")
    yield kernel
    kernel.close()


def test_a_kernel_is_seen_idle_running_and_going(watched):
    pid = int(watched.run("import os; print(os.getpid())").split()[0])
    running = Top("--rate=20")
    try:
        _, process = running.wait_for(lambda each: each["state"] == "idle")
        assert process["pid"] == pid
        assert process["rss_bytes"] > 2**20
        message_id = watched.send("held = b'x' * (64 << 20)\nwhile not input(): pass")
        _, process = running.wait_for(
            lambda each: (
                each["state"] == "running" and each["cell"]["duration_ns"] > 10**8
            )
        )
        assert process["cell"]["source"] == "held = b'x' * (64 << 20)"
        assert process["rss_bytes"] > 64 << 20
        table = top("--once", env=os.environ | {"COLUMNS": "100"}).stdout
        assert "held = b'x'" in table
        assert "running" in table
        watched.client.input("x")
        watched.output_of(message_id)
        _, process = running.wait_for(lambda each: each["state"] == "idle")
        assert not process["cell"]["is_running"]
        assert process["cell"]["used_bytes"] > 63 << 20
        # Freed by nobody's cell: RSS is that of now.
        os.kill(pid, signal.SIGKILL)
        running.wait_for(lambda each: each["state"] == "gone" and each["died"])
        assert "No watched processes" in top("--once").stdout
    finally:
        assert running.close() == ""


def test_a_cell_that_holds_the_gil_is_seen_all_the_time(watched, tmp_path):
    """It reads from a pipe, in C, until 50 samples of it have been shown."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    watched.run(f"import ctypes, os; pipe = os.open({str(pipe)!r}, os.O_RDWR)")
    watched.run("read, one = ctypes.PyDLL(None).read, ctypes.create_string_buffer(1)")
    running = Top("--rate=10")

    def seen():
        return [
            (number, refresh["t_mono_ns"] - process["sample_age_ns"], process["cell"])
            for number, refresh in enumerate(running.seen[:])
            for process in refresh["processes"]
            if process["state"] == "running"
            and "with the GIL" in process["cell"]["source"]
        ]

    try:
        running.wait_for(lambda each: each["state"] == "idle")
        request = watched.send("read(pipe, one, 1)  # with the GIL")
        wait_for(lambda: len({taken_ns for _, taken_ns, _ in seen()}) >= 50)
        pipe.write_bytes(b"x")
        watched.output_of(request)
        running.wait_for(lambda each: each["state"] == "idle")
    finally:
        running.close()
    numbers, taken, cells = zip(*seen(), strict=True)
    # In every refresh from the first to the last, and never with an older sample.
    assert list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    assert all(before <= after for before, after in pairwise(taken))
    assert cells[-1]["duration_ns"] - cells[0]["duration_ns"] > 4 * 10**9


def test_a_kernel_reports_to_a_collector(watched, tmp_path):
    # The collector does not see its box.
    elsewhere = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "elsewhere")}
    running = Top("--bind=tcp://127.0.0.1:*", "--rate=20", env=elsewhere)
    try:
        watched.run(f"%memwatch publish >{running.endpoint}")
        _, process = running.wait_for(lambda each: each["state"] == "idle")
        assert process["source"] == "stream"
        watched.run("held = b'x' * (32 << 20)")
        _, process = running.wait_for(
            lambda each: (
                each["cell"]["source"] == "held = b'x' * (32 << 20)"
                and each["state"] == "idle"
            )
        )
        assert process["cell"]["status"] == "ok"
        assert process["cell"]["used_bytes"] > 31 << 20
        assert process["lost"] == 0
        watched.run("%memwatch publish off")
        running.wait_for(lambda each: each["state"] == "gone" and not each["died"])
    finally:
        assert running.close() == ""


def test_a_kernel_is_called(watched, tmp_path):
    watched.run("%memwatch publish on")
    (socket,) = (tmp_path / "runtime/memwatch").glob("*.ipc")
    elsewhere = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "elsewhere")}
    done = top("--once", f"--connect=ipc://{socket}", env=elsewhere)
    assert done.stdout.startswith("1 process"), done
    # Here it has a box, too, and is one row all the same.
    done = top("--once", "--json", f"--connect=ipc://{socket}")
    (process,) = json.loads(done.stdout)["processes"]
    assert process["source"] == "box"
    assert process["received"] > 0


# ---- messages ----


def test_messages_as_rows(nobody, published):
    running = Top("--bind=tcp://127.0.0.1:*", "--rate=50", env=nobody)
    try:
        process = publish_until_seen(running, published(running.endpoint))
        assert process["kernel_id"] == "kernel"
        assert process["limit_share_percent"] == 20
        assert process["cell"]["label"] == "In [4]"
        assert running.seen[-1]["schema"] == 2
        assert set(running.seen[-1]["stream"]) == {
            "endpoint", "received", "refused", "refused_reason", "lost",
            "skipped_messages", "restarts",
        }  # fmt: skip
    finally:
        running.close()


def test_only_the_admitted_may_report(nobody, published, tmp_path):
    for name in ("own", "friend", "stranger"):
        keygen = [COMMAND[0], "keygen", *([] if name == "own" else [name])]
        subprocess.run(keygen, env=nobody, check=True, capture_output=True)
    folder = tmp_path / "config/memwatch/keys"
    arguments = ["--bind=tcp://127.0.0.1:*", "--curve", "--rate=50"]
    alone = Top(*arguments, "--count=1", env=nobody)
    alone.process.wait(60)
    assert "no public key is admitted" in alone.process.stderr.read()

    (folder / "admitted").mkdir(exist_ok=True)
    shutil.copy(folder / "friend.key", folder / "admitted")
    running = Top(*arguments, env=nobody)

    def keys_of(name):
        public, secret = zmq.auth.load_certificate(folder / f"{name}.key_secret")
        server, _ = zmq.auth.load_certificate(folder / "own.key")
        return {
            "curve_publickey": public, "curve_secretkey": secret,
            "curve_serverkey": server,
        }  # fmt: skip

    try:
        import zmq.auth

        others = [
            published(running.endpoint, **keys_of("stranger")),
            published(running.endpoint),
        ]
        friend = published(running.endpoint, **keys_of("friend"))
        number = 0

        def friend_is_seen():
            nonlocal number
            number += 1
            for each in others:
                each.send_multipart(frames(message(kernel_id="x", message=number)))
            friend.send_multipart(frames(message(message=number)))
            return running.seen[-1]["processes"] and number > 50

        wait_for(friend_is_seen)
        names = {
            process["kernel_id"]
            for refresh in running.seen
            for process in refresh["processes"]
        }
        assert names == {"kernel"}
        assert running.seen[-1]["stream"]["refused"] == 0
    finally:
        running.close()
