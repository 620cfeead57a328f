"""The app of `memwatch top`, in textual's test driver and in tmux."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memwatch.top.processes import Process
from messages import process

pytest.importorskip("textual")

from memwatch.top.app import Screen


class View:
    """Takes the place of an Overview; its processes are given."""

    collector = None
    unreadable, unreadable_reason = 0, None

    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self.refreshes = 0

    def refresh(self) -> list[Process]:
        self.refreshes += 1
        return [each for each in self.processes if not each.is_dismissed]

    def read_box(self, process: Process) -> None:
        return None


def seen(processes, *keys, size=(120, 12), steps=None):
    """The lines of the screen after `keys` and `steps(app, pilot)`; and the app."""

    async def render():
        app = Screen(View(processes), 0.1)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
            if steps is not None:
                await steps(app, pilot)
            await pilot.pause()
            return lines_of(app), app

    return asyncio.run(render())


def lines_of(app):
    """The lines of the screen from the top."""
    width, height = app.size
    return [
        "".join(segment.text for segment in strip)[:width]
        for strip in app.screen._compositor.render_strips()[:height]
    ]


def named(name, **values):
    return fresh(kernel_id=name, notebook=name, **values)


def fresh(**values):
    return process(now_ns=time.monotonic_ns(), **values)


class Terminal:
    """`memwatch top` in its own tmux server."""

    def __init__(self, socket: str) -> None:
        self._tmux = ["tmux", "-L", socket]

    def run(self, *arguments: str) -> str:
        """What that command of tmux prints."""
        # With the variables of pytest and pytest-xdist the screen stays blank.
        odd = ("PYTEST", "COLUMNS", "LINES")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(odd)}
        done = subprocess.run(
            [*self._tmux, *arguments],
            capture_output=True, text=True, check=True, env=clean,
        )  # fmt: skip
        return done.stdout

    def has(self, *texts: str) -> str | None:
        """The text of the screen, if these are in it."""
        text = self.run("capture-pane", "-p")
        return text if all(each in text for each in texts) else None


@contextmanager
def in_tmux(folder: Path, options: str, size: str) -> Iterator[Terminal]:
    """`memwatch top` in a terminal of COLUMNSxLINES; its runtime folder is `folder`."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    terminal = Terminal(f"memwatch-top-{folder.name}")
    command = Path(sys.executable).parent / "memwatch"
    # The shell prints the exit code.
    line = f"{command} top {options}; echo ended with $?; read x"
    width, height = size.split("x")
    terminal.run(
        "-f", "/dev/null", "-u", "new-session", "-d", "-x", width, "-y", height,
        "-e", f"JUPYTER_RUNTIME_DIR={folder}", "-e", f"XDG_RUNTIME_DIR={folder}", line,
    )  # fmt: skip
    try:
        yield terminal
    finally:
        terminal.run("kill-server")
