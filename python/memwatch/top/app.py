"""The live table of `memwatch top`. The only module that imports textual."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Click
from textual.geometry import Size
from textual.screen import Screen as TextualScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Static

from .details import details, wrap
from .processes import Process, is_ascending, sort
from .table import (
    NO_PROCESSES,
    Column,
    choose,
    fit,
    headline,
    level,
    name_of,
    row,
    title,
)

if TYPE_CHECKING:
    from .overview import Overview

_DRAIN_S = 0.05
_DRAIN_FOR_S = 0.025
"""Short, so that keys are answered in between."""

_PLAIN = Style()
_TITLE = Style(bold=True, underline=True)
_GONE = Style(dim=True)
_DEAD = Style(color="red", bold=True)
_SELECTED = Style(reverse=True)
_LEVELS = (
    _PLAIN,
    Style(color="yellow"),
    Style(color="dark_orange", bold=True),
    Style(color="bright_white", bgcolor="red", bold=True),
)
_COLOURED_COLUMNS = {"rss", "share"}

_SORT_KEYS = (
    ("m", "rss", "Memory"),
    ("s", "share", "Share"),
    ("k", "peak", "Peak"),
    ("h", "highest", "Highest"),
    ("l", "limit", "Limit"),
    ("t", "time", "Time"),
    ("i", "pid", "Pid"),
    ("n", "notebook", "Notebook"),
    ("a", "age", "Age"),
)
_KEYS = (
    ("q, Ctrl-C", "quit"),
    ("↑ ↓ PgUp PgDn Home End", "select a process; or click on it"),
    ("Enter", "its details; the post-mortem of one that died"),
    ("d, Delete", "dismiss the selected process, if it is dead or silent"),
    ("D", "dismiss all that are dead or silent"),
    ("p", "pause or resume refreshing"),
    ("r", "reverse the order"),
    *((key, f"sort by {column.upper()}") for key, column, _ in _SORT_KEYS),
)
_MEANING = """\
A process that died without a clean end is red and is shown for 10 minutes, or until it
is dismissed. A process whose messages no longer arrive is silent and red.

SHARE is RSS as a percentage of the memory limit: !, !! and !!! from 60, 80 and 95 % on.

HISTORY is RSS at the last refreshes, the newest at the right, scaled from 0 to the
limit; below an eighth of the limit it is scaled from 0 to its own maximum."""
_TO_THE_END = 2**31


class Table(ScrollView, can_focus=True):
    """Draws only the visible rows: there may be thousands.

    The selected process stays selected when the order changes. Before the user has
    selected one it is the first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "app.details", "Details", key_display="Enter"),
        Binding("d", "app.dismiss", "Dismiss"),
        Binding("delete", "app.dismiss", show=False),
        Binding("D", "app.dismiss_all", "Dismiss all", key_display="D"),
        Binding("p", "app.pause", "Pause"),
        Binding("r", "app.reverse", "Reverse"),
        Binding("question_mark", "app.keys", "Keys", key_display="?"),
        *(
            Binding(key, f"app.sort('{column}')", name, show=False)
            for key, column, name in _SORT_KEYS
        ),
        *(
            Binding(key, f"select({steps})", show=False)
            for key, steps in (
                ("up", -1),
                ("down", 1),
                ("home", -_TO_THE_END),
                ("end", _TO_THE_END),
            )
        ),
        Binding("pageup", "select_page(-1)", show=False),
        Binding("pagedown", "select_page(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.place = 0
        """Of the selected process."""
        self._is_chosen = False
        self.processes: list[Process] = []
        self.columns: list[Column] = []
        self.now_ns = 0

    def show(self, processes: list[Process], now_ns: int) -> None:
        """Show these processes in the given order."""
        before, was_visible = self.selected, self._is_visible(self.place)
        self.processes, self.now_ns = processes, now_ns
        last = max(0, len(processes) - 1)
        if not self._is_chosen:
            self.place = 0
        elif before is not None:
            with suppress(ValueError):
                self.place = processes.index(before)
        self.place = min(self.place, last)
        width = self.scrollable_content_region.width
        self.columns = choose(processes, width)
        self.virtual_size = Size(width, len(processes))
        if was_visible and self._is_chosen:
            self._scroll_to_selected()
        self.refresh()

    @property
    def selected(self) -> Process | None:
        """The selected process; None without any."""
        return self.processes[self.place] if self.processes else None

    def action_select(self, steps: int) -> None:
        """Move the selection by so many rows."""
        self._select(self.place + steps)

    def action_select_page(self, pages: int) -> None:
        """Move the selection by the height of the table."""
        self._select(self.place + pages * max(1, self.size.height - 1))

    def on_click(self, event: Click) -> None:
        """Select the row; at a double click open its details."""
        place = event.y + int(self.scroll_offset.y)
        if place < len(self.processes):
            self._select(place)
            if event.chain == 2:
                self.app.call_later(self.app.run_action, "details")

    def _select(self, place: int) -> None:
        self._is_chosen = True
        self.place = max(0, min(place, len(self.processes) - 1))
        self._scroll_to_selected()
        self.refresh()

    def _is_visible(self, place: int) -> bool:
        first = int(self.scroll_offset.y)
        return first <= place < first + self.size.height

    def _scroll_to_selected(self) -> None:
        first, height = int(self.scroll_offset.y), self.size.height
        if self.place < first:
            self.scroll_to(y=self.place, animate=False)
        elif self.place >= first + height:
            self.scroll_to(y=self.place - height + 1, animate=False)

    def render_line(self, y: int) -> Strip:
        """One row; `y` counts from the top of the visible part."""
        width = self.size.width
        place = y + int(self.scroll_offset.y)
        if not self.processes and y == 0:
            return Strip([Segment(fit(NO_PROCESSES, width))], width)
        if place >= len(self.processes):
            return Strip.blank(width)
        process = self.processes[place]
        style_of_row = _PLAIN
        if process.is_lost(self.now_ns):
            style_of_row = _DEAD
        elif process.state(self.now_ns) in ("gone", "silent"):
            style_of_row = _GONE
        style_of_level = style_of_row or _LEVELS[level(process)]
        if place == self.place:
            style_of_row += _SELECTED
            style_of_level += _SELECTED
        segments = []
        for column, text in zip(
            self.columns, row(process, self.columns, self.now_ns), strict=True
        ):
            is_coloured = column.name in _COLOURED_COLUMNS
            style = style_of_level if is_coloured else style_of_row
            segments += [Segment(text, style), Segment(" ", style_of_row)]
        return Strip(segments).crop_extend(0, width, style_of_row)


class Titles(Static):
    """The titles of the columns, with an arrow at the sorted one."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.strip = Strip([])

    def show(self, columns: list[Column], sorted_by: str, ascending: bool) -> None:
        """Show the titles of these columns."""
        arrow = "▲" if ascending else "▼"
        self.strip = Strip(
            [
                Segment(title(each, arrow if each.name == sorted_by else ""), _TITLE)
                for each in columns
            ]
        )
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The only line."""
        return self.strip.crop_extend(0, self.size.width, _TITLE)


def _describe_keys(width: int) -> str:
    lines = [f"{key:<24}{what}" for key, what in _KEYS]
    for paragraph in _MEANING.split("\n\n"):
        lines += ["", *wrap(" ".join(paragraph.split()), width)]
    return "\n".join(lines)


class TextScreen(TextualScreen[None]):
    """A text over the whole terminal, which scrolls; `text(width)` returns it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back", key_display="Esc"),
        Binding("enter,question_mark", "dismiss", show=False),
    ]

    def __init__(self, heading: str, text: Callable[[int], str]) -> None:
        super().__init__()
        self._text = text
        self._heading = Static(heading, id="headline", markup=False)
        self._body = Static(markup=False)
        self._scroll = VerticalScroll(self._body)

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        yield self._heading
        yield self._scroll
        yield Footer()

    def on_mount(self) -> None:
        """Let the keys scroll."""
        self._scroll.focus()
        self.call_after_refresh(self.show)

    def on_resize(self) -> None:
        """Use the new width."""
        self.call_after_refresh(self.show)

    def show(self) -> None:
        """Show the text as of now."""
        self._body.update(self._text(max(1, self._scroll.size.width)))


class Screen(App[None]):
    """The application; it takes the whole terminal until q is pressed."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headline, Titles { height: 1; }
    Table { height: 1fr; scrollbar-size-vertical: 1; }
    VerticalScroll { scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        view: Overview,
        rate: float,
        *,
        count: int | None = None,
        column: str = "rss",
        reverse: bool = False,
    ) -> None:
        super().__init__(ansi_color=True)
        self._view, self._rate, self._left = view, rate, count
        self._column, self._is_reversed = column, reverse
        self._is_paused = False
        self._processes: list[Process] = []
        self._now_ns = 0
        self._headline = Static(id="headline", markup=False)
        self._titles = Titles()
        self._table = Table()

    def compose(self) -> ComposeResult:
        """The widgets from top to bottom."""
        yield self._headline
        yield self._titles
        yield self._table
        yield Footer()

    def on_mount(self) -> None:
        """Start the timers."""
        self._table.focus()
        if self._view.collector is not None:
            self.set_interval(_DRAIN_S, self._drain)
        self.set_interval(1 / self._rate, self._refresh_all)
        self.call_after_refresh(self._refresh_all)

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        self.call_after_refresh(self._show)

    def action_sort(self, column: str) -> None:
        """Sort by that column; if it is sorted already, reverse the order."""
        self._is_reversed = self._column == column and not self._is_reversed
        self._column = column
        self._show()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._is_reversed = not self._is_reversed
        self._show()

    def action_pause(self) -> None:
        """Stop or resume refreshing."""
        self._is_paused = not self._is_paused
        self._show()

    def action_details(self) -> None:
        """Open the details of the selected process."""
        process = self._table.selected
        if process is None:
            return
        self._table.action_select(0)
        post_mortem: list[str] = []

        def text(width: int) -> str:
            # Once: it reads the kernel's log, and a dead process does not change.
            if not post_mortem:
                box = self._view.read_box(process)
                found = details(process, box, time.monotonic_ns(), width)
                if not process.died:
                    return found
                post_mortem.append(found)
            return post_mortem[0]

        self.push_screen(TextScreen(f"Details of {name_of(process)}", text))

    def action_keys(self) -> None:
        """Show what the keys do."""
        self.push_screen(TextScreen("Keys of memwatch top", _describe_keys))

    def action_dismiss(self) -> None:
        """Dismiss the selected process, if it is dead or silent."""
        process = self._table.selected
        if process is None:
            return
        if process.dismiss(self._now_ns):
            self._drop_dismissed()
        else:
            self.notify("only dead or silent processes can be dismissed")

    def action_dismiss_all(self) -> None:
        """Dismiss all processes that are dead or silent."""
        for each in self._processes:
            each.dismiss(self._now_ns)
        self._drop_dismissed()

    def _drop_dismissed(self) -> None:
        self._processes = [each for each in self._processes if not each.is_dismissed]
        self._show()

    def _drain(self) -> None:
        if self._view.collector is not None:
            self._view.collector.drain(_DRAIN_FOR_S)

    def _refresh_all(self) -> None:
        if not self._is_paused:
            self._processes = self._view.refresh()
            self._now_ns = time.monotonic_ns()
            self._show()
            if isinstance(self.screen, TextScreen):
                self.screen.show()
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.exit()

    def _show(self) -> None:
        processes = sort(
            self._processes, self._column, self._now_ns, reverse=self._is_reversed
        )
        self._table.show(processes, self._now_ns)
        ascending = is_ascending(self._column) != self._is_reversed
        self._titles.show(self._table.columns, self._column, ascending)
        self._headline.update(self._describe(processes))

    def _describe(self, processes: list[Process]) -> str:
        parts = [headline(processes, self._now_ns)]
        collector = self._view.collector
        if collector is not None:
            parts.append(
                f"messages {collector.received:,}, lost {collector.lost:,},"
                f" refused {collector.refused:,}"
            )
        if self._view.unreadable_reason is not None:
            parts.append(f"{self._view.unreadable} unreadable boxes")
        if self._column not in {each.name for each in self._table.columns}:
            parts.append(f"sorted by {self._column}")
        if self._is_paused:
            parts.append("PAUSED")
        return " | ".join(parts)
