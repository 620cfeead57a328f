"""The live table of `memwatch top`, in textual's test driver and in tmux."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memwatch.top.processes import Process
from messages import frames, message, process
from support import MIB, wait_for

pytest.importorskip("textual")

from memwatch.top.app import Screen, Table


class View:
    """Takes the place of an Overview; its processes are given."""

    collector = None
    unreadable, unreadable_reason = 0, None

    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self.refreshes = 0

    def refresh(self) -> list[Process]:
        self.refreshes += 1
        return self.processes


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


def fresh(**values):
    return process(now_ns=time.monotonic_ns(), **values)


def test_no_processes():
    lines, _ = seen([])
    assert "0 processes" in lines[0]
    assert "%load_ext memwatch" in lines[2]


def test_rows_are_below_the_titles():
    lines, _ = seen([fresh(kernel_id="a"), fresh(kernel_id="b", rss_bytes=950 * MIB)])
    assert lines[0].startswith("2 processes, 2 running")
    assert lines[1].startswith("KERNEL")
    assert "RSS▼" in lines[1]
    assert lines[2].startswith("b ")
    assert "95 % !!!" in lines[2]
    assert lines[3].startswith("a ")
    assert "In [4] x = 1" in lines[3]
    assert "Quit" in lines[-1]


def test_keys_sort_and_reverse():
    few = [
        fresh(kernel_id="a", rss_bytes=3 * MIB, pid=1),
        fresh(kernel_id="b", rss_bytes=2 * MIB, pid=3),
        fresh(kernel_id="c", rss_bytes=1 * MIB, pid=2),
    ]

    def order(*keys):
        lines, _ = seen(few, *keys)
        return "".join(line[0] for line in lines[2:5]), lines[1]

    assert order()[0] == "abc"
    assert order("r")[0] == "cba"
    assert "RSS▲" in order("r")[1]
    assert order("i")[0] == "acb"
    assert "PID▲" in order("i")[1]
    assert order("i", "i")[0] == "bca"
    assert order("i", "m")[0] == "abc"


def test_pause_stops_refreshing():
    async def steps(app, pilot):
        await pilot.press("p")
        before = app._view.refreshes
        app._view.processes = []
        app._refresh_all()
        assert app._view.refreshes == before

    lines, _ = seen([fresh()], steps=steps)
    assert lines[0].endswith("PAUSED".ljust(len(lines[0]) - lines[0].index("PAUSED")))
    assert lines[2].startswith("kernel")


def test_colours_show_the_level():
    few = [
        fresh(kernel_id=f"{share:03}", rss_bytes=share * MIB, limit_bytes=100 * MIB)
        for share in (10, 60, 80, 95)
    ]

    async def steps(app, pilot):
        table = app.query_one(Table)
        for line, wanted in enumerate(["bright_white", "dark_orange", "yellow", None]):
            share = next(
                segment for segment in table.render_line(line) if "%" in segment.text
            )
            colour = share.style.color
            assert (None if colour is None else colour.name) == wanted

    seen(few, steps=steps)


def test_gone_process_is_dim():
    gone = fresh()
    gone.gone_ns = time.monotonic_ns()

    async def steps(app, pilot):
        segments = list(app.query_one(Table).render_line(0))
        assert all(each.style.dim for each in segments if each.text.strip())

    lines, _ = seen([gone], steps=steps)
    assert " gone " in lines[2]


def test_markup_is_not_interpreted():
    source = "[red]x[/red] [@click=app.quit]y[/] \x1b[2J \x07"
    lines, app = seen([fresh(cell={"source": source})], size=(200, 10))
    assert "[red]x[/red] [@click=app.quit]y[/]  [2J" in lines[2]
    assert app.return_code in (None, 0)


def test_only_visible_rows_are_drawn():
    many = [fresh(kernel_id=f"{number:05}") for number in range(5000)]
    drawn = 0

    async def steps(app, pilot):
        nonlocal drawn
        await pilot.press("end")
        await pilot.pause()
        real = Table.render_line

        def counted(self, y):
            nonlocal drawn
            drawn += 1
            return real(self, y)

        Table.render_line = counted
        try:
            app._refresh_all()
            await pilot.pause()
        finally:
            Table.render_line = real

    lines, _ = seen(many, size=(100, 20), steps=steps)
    assert "04999" in lines[-2]
    assert drawn <= 20 * 4


def test_any_terminal_size():
    few = [fresh(kernel_id="a"), fresh(kernel_id="b", cell=None)]
    for size in ((1, 1), (10, 3), (30, 5), (79, 10), (300, 60)):
        lines, _ = seen(few, size=size)
        assert len(lines) <= size[1]


def test_q_quits():
    async def steps(app, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running or app._exit

    seen([fresh()], steps=steps)


# ---- in a terminal ----


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
@pytest.mark.parametrize("ending", ["q", "C-c"])
def test_in_a_real_terminal(tmp_path, ending):
    import zmq

    endpoint = f"ipc://{tmp_path}/top.ipc"
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.linger = 0
    socket.connect(endpoint)
    tmux = ["tmux", "-L", f"memwatch-top-{tmp_path.name}"]
    command = Path(sys.executable).parent / "memwatch"
    # The shell prints the exit code.
    line = f"{command} top --bind {endpoint} --rate 10; echo ended with $?; read x"

    # With the variables of pytest and pytest-xdist the screen stays blank.
    odd = ("PYTEST", "COLUMNS", "LINES")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(odd)}

    def run(*arguments):
        done = subprocess.run(
            [*tmux, *arguments], capture_output=True, text=True, check=True, env=clean
        )
        return done.stdout

    def shows(*texts):
        def screen():
            nonlocal number
            number += 1
            values = {"message": number, "rss_bytes": 970 * MIB}
            socket.send_multipart(frames(message(**values)))
            text = run("capture-pane", "-p")
            return text if all(each in text for each in texts) else None

        return wait_for(screen)

    number = 0
    environment = [
        "-e", f"JUPYTER_RUNTIME_DIR={tmp_path}", "-e", f"XDG_RUNTIME_DIR={tmp_path}",
    ]  # fmt: skip
    size = ["-x", "120", "-y", "12"]
    run("-f", "/dev/null", "-u", "new-session", "-d", *size, *environment, line)
    try:
        text = shows("1 process, 1 running", "97 % !!!")
        assert "In [4] x = 1" in text
        assert "lost 0" in text
        run("resize-window", "-x", "60", "-y", "10")
        shows("97 % !!!", "In [4]")
        run("send-keys", "s")
        shows("SHARE▼")
        run("send-keys", ending)
        shows("ended with 0")
    finally:
        run("kill-server")
        context.destroy(linger=0)
