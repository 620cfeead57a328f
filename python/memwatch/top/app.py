"""The live table of `memwatch top`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from .details import details, wrap
from .processes import Process, is_ascending, sort
from .table import headline, name_of
from .widgets import SORT_KEYS, Table, TextScreen, Titles

if TYPE_CHECKING:
    from .overview import Overview

_DRAIN_S = 0.05
_DRAIN_FOR_S = 0.025
"""Short, so that keys are answered in between."""

_KEYS = (
    ("q, Ctrl-C", "quit"),
    ("↑ ↓ PgUp PgDn Home End", "select a process; or click on it"),
    ("Enter", "its details; the post-mortem of one that died"),
    ("d, Delete", "dismiss the selected process, if it is dead or silent"),
    ("D", "dismiss all that are dead or silent"),
    ("p", "pause or resume refreshing"),
    ("r", "reverse the order"),
    *((key, f"sort by {column.upper()}") for key, column in SORT_KEYS.items()),
)
_MEANING = """\
A process that died without a clean end is red and is shown for 10 minutes, or until it
is dismissed. A process whose messages no longer arrive is silent and red.

SHARE is RSS as a percentage of the memory limit: !, !! and !!! from 60, 80 and 95 % on.

HISTORY is RSS at the last refreshes, the newest at the right, scaled from 0 to the
limit; below an eighth of the limit it is scaled from 0 to its own maximum."""


def _describe_keys(width: int) -> str:
    lines = [f"{key:<24}{what}" for key, what in _KEYS]
    for paragraph in _MEANING.split("\n\n"):
        lines += ["", *wrap(" ".join(paragraph.split()), width)]
    return "\n".join(lines)


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
            text = f"messages {collector.received:,}, lost {collector.lost:,}"
            if collector.refused:
                text += f", refused {collector.refused:,}"
            parts.append(text)
        if self._view.unreadable_reason is not None:
            parts.append(f"{self._view.unreadable} unreadable boxes")
        if self._column not in {each.name for each in self._table.columns}:
            parts.append(f"sorted by {self._column}")
        if self._is_paused:
            parts.append("PAUSED")
        return " | ".join(parts)
