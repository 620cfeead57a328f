"""Terminal IPython and shells in tmux: the screen, read back."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import MEMWATCH
from support import lines_in

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed"
)

BLOCKS = set("▁▂▃▄▅▆▇█")


class Screen:
    """A program in its own tmux server."""

    def __init__(self, socket, command):
        self.tmux = ["tmux", "-L", socket]
        size = ["-x", "160", "-y", "60"]
        self.run("-f", "/dev/null", "-u", "new-session", "-d", *size, command)

    def run(self, *arguments):
        done = subprocess.run(
            [*self.tmux, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    def text(self):
        return self.run("capture-pane", "-p")

    def wait_for(self, prompt):
        deadline = time.monotonic() + 60
        while prompt not in (text := self.text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return text

    def type(self, line, number):
        """Type it at In [number]; the screen with the next prompt."""
        self.run("send-keys", line, "Enter")
        return self.wait_for(f"In [{number + 1}]:")


@pytest.fixture
def screen(tmp_path):
    command = f"{sys.executable} -m IPython --no-banner --ext=memwatch"
    running = Screen(f"memwatch-test-{tmp_path.name}", command)
    running.wait_for("In [1]:")
    yield running
    running.run("kill-server")


def test_line_top_and_plot(screen):
    text = screen.type("x = b'x' * (400 * 2**20); del x", 1)
    (line,) = lines_in(text)
    assert line.n == 1
    assert abs(line.peaked - 400) <= 4

    screen.type("y = bytearray(64 << 20)", 2)
    screen.run("clear-history")
    text = screen.type("%memwatch top 1", 3)
    kept, rose = text[text.index("Kept the most") :].split("Rose the highest")
    assert "In [2] y = bytearray(64 " in kept
    assert "In [1] x = b" in rose  # IPython 8.0 reformats it

    text = screen.type("%memwatch plot", 4)
    rows = [row for row in text.splitlines() if "┤" in row]
    assert len(rows) == 8
    assert BLOCKS & set(rows[0])
    assert set(rows[-1].partition("┤")[2].strip()) <= BLOCKS | {" "}


def test_tab(screen, tmp_path):
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder" / "kept.csv").touch()
    screen.type(f"import os; os.chdir('{tmp_path}')", 1)
    screen.run("send-keys", "%memwatch to", "Tab")
    screen.wait_for("%memwatch top")
    screen.run("send-keys", "C-u", "%memwatch st", "Tab")
    screen.wait_for("status")
    screen.wait_for("style")
    screen.run("send-keys", "C-u", "%memwatch save 'my", "Tab")
    screen.wait_for("%memwatch save 'my folder/")
    screen.run("send-keys", "k", "Tab")
    screen.wait_for("%memwatch save 'my folder/kept.csv'")


EVAL = 'eval "$(_MEMWATCH_COMPLETE={}_source memwatch)"'
SHELLS = {
    "bash": ("bash --norc --noprofile", EVAL.format("bash")),
    "zsh": ("zsh -f", f"autoload -U compinit; compinit -D; {EVAL.format('zsh')}"),
    "fish": ("fish --no-config", "_MEMWATCH_COMPLETE=fish_source memwatch | source"),
}
"""How to start each without the user's settings; the line that is in usage.md."""


@pytest.fixture(params=SHELLS)
def shell_screen(request, tmp_path, monkeypatch):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    for name in "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "JUPYTER_RUNTIME_DIR":
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(MEMWATCH).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    command, line = SHELLS[request.param]
    running = Screen(f"memwatch-test-{tmp_path.name}", command)
    running.run("send-keys", "-l", f"{line}; echo rea''dy")
    running.run("send-keys", "Enter")
    running.wait_for("ready")
    yield running
    running.run("kill-server")


def test_tab_in_a_shell(shell_screen, tmp_path):
    for name in "notes", "my folder":
        (tmp_path / name).mkdir()
    for name in (
        "words.ipynb", "words.txt", "a b.ipynb", "out.json", "1.box",
        "notes/deep.ipynb", "my folder/in.ipynb",
    ):  # fmt: skip
        (tmp_path / name).touch()
    for typed, shown in {
        "memwatch po": "memwatch postmortem",
        "memwatch run --kern": "memwatch run --kernel",
        "memwatch run --kernel pyth": "memwatch run --kernel python3",
        "memwatch run w": "memwatch run words.ipynb",  # not words.txt
        "memwatch run a": "memwatch run a\\ b.ipynb",
        "memwatch run my\\ folder/": "memwatch run my\\ folder/in.ipynb",
        "memwatch run ~/wo": "memwatch run ~/words.",
        "memwatch run --json o": "memwatch run --json out.json",
        "memwatch run --cwd n": "memwatch run --cwd notes/",
        "memwatch postmortem 1": "memwatch postmortem 1.box",
    }.items():
        shell_screen.run("send-keys", "C-u")
        shell_screen.run("send-keys", "-l", typed)
        shell_screen.run("send-keys", "Tab")
        shell_screen.wait_for(shown)
    # No space after a folder: the next Tab continues.
    shell_screen.run("send-keys", "C-u", "memwatch run no", "Tab")
    shell_screen.wait_for("memwatch run notes/")
    shell_screen.run("send-keys", "Tab")
    shell_screen.wait_for("memwatch run notes/deep.ipynb")
