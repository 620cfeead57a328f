"""Damaged and hostile black boxes, and what a user may type."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import memwatch
from boxes import put_dead_box, report, run
from memwatch import _core
from memwatch.blackbox import postmortem, reader
from memwatch.blackbox.postmortem_text import in_one_line
from support import (
    check_python,
    run_python,
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


# ---- what else a person may type ----


def test_no_black_boxes():
    assert "no black box of a killed process in " in run()
    assert run("--json") == "null\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is truncated"),
        (b"\0" * 65536, "it begins with zeroes only"),
        (b"# a notebook\n" * 100, "it is not a black box of memwatch"),
        (b"memwatch" + b"\x63\0\0\0\4\3\2\1" + b"\0" * 65536, "by a newer memwatch"),
    ],
)
def test_file_that_is_not_a_box(tmp_path, content, told):
    path = tmp_path / "some.box"
    path.write_bytes(content)
    shown = run(path, code=2)
    assert told in shown.replace("\n", " ")


def test_a_file_that_is_not_there(tmp_path):
    assert "No such file or directory" in run(tmp_path / "x.box", code=2)
    assert "no black box of process 999999999" in run("999999999", code=2)
    assert "invalid signal 'no'" in run("--signal", "no", code=2)


def test_strange_texts_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path, kernel_id="\x1b[2Jbad", notebook="\x07")
    copy = tmp_path / "copy.box"
    copy.write_bytes(path.read_bytes())
    _core.stop_recording()
    shown = run(copy)
    assert "\x1b" not in shown
    assert " [2Jbad" in shown


# ---- what somebody may have put where we look ----


@pytest.mark.parametrize(
    "label", [42, Path("x"), "a\0b", "caf\udce9", None, "x" * 9999]
)
def test_any_label_will_do(tmp_path, label):
    _core.start_recording(tmp_path / "some.box")
    try:
        with memwatch.watch(label) as w:
            (cell,) = reader.read_box(tmp_path / "some.box")["cells"]
        assert w.report.used_bytes is not None
        assert (cell.report.label is None) == (label is None)
    finally:
        _core.stop_recording()


def test_any_environment_will_do(tmp_path):
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "print(ascii(reader.read_box(reader.find_boxes()[0])['user']))\n"
    )
    environment = os.environ | {"USER": "caf\udce9", "JPY_SESSION_NAME": "\udce9"}
    assert run_python(code, env=environment) == "'caf?'\n"


def test_a_relative_runtime_folder(tmp_path):
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "os.chdir('/')\n"
    )
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": "runtime"}
    box = f"{tmp_path}/runtime/memwatch/*.box"
    check_python(
        f"{code}import glob; assert len(glob.glob({box!r})) == 1\n",
        env=environment,
        cwd=tmp_path,
    )
    assert list((tmp_path / "runtime/memwatch").iterdir()) == []


def dead_box(tmp_path, **patched):
    """A box whose process is gone, with some of its head's figures overwritten."""
    path = tmp_path / "live.box"
    _core.start_recording(path, kernel_id="a-kernel")
    content = bytearray(path.read_bytes())
    _core.stop_recording()
    return put_dead_box(content, **patched)


@pytest.mark.parametrize("name", ["pid", "t_mono_ns", "t_real_ns"])
def test_damaged_box_is_an_error_of_one_line(tmp_path, name):
    path = dead_box(tmp_path, **{name: -(2**63)})
    assert "it is damaged" in run(path, code=2).replace("\n", " ")
    run()
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
    )
    assert run_python(code) == ""


def test_a_box_of_another_container_is_offered_last(tmp_path):
    elsewhere = dead_box(tmp_path, pid_namespace=1)
    found = report()
    assert found["path"] == str(elsewhere)
    assert found["alive"] is None
    assert found["verdict"].startswith("unknown: the process ran on another machine")
    reader.prune_boxes()
    assert elsewhere.exists()


def test_an_old_file_with_young_samples_is_kept(tmp_path):
    """Where files lie in memory their time is that of their making."""
    path = dead_box(tmp_path, start_ticks=1)
    long_ago = time.time() - 20 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
    reader.prune_boxes()
    assert path.exists()


def test_control_characters_of_a_cell_are_not_printed(tmp_path):
    _core.start_recording(tmp_path / "some.box", kernel_id="k")
    window = _core.Window("In [1]", 1, None, "x # \x1b]0;owned\x07\x1b[2J")
    box = reader.read_box(tmp_path / "some.box")
    window.cancel()
    _core.stop_recording()
    told = in_one_line(postmortem.examine("some.box", box))
    assert "owned" in told
    assert told.isprintable()
