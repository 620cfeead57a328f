"""The line of a cell that was running when its process was killed."""

import json
import os
import subprocess
import sys

import pytest

SHELL = """
import sys
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
config = Config({"HistoryManager": {"enabled": False}})
ip = InteractiveShell.instance(config=config)
ip.run_cell("%load_ext memwatch")
ip.user_ns["wanted"] = int(sys.argv[2])
ip.run_cell(sys.argv[1], store_history=True)
"""

STATEMENTS = "\n".join(
    f"if wanted == {line}: import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    for line in range(1, 11)
)
LOOP = """import os, signal
for i in range(3):
    x = i
    if i == 1:
        with open(os.devnull):
            os.kill(os.getpid(), signal.SIGKILL)
"""
HOT = """import os, signal
x = 1
for i in range(100_000):
    y = i
    if i == 99_999: os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in(code, wanted, tmp_path):
    """The post-mortem of a shell that `code` kills."""
    env = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHELL, code, str(wanted)],
        env=env, timeout=60, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    read = subprocess.run(
        [sys.executable, "-m", "memwatch", "postmortem", "--json"],
        env=env, timeout=60, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(read.stdout)


def test_each_of_ten_statements(tmp_path):
    lines = []
    for wanted in range(1, 11):
        folder = tmp_path / str(wanted)
        folder.mkdir(mode=0o700)
        found = killed_in(STATEMENTS, wanted, folder)
        lines.append(found["cells"][0]["line"])
    assert lines == list(range(1, 11))


def test_in_a_loop(tmp_path):
    line = killed_in(LOOP, 0, tmp_path)["cells"][0]["line"]
    # sys.monitoring is new in 3.12: before, the line where the loop begins.
    assert line == (6 if sys.version_info >= (3, 12) else 2)


def test_in_a_loop_that_has_run_many_lines(tmp_path):
    assert killed_in(HOT, 0, tmp_path)["cells"][0]["line"] == 3


def test_the_text_says_so(tmp_path):
    killed_in(LOOP, 0, tmp_path)
    env = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    text = subprocess.run(
        [sys.executable, "-m", "memwatch", "postmortem"],
        env=env, timeout=60, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    line = 6 if sys.version_info >= (3, 12) else 2
    assert f"In [1] line {line}, began" in text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_other_tools_keep_their_ids(shell):
    import memwatch

    monitoring = sys.monitoring
    for tool in (3, 4):
        monitoring.use_tool_id(tool, "another tool")
    try:
        memwatch.load_ipython_extension(shell)
        shell.run_cell("for i in range(3):\n    x = i")
        assert shell.user_ns["x"] == 2
        assert monitoring.get_tool(3) == monitoring.get_tool(4) == "another tool"
    finally:
        for tool in (3, 4):
            monitoring.free_tool_id(tool)
    shell.run_cell("for i in range(3):\n    x = i")
    assert monitoring.get_tool(4) == "memwatch"
    # A program that frees the id, or takes it, does not end a cell.
    monitoring.free_tool_id(4)
    monitoring.use_tool_id(4, "another tool")
    shell.run_cell("for i in range(3):\n    x = -i")
    assert shell.user_ns["x"] == -2
    assert monitoring.get_tool(4) == "another tool"
    assert monitoring.get_tool(3) == "memwatch"
    monitoring.free_tool_id(4)
    shell.run_cell("for i in range(3):\n    x = i")
    memwatch.unload_ipython_extension(shell)
    assert monitoring.get_tool(3) is None
