"""The widgets of `memwatch top`: the table and its titles, and a text that scrolls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Click
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Footer, Static

from .processes import Process
from .table import NO_PROCESSES, Column, choose, fit, level, row, title

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

SORT_KEYS = {
    "m": "rss",
    "s": "share",
    "k": "peak",
    "h": "highest",
    "l": "limit",
    "t": "time",
    "i": "pid",
    "n": "notebook",
    "a": "age",
}
"""The column that each key sorts by."""
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
            Binding(key, f"app.sort('{column}')", show=False)
            for key, column in SORT_KEYS.items()
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


class TextScreen(Screen[None]):
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
