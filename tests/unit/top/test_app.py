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
from messages import SECOND, frames, message, process
from support import MIB, wait_for

pytest.importorskip("textual")

import memwatch.top.app as app_module
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


def test_no_processes():
    lines, _ = seen([])
    assert "0 processes" in lines[0]
    assert "%load_ext memwatch" in lines[2]


def test_rows_are_below_the_titles():
    few = [named("a"), named("b", rss_bytes=950 * MIB)]
    lines, _ = seen(few)
    assert lines[0].startswith("2 processes, 2 running")
    assert lines[1].startswith("NOTEBOOK")
    assert "RSS▼" in lines[1]
    assert lines[2].startswith("b ")
    assert "95 % !!!" in lines[2]
    assert lines[3].startswith("a ")
    assert "In [4] x = 1" in lines[3]
    assert "Quit" in lines[-1]


def test_keys_sort_and_reverse():
    few = [
        named("a", rss_bytes=3 * MIB, pid=1),
        named("b", rss_bytes=2 * MIB, pid=3),
        named("c", rss_bytes=1 * MIB, pid=2),
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
    assert lines[2].startswith("a.ipynb")


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


@pytest.mark.parametrize("died", [False, True])
def test_dead_process_is_red_and_one_that_ended_cleanly_dim(died):
    over = fresh(rss_bytes=950 * MIB)
    over.end(time.monotonic_ns(), died=died)

    async def steps(app, pilot):
        for each in app.query_one(Table).render_line(1):
            style = each.style
            if each.text.strip():
                assert style.dim == (not died or None)
                assert (style.color and style.color.name) == ("red" if died else None)

    lines, _ = seen([over, fresh(rss_bytes=960 * MIB)], steps=steps)
    assert (" died " if died else " gone ") in lines[3]


def test_silent_publisher_is_red():
    silent = process(now_ns=time.monotonic_ns() - 60 * SECOND)

    async def steps(app, pilot):
        assert {
            each.style.color.name
            for each in app.query_one(Table).render_line(0)
            if each.text.strip()
        } == {"red"}

    lines, _ = seen([silent], steps=steps)
    assert " silent " in lines[2]


def dead(name, **values):
    found = named(name, **values)
    found.end(time.monotonic_ns(), died=True)
    return found


def test_dead_processes_are_dismissed():
    def few():
        return [
            dead("a", rss_bytes=9 * MIB), named("b", rss_bytes=8 * MIB),
            dead("c", rss_bytes=7 * MIB), dead("d", rss_bytes=6 * MIB),
        ]  # fmt: skip

    def left(*keys):
        lines, _ = seen(few(), *keys)
        return "".join(line[0] for line in lines[2:6]).strip()

    assert left() == "abcd"
    assert left("d") == "bcd"
    assert left("delete") == "bcd"
    assert left("down", "down", "d") == "abd"
    assert left("end", "d", "d") == "ab"
    assert left("down", "d") == "abcd"  # it is alive
    assert left("D") == "b"
    assert left("p", "D") == "b"


def test_selection_stays_on_the_process_when_the_order_changes():
    few = [
        named(name, rss_bytes=size * MIB, pid=9 - size)
        for name, size in (("a", 3), ("b", 2), ("c", 1))
    ]

    async def steps(app, pilot):
        table = app.query_one(Table)
        assert table.selected is few[0]
        few[0].rss_bytes = 0
        app._refresh_all()
        assert table.selected is few[1]  # nothing was chosen: it stays at the top
        await pilot.press("down")
        assert table.selected is few[2]
        few[2].rss_bytes = 9 * MIB
        app._refresh_all()
        assert (table.selected, table.place) == (few[2], 0)
        await pilot.press("r")
        assert (table.selected, table.place) == (few[2], 2)
        reverse = [
            any(each.style.reverse for each in table.render_line(y)) for y in range(3)
        ]
        assert reverse == [False, False, True]
        await pilot.press("up", "up", "up", "up")
        assert table.place == 0
        await pilot.press("end", "down")
        assert table.place == 2
        app._view.processes = few[:1]
        app._refresh_all()
        assert table.selected is few[0]
        app._view.processes = []
        app._refresh_all()
        assert table.selected is None
        await pilot.press("down", "enter", "d", "D")

    seen(few, steps=steps)


def test_keys_and_clicks_scroll_to_the_selection():
    many = [named(f"{number:03}", rss_bytes=number) for number in range(100)]

    async def steps(app, pilot):
        table = app.query_one(Table)
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        first = int(table.scroll_offset.y)
        assert first <= table.place < first + table.size.height
        await pilot.click(Table, offset=(3, 1))
        assert table.place == first + 1
        await pilot.press("home")
        await pilot.pause()
        assert (table.place, table.scroll_offset.y) == (0, 0)
        many[99].rss_bytes = 0  # from the top to the bottom
        app._refresh_all()
        await pilot.pause()
        assert table.selected is many[99]
        assert table.scroll_offset.y > 80

    seen(many, steps=steps)


def opened(processes, *keys, size=(100, 40)):
    """The text of the screen after `keys`."""
    lines, _ = seen(processes, *keys, size=size)
    return "\n".join(line.rstrip() for line in lines)


def test_enter_opens_the_details_and_escape_closes_them():
    few = [named("train.ipynb")]
    few[0].history.extend([100 * MIB, 200 * MIB])
    text = opened(few, "enter")
    assert text.startswith("Details of train.ipynb\nprocess    123, kernel train.ipynb")
    assert "cell       In [4], running for" in text
    assert "Back" in text
    for key in ("escape", "q"):
        assert opened(few, "enter", key).startswith("1 process, 1 running")


def test_details_follow_a_living_process():
    one = named("a")

    async def steps(app, pilot):
        await pilot.press("enter")
        await pilot.pause()
        one.rss_bytes = 123 * MIB
        app._refresh_all()

    lines, _ = seen([one], steps=steps, size=(80, 24))
    assert any("RSS        123.00 MiB" in line for line in lines)


def test_question_mark_shows_all_keys():
    text = opened([], "question_mark", size=(80, 40))
    for key, column, _ in app_module._SORT_KEYS:
        assert f"\n{key} {'':22}sort by {column.upper()}" in text
    for each in ("Enter", "dismiss", "pause", "10 minutes", "HISTORY", "eighth"):
        assert each in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("keys", [(), ("enter",), ("question_mark",)])
def test_footer_fits_80_columns(keys):
    lines, _ = seen([fresh()], *keys, size=(80, 24))
    footer = lines[-1]
    bound = ("Enter Details", "d Dismiss", "D Dismiss all", "p Pause", "r Reverse")
    wanted = ("Esc Back",) if keys else (*bound, "? Keys", "q Quit")
    for each in wanted:
        assert each in footer
    assert footer.endswith("  ")


def test_markup_is_not_interpreted():
    source = "[red]x[/red] [@click=app.quit]y[/] \x1b[2J \x07"
    lines, app = seen([fresh(cell={"source": source})], size=(200, 10))
    assert "[red]x[/red] [@click=app.quit]y[/]  [2J" in lines[2]
    assert app.return_code in (None, 0)


def test_only_visible_rows_are_drawn():
    many = [named(f"{number:05}") for number in range(5000)]
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
