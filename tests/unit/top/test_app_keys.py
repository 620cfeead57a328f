"""The keys of `memwatch top`: selection, details, dismissal, help."""

import os
import signal
import time

import pytest

from memwatch.top.widgets import SORT_KEYS, Table
from support import MIB, Kernel, wait_for
from top_app import fresh, in_tmux, named, seen


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
    for key, column in SORT_KEYS.items():
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


def test_killed_kernel_in_a_real_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/train.ipynb")
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        kernel.run("held = b'x' * (32 << 20)")
        pid = int(kernel.run("import os; print(os.getpid())").split()[0])
        with in_tmux(tmp_path, "--rate 10", "80x24") as terminal:

            def shows(*texts):
                return wait_for(lambda: terminal.has(*texts))

            kernel.send("while not input(): pass")
            text = shows("1 process, 1 running", "train.ipynb running", "while not")
            assert text.splitlines()[1].split()[:2] == ["NOTEBOOK", "STATE"]
            terminal.run("send-keys", "Enter")
            text = shows("Details of train.ipynb", "cells that ended")
            os.kill(pid, signal.SIGKILL)
            text = shows("ended without a clean exit", "RSS", "OOM kills")
            terminal.run("send-keys", "Escape")
            text = shows("1 process, 1 died", "train.ipynb died")
            assert all(len(line) <= 80 for line in text.splitlines())
            assert "? Keys  q Quit" in text
            terminal.run("send-keys", "d")
            shows("No watched processes")
            terminal.run("send-keys", "q")
            shows("ended with 0")
    finally:
        kernel.close()
