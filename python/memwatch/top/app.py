"""The live table of `memwatch top`. The only module that imports textual."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Static

from .processes import Process, is_ascending, sort
from .table import NO_PROCESSES, Column, choose, fit, headline, level, row

if TYPE_CHECKING:
    from .overview import Overview

_DRAIN_S = 0.05
_DRAIN_FOR_S = 0.025
"""Short, so that keys are answered in between."""

_PLAIN = Style()
_TITLE = Style(bold=True, reverse=True)
_GONE = Style(dim=True)
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


class Table(ScrollView, can_focus=True):
    """Draws only the visible rows: there may be thousands."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.columns: list[Column] = []
        self.now_ns = 0

    def show(self, processes: list[Process], now_ns: int) -> None:
        """Show these processes in the given order."""
        self.processes, self.now_ns = processes, now_ns
        width = self.scrollable_content_region.width
        self.columns = choose(processes, width)
        self.virtual_size = Size(width, len(processes))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row; `y` counts from the top of the visible part."""
        width = self.size.width
        place = y + int(self.scroll_offset.y)
        if not self.processes and y == 0:
            return Strip([Segment(fit(NO_PROCESSES, width))], width)
        if place >= len(self.processes):
            return Strip.blank(width)
        process = self.processes[place]
        gone = process.state(self.now_ns) in ("gone", "silent")
        style_of_level = _LEVELS[level(process)]
        segments = []
        for column, text in zip(
            self.columns, row(process, self.columns, self.now_ns), strict=True
        ):
            style = style_of_level if column.name in _COLOURED_COLUMNS else _PLAIN
            segments += [Segment(text, _GONE if gone else style), Segment(" ")]
        return Strip(segments).crop_extend(0, width, _PLAIN)


class Titles(Static):
    """The titles of the columns, with an arrow at the sorted one."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.strip = Strip([])

    def show(self, columns: list[Column], sorted_by: str, ascending: bool) -> None:
        """Show the titles of these columns."""
        segments = []
        for each in columns:
            title = each.title
            if each.name == sorted_by:
                title += "▲" if ascending else "▼"
            title = fit(title, each.width, to_right=each.is_figure)
            segments += [Segment(title, _TITLE), Segment(" ", _TITLE)]
        self.strip = Strip(segments)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The only line."""
        return self.strip.crop_extend(0, self.size.width, _TITLE)


class Screen(App[None]):
    """The application; it takes the whole terminal until q is pressed."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headline, Titles { height: 1; }
    Table { height: 1fr; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("r", "reverse", "Reverse"),
        Binding("p", "pause", "Pause"),
        *(Binding(key, f"sort('{column}')", name) for key, column, name in _SORT_KEYS),
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

    def _drain(self) -> None:
        if self._view.collector is not None:
            self._view.collector.drain(_DRAIN_FOR_S)

    def _refresh_all(self) -> None:
        if not self._is_paused:
            self._processes = self._view.refresh()
            self._now_ns = time.monotonic_ns()
            self._show()
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
        if self._is_paused:
            parts.append("PAUSED")
        return " | ".join(parts)
