"""Terminal IPython in tmux: the screen, read back."""

import shutil
import subprocess
import sys
import time

import pytest

from support import lines_in

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed"
)

BLOCKS = set("▁▂▃▄▅▆▇█")


class Screen:
    """IPython in its own tmux server."""

    def __init__(self, socket):
        self.tmux = ["tmux", "-L", socket]
        command = f"{sys.executable} -m IPython --no-banner --ext=memwatch"
        size = ["-x", "160", "-y", "60"]
        self.run("-f", "/dev/null", "-u", "new-session", "-d", *size, command)
        self.wait_for("In [1]:")

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
    running = Screen(f"memwatch-test-{tmp_path.name}")
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
