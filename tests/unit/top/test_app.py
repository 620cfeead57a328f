"""The live table of `memwatch top`, in textual's test driver and in tmux."""

import time

import pytest

from memwatch.top.widgets import Table
from messages import SECOND, frames, message, process
from support import MIB, wait_for
from top_app import fresh, in_tmux, named, seen


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


@pytest.mark.parametrize("ending", ["q", "C-c"])
def test_in_a_real_terminal(tmp_path, ending):
    import zmq

    endpoint = f"ipc://{tmp_path}/top.ipc"
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.linger = 0
    socket.connect(endpoint)
    number = 0

    def publish():
        nonlocal number
        number += 1
        values = {"message": number, "rss_bytes": 970 * MIB}
        socket.send_multipart(frames(message(**values)))

    try:
        with in_tmux(tmp_path, f"--bind {endpoint} --rate 10", "120x12") as terminal:

            def shows(*texts):
                return wait_for(lambda: (publish(), terminal.has(*texts))[1])

            text = shows("1 process, 1 running", "97 % !!!")
            assert "In [4] x = 1" in text
            assert "lost 0" in text
            terminal.run("resize-window", "-x", "60", "-y", "10")
            shows("97 % !!!", "In [4]")
            terminal.run("send-keys", "s")
            shows("SHARE▼")
            terminal.run("send-keys", ending)
            shows("ended with 0")
    finally:
        context.destroy(linger=0)
