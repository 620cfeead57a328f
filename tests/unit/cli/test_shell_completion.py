"""What a shell gets to complete; tests/kernel/test_tmux.py has real shells."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from boxes import put_dead_box
from command import MEMWATCH
from memwatch.blackbox import recording
from memwatch.cli import shell_completion


def ask(instruction, folder=None, **environment):
    done = subprocess.run(
        [MEMWATCH], env=os.environ | {"_MEMWATCH_COMPLETE": instruction} | environment,
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def offered(folder, *words):
    """The type and value of what may replace the last of `words`."""
    line, last = "\n".join(["memwatch", *words]), str(len(words))
    shown = ask("bash_complete", folder, COMP_WORDS=line, COMP_CWORD=last)
    return [tuple(each.split(",", 1)) for each in shown.splitlines() if each]


def values(folder, *words):
    return [value for kind, value in offered(folder, *words) if kind == "plain"]


FOLDER, FILE = [("dir", "")], [("file", "")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--output-dir", ""], FOLDER),
        (["run", "--cwd", ""], FOLDER),
        (["postmortem", "--record-dir", ""], FOLDER),
        (["top", "--record-dir", ""], FOLDER),
        (["run", "-o", ""], FILE),
        (["run", "--json", ""], FILE),
        (["run", "--csv", ""], FILE),
        (["run", "--html", ""], FILE),
        (["run", "--markdown", ""], FILE),
        (["run", "--baseline", ""], FILE),
        (["run", "-f", ""], FILE),
        (["top", "--server-key", ""], FILE),
    ],
)
def test_files_and_folders_are_left_to_the_shell(tmp_path, words, expected):
    assert offered(tmp_path, *words) == expected


def test_sub_commands_and_options(tmp_path):
    commands = ["compare", "doctor", "exec", "keygen", "postmortem", "run", "top"]
    assert values(tmp_path, "") == commands
    assert values(tmp_path, "do") == ["doctor"]
    for words in [["compare", "sl"], ["compare", "a.py", "sl"], ["exec", "--", "sl"]]:
        assert offered(tmp_path, *words) == [("file", "sl")]
    assert values(tmp_path, "compare", "--le") == ["--leak"]
    assert values(tmp_path, "run", "--max-") == ["--max-peak", "--max-used"]
    assert values(tmp_path, "top", "--sort", "r") == ["rss"]
    assert values(tmp_path, "postmortem", "--signal", "SIGK") == ["SIGKILL"]


def test_notebooks_and_folders(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in "b.ipynb", "a b.ipynb", "a.txt", ".c.ipynb", "folder/d.ipynb":
        (tmp_path / name).touch()
    (tmp_path / "e\x1b[2J.ipynb").touch()  # would be sent to the terminal
    assert offered(tmp_path, "run", "") == [
        ("dir", ""), ("plain", "a b.ipynb"), ("plain", "b.ipynb"),
    ]  # fmt: skip
    assert values(tmp_path, "run", "folder/") == ["folder/d.ipynb"]
    assert values(tmp_path, "run", "b.ipynb", "a") == ["a b.ipynb"]
    assert values(tmp_path, "run", "nowhere/") == []


def test_home_in_zsh():
    """zsh would quote the ~ of a notebook's path."""
    environment = {"COMP_WORDS": "memwatch run ~/", "COMP_CWORD": "2"}
    assert ask("zsh_complete", **environment) == "file\n~/\n_\n"


def test_killed_processes_and_boxes(tmp_path, shell):
    shell.run_line_magic("load_ext", "memwatch")
    content = bytearray(recording.box_path().read_bytes())
    dead = put_dead_box(content, pid=999999999, t_ended_ns=-1)
    try:
        (tmp_path / "99999999.box").touch()
        (tmp_path / "99999999.txt").touch()
        # Other processes that were killed may begin with a 9 too.
        assert offered(tmp_path, "postmortem", "99999999") == [
            ("plain", "999999999"), ("dir", "99999999"), ("plain", "99999999.box"),
        ]  # fmt: skip
        assert str(os.getpid()) not in values(tmp_path, "postmortem", "")
    finally:
        dead.unlink()


def test_kernels(tmp_path, monkeypatch):
    assert "python3" in values(tmp_path, "run", "--kernel", "py")
    assert values(tmp_path, "run", "--kernel", "nonesuch") == []
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)
    assert shell_completion.kernels(None, None, "") == []


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_scripts(shell_name):
    assert f"_MEMWATCH_COMPLETE={shell_name}_complete" in ask(f"{shell_name}_source")
