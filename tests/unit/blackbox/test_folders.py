"""Where black boxes lie: safe places, slow ones, and none."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memwatch import _core
from memwatch.blackbox import folders, postmortem, reader
from memwatch.stream import keys
from slowfs import slow_file_system
from support import Kernel, run_python, wait_for

OWN = f"memwatch-{os.geteuid()}"
SHELL = (
    "import os, pathlib, subprocess\n"
    "from IPython.core.interactiveshell import InteractiveShell\n"
    "from memwatch.blackbox import reader, recording\n"
    "ip = InteractiveShell.instance()\n"
)
LOAD = SHELL + "ip.run_line_magic('load_ext', 'memwatch')\n"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A runtime folder, and a folder beside it, of this test alone."""
    for name, variable in (("jupyter", "JUPYTER"), ("xdg", "XDG")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"{variable}_RUNTIME_DIR", str(tmp_path / name))
    monkeypatch.setattr(folders, "_SHARED_MEMORY", str(tmp_path / "none"))
    monkeypatch.setattr(folders, "_safe", {})
    return tmp_path


@pytest.fixture
def slow(tmp_path):
    """A FUSE file system: each write takes 50 ms, and its server can hang."""
    folder = tmp_path / "slow"
    folder.mkdir()
    try:
        mounted = slow_file_system(folder)
        found = mounted.__enter__()
    except OSError as error:
        pytest.skip(str(error))
    yield found
    mounted.__exit__(None, None, None)


@pytest.fixture
def mount(tmp_path):
    """mount(kind, name, options): a folder of that name; unmounted at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    mounted = []

    def mount(kind, name, options=""):
        folder = tmp_path / name
        folder.mkdir()
        arguments = (kind.encode(), os.fsencode(folder), kind.encode())
        if libc.mount(*arguments, 0, options.encode()) != 0:
            pytest.skip(f"{kind} cannot be mounted: {os.strerror(ctypes.get_errno())}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        libc.umount2(os.fsencode(folder), 2)


def in_jupyters(monkeypatch, folder):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))


# ---- what is safe ----


def test_the_runtime_folder_where_it_can_be_mapped(places):
    assert _core.is_mappable(places)
    assert folders.find_place() == (places / "jupyter/memwatch", None)
    assert (places / "jupyter/memwatch").stat().st_mode & 0o777 == 0o700
    assert not (places / "xdg" / OWN).exists()


@pytest.mark.parametrize("kind", ["ramfs", "overlay"])
def test_other_file_systems_are_not_mapped(mount, places, monkeypatch, kind):
    if kind == "ramfs":
        folder = mount("ramfs", "ramfs")
    else:  # its upper layer is one that is not mapped
        upper = mount("ramfs", "upper")
        for name in ("up", "work"):
            (upper / name).mkdir()
        (places / "lower").mkdir()
        options = f"lowerdir={places}/lower,upperdir={upper}/up,workdir={upper}/work"
        folder = mount("overlay", "overlay", options)
    assert not _core.is_mappable(folder)
    in_jupyters(monkeypatch, folder)
    assert folders.find_place() == (places / "xdg" / OWN, None)


@pytest.mark.parametrize("name", ["upper", "an upper layer"])
def test_an_overlay_is_as_safe_as_its_upper_layer(mount, places, monkeypatch, name):
    upper = mount("tmpfs", name)
    for each in ("up", "work"):
        (upper / each).mkdir()
    (places / "lower").mkdir()
    options = f"lowerdir={places}/lower,upperdir={upper}/up,workdir={upper}/work"
    overlay = mount("overlay", "overlay", options)
    in_jupyters(monkeypatch, overlay / "deep")
    assert folders.find_place() == (overlay / "deep/memwatch", None)
    # Another folder that is where the upper layer seems to be: it is not known.
    assert ctypes.CDLL(None).umount2(os.fsencode(upper), 2) == 0
    assert not _core.is_mappable(overlay / "deep/memwatch")
    (upper / "up/deep/memwatch").mkdir(parents=True)
    os.utime(upper / "up/deep/memwatch", (1, 1))
    assert not _core.is_mappable(overlay / "deep/memwatch")


def refuse_link(folder, places):
    (places / "elsewhere").mkdir()
    folder.symlink_to(places / "elsewhere")


def refuse_file(folder, places):
    folder.write_text("")


def refuse_other_users(folder, places):
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, 65534, 65534)


@pytest.mark.parametrize("refuse", [refuse_link, refuse_file, refuse_other_users])
def test_folder_prepared_by_another_user_is_refused(places, refuse):
    folder = places / "xdg" / OWN
    refuse(folder, places)
    with pytest.raises(OSError, match="cannot use the folder"):
        _core.make_folder(folder)
    assert folders._find_own_folder() is None
    if folder.is_dir():
        (folder / f"{os.getpid()}-1.box").write_bytes(b"\0" * 65536)
        assert reader.find_boxes() == []


def test_a_folder_that_others_may_read_is_made_private(places):
    folder = places / "xdg" / OWN
    folder.mkdir(mode=0o755)
    assert folders._find_own_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_home_and_no_name_make_no_folder_of_that_name(open_folder):
    """Where HOME is not set and the user is not in the data base."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody unknown")
    code = (
        "import memwatch._core, memwatch.blackbox.reader, traitlets\n"
        "import memwatch.blackbox.postmortem\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import IPython.paths, IPython.core.profiledir\n"
        "import os\n"
        "from memwatch.blackbox import folders, recording, reader\n"
        "from memwatch.stream import keys\n"
        "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "recording.start()\n"
        "print(recording.describe())\n"
        "try:\n"
        "    print(keys.keys_folder())\n"
        "except keys.KeysError as error:\n"
        "    print(error)\n"
    )
    xdg, work = open_folder / "xdg", open_folder / "work"
    for each in (xdg, work):
        each.mkdir()
        os.chown(each, 54321, 54321)
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(xdg)}
    box, told = run_python(code, env=environment, cwd=work).splitlines()
    assert Path(box).parent == xdg / "memwatch-54321"
    assert told.startswith("the home directory is unknown; set HOME, or")
    assert list(work.iterdir()) == []


# ---- a file system that is slow, or hangs ----


def test_a_slow_runtime_folder(slow, places, monkeypatch):
    """The box lies in a folder beside it, and readers find it there."""
    in_jupyters(monkeypatch, slow.path)
    with_kernel = Kernel()
    try:
        with_kernel.run("%load_ext memwatch")
        (box,) = reader.find_boxes()
        assert box.parent == places / "xdg" / OWN
        assert box.parent.stat().st_mode & 0o777 == 0o700
        assert box.stat().st_mode & 0o777 == 0o600
        assert f"black box: {box}\n" in with_kernel.run("%memwatch status")
        slow.hang()
        for number in range(3):
            assert f"In [{number + 3}]" in with_kernel.run("x = 1")
        assert "1\n" in with_kernel.run("import subprocess; subprocess.call('false')")
        slow.resume()
        pid = with_kernel.manager.provisioner.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: postmortem.find_dead(pid) and not os.path.exists(f"/proc/{pid}/exe")
        )
        ((path, found),) = postmortem.find_dead(pid)
        assert path == box
        assert found["opened"] == 6
    finally:
        with_kernel.close()


def test_a_runtime_folder_that_hangs_at_the_load(slow, places, monkeypatch):
    in_jupyters(monkeypatch, slow.path)
    slow.hang()
    shown = run_python(
        LOAD + "print(recording.describe())\n"
        "ip.run_cell('x = 1', store_history=True)\n"
        "print(reader.read_box(recording.box_path())['opened'])\n"
        "ip.run_line_magic('unload_ext', 'memwatch')\n"
    ).splitlines()
    assert Path(shown[0]).parent == places / "xdg" / OWN
    assert shown[2] == "1"


def test_a_slow_place_that_was_set(slow, places):
    """A copy is written there, by a thread that neither cells nor the end wait for."""
    kernel = Kernel(f"--MemWatch.record_dir={slow.path}")
    try:
        kernel.run("%load_ext memwatch")
        (box,) = reader.find_boxes()
        copy = slow.path / OWN / box.name
        wait_for(copy.exists)
        assert f"black box: {box}; copy: {copy}\n" in kernel.run("%memwatch status")
        assert reader.find_boxes(str(slow.path)) == [box]
        kernel.run("x = 'copied'")
        wait_for(lambda: "x = 'copied'" in sources(copy))
        assert copy.stat().st_mode & 0o777 == 0o600
        assert copy.parent.stat().st_mode & 0o777 == 0o700
        slow.hang()
        for number in range(5):
            kernel.run(f"x = 'hangs {number}'")
        assert "0\n" in kernel.run("import subprocess; subprocess.call('true')")
        assert "x = 'hangs 4'" in sources(box)
        # Unloading and loading again does not wait for it either.
        kernel.run("%unload_ext memwatch")
        assert reader.find_boxes() == []
        kernel.run("%load_ext memwatch")
        assert reader.find_boxes() == [box]
        kernel.manager.shutdown_kernel()
        assert reader.find_boxes() == []
        slow.resume()
    finally:
        slow.resume()
        kernel.close()


def sources(path):
    return [cell.report.source for cell in reader.read_box(path)["cells"]]


def test_copy_of_a_killed_kernel_is_reported_once(slow, places):
    """Of the box and its copy: one line at the next load, and then none."""
    code = LOAD.replace("instance()", "instance(config=config)").replace(
        "ip =", "from traitlets.config import Config\n"
        f"config = Config({{'MemWatch': {{'record_dir': {str(slow.path)!r}}}}})\n"
        "ip =",
    )  # fmt: skip
    killed = "ip.run_cell('import os; os.kill(os.getpid(), 9)', True)\n"
    done = subprocess.run(
        [sys.executable, "-c", code + killed], capture_output=True, check=False
    )
    assert done.returncode == -9
    (box,) = reader.find_boxes()
    copy = slow.path / OWN / box.name
    assert copy.exists()
    assert "os.kill(os.getpid(), 9)" in run_python(code)
    assert run_python(code) == ""
    # Where only the copy is left, as on another machine, it is found there.
    for path in reader.find_boxes():
        path.unlink()
    assert postmortem.find_dead() == []
    ((path, _),) = postmortem.find_dead(record_dir=str(slow.path))
    assert path == copy


def test_no_place_that_is_safe(slow, monkeypatch):
    """The box is in memory, its copy in the runtime folder; it can be published."""
    in_jupyters(monkeypatch, slow.path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(slow.path))
    shown = run_python(
        SHELL + "from memwatch.blackbox import folders\n"
        f"folders._SHARED_MEMORY = {str(slow.path)!r}\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "print(recording.describe())\n"
        "ip.run_cell('x = 1', store_history=True)\n"
        "print(reader.read_box(recording.box_path())['opened'])\n"
        "while not reader.find_boxes(): pass\n"
        "print(*reader.find_boxes())\n"
    ).splitlines()
    folder = slow.path / "memwatch"
    assert shown[0].startswith(f"in memory only; copy: {folder}/")
    assert shown[2] == "1"
    assert Path(shown[3]).parent == folder


def test_a_place_that_is_not_there(places):
    """One warning; the box lies where it would without."""
    kernel = Kernel(f"--MemWatch.record_dir={places}/nowhere")
    try:
        shown = kernel.run("%load_ext memwatch")
        assert f"cannot use the folder {places}/nowhere/{OWN}: No such" in shown
        (box,) = reader.find_boxes()
        assert box.parent == places / "jupyter/memwatch"
    finally:
        kernel.close()


def test_a_safe_place_that_was_set(places):
    kernel = Kernel(f"--MemWatch.record_dir={places}")
    try:
        kernel.run("%load_ext memwatch")
        assert reader.find_boxes() == []
        (box,) = reader.find_boxes(str(places))
        assert box.parent == places / OWN
        kernel.run(f"%config MemWatch.record_dir = '{places}/xdg'")
        assert reader.find_boxes(str(places)) == reader.find_boxes()
        (box,) = reader.find_boxes()
        assert box.parent == places / "xdg" / OWN
    finally:
        kernel.close()


def test_no_key_is_made_without_a_home(monkeypatch):
    monkeypatch.delenv("JUPYTER_CONFIG_DIR", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(keys.KeysError, match="the home directory is unknown"):
        keys.make_keys()
