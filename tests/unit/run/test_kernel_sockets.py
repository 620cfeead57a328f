"""Unix sockets and ports of kernels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memwatch.run.kernels import SocketFolder, use_sockets
from runners import (
    LIMIT_S,
    install_kernel,
    notebook_of,
    run,
    text_of,
)

CONNECTION = (
    "import json, os\nfrom ipykernel import get_connection_info\n"
    "info = json.loads(get_connection_info())\nfolder = os.path.dirname(info['ip'])\n"
    "print(info['transport'], folder, oct(os.stat(folder).st_mode)[-4:])"
)


@pytest.mark.parametrize("length", [1, 120])
def test_a_kernel_uses_no_ports(tmp_path, monkeypatch, capfd, length):
    """But sockets in a private folder, in /tmp where the path would be too long."""
    base = tmp_path / ("x" * length)
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    notebook = notebook_of(CONNECTION)
    assert run(notebook).state == "ok"
    transport, folder, mode = text_of(notebook.cells[0]).split()
    assert (transport, mode) == ("ipc", "0700")
    assert Path(folder).parent == (base if length == 1 else Path("/tmp"))
    assert len(f"{folder}/k-99") <= 107  # sun_path of unix(7)
    assert not Path(folder).exists()
    assert list(base.iterdir()) == []
    assert "encryption" not in capfd.readouterr().err


def test_no_socket_is_left(tmp_path, monkeypatch):
    """Not where a kernel is killed, or does not start, or there is none."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run(notebook_of("import os; os.kill(os.getpid(), 9)")).state == "died"
    install_kernel(
        tmp_path, monkeypatch, "broken",
        sys.executable, "-c", "raise SystemExit(1)", "ipykernel", "{connection_file}",
    )  # fmt: skip
    for name in ("broken", "nonesuch"):
        assert run(notebook_of("1"), kernel_name=name).state == "no kernel"
    assert list(tmp_path.glob("memwatch*")) == []


def test_folders_of_killed_owners_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    other = tmp_path / "memwatch-sockets-file"
    other.touch()
    used = SocketFolder.make()
    (Path(used.path) / "k-1").touch()
    code = (
        "import os\nfrom memwatch.run.kernels import SocketFolder\n"
        "folder = SocketFolder.make()\nopen(folder.prefix + '-1', 'w').close()\n"
        "print(folder.path, flush=True)\nos.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S
    )
    abandoned = Path(killed.stdout.strip())
    assert abandoned.parent == tmp_path
    assert abandoned.exists()
    SocketFolder.make().remove()
    assert not abandoned.exists()
    assert sorted(tmp_path.iterdir()) == sorted([other, Path(used.path)])
    used.remove()
    used.remove()
    assert list(tmp_path.iterdir()) == [other]


REFUSES = """import json, os, sys
with open(sys.argv[2], "a") as starts:
    print(json.load(open(sys.argv[1]))["transport"], file=starts)
if {condition}:
    raise SystemExit(1)
os.execv(sys.executable,
         [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]])
"""


NO_SOCKETS = "json.load(open(sys.argv[1]))['transport'] != 'tcp'"


TAKEN_PORT = "len(open(sys.argv[2]).readlines()) == 1"


def install_refusing(tmp_path, monkeypatch, condition, *more):
    """A kernel that ends before it is ready; the file that says how often."""
    starts = tmp_path / "starts"
    install_kernel(
        tmp_path, monkeypatch, "refusing",
        sys.executable, "-c", REFUSES.format(condition=condition),
        "{connection_file}", str(starts), *more,
    )  # fmt: skip
    return starts


@pytest.mark.parametrize(
    ("condition", "word", "transports"),
    [
        (NO_SOCKETS, "ipykernel", "ipc tcp"),
        (TAKEN_PORT, "other", "tcp tcp"),
        ("True", "other", "tcp tcp"),
    ],
    ids=["no-sockets", "taken-port", "never"],
)
def test_a_kernel_that_dies_at_its_start_gets_another_try(
    tmp_path, monkeypatch, condition, word, transports
):
    """Where a kernel cannot use sockets, or a port was taken; once."""
    starts = install_refusing(tmp_path, monkeypatch, condition, word)
    notebook = notebook_of("print(6 * 7)")
    found = run(notebook, kernel_name="refusing")
    assert starts.read_text().split() == transports.split()
    if condition == "True":
        assert found.state == "no kernel"
        assert found.message.startswith("the kernel does not start: ")
    else:
        assert (found.state, found.message) == ("ok", None)
        assert text_of(notebook.cells[0]) == "42\n"
        assert found.cells[0].report is not None


@pytest.mark.parametrize(
    ("metadata", "argv0", "default", "is_used"),
    [
        ({}, "/usr/bin/python3", None, True),
        ({}, "docker", None, False),
        ({"kernel_provisioner": {"provisioner_name": "k8s"}}, "python", None, False),
        (
            {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            "python",
            "k8s",
            True,
        ),
        ({}, "python", "k8s", False),
    ],
)
def test_which_kernels_use_sockets(monkeypatch, metadata, argv0, default, is_used):
    """Those that this machine runs, without a wrapper."""
    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import KernelSpec

    if default is not None:
        monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", default)
    manager = KernelManager()
    argv = [argv0, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=argv, metadata=metadata)
    folder = use_sockets(manager)
    assert (folder is not None) == is_used
    assert manager.transport == ("ipc" if is_used else "tcp")
    if folder is not None:
        folder.remove()
