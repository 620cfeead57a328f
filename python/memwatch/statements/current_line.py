"""Records in the black box which line of a cell is running.

IPython runs each statement of a cell by its own call of InteractiveShell.run_code().
Inside a statement of several lines, sys.monitoring tells the line from Python 3.12 on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from ..warn import cause_of, warn_once

_NAME = "<cell line: "
"""How IPython names the code of a statement."""
_TOOL_IDS = (4, 3)
"""Of sys.monitoring, without a meaning: others may use them."""

FindWindow = Callable[[CodeType], Any]
"""The window of the cell that the code is a statement of, or None."""


def line_of(code: CodeType) -> int:
    """The line of the cell where the statement begins, from 1.

    >>> line_of(compile("\\n\\nx = 1", "<cell>", "exec"))
    3
    """
    name = code.co_name
    if name.startswith(_NAME):
        return int(name[len(_NAME) : -1])
    for _, _, line in code.co_lines():
        if line:
            return line
    return code.co_firstlineno


class CurrentLine:
    """Wraps run_code() of a shell. `find_window` finds the window of the cell."""

    def __init__(self, shell: Any, find_window: FindWindow) -> None:
        self._shell = shell
        self._find_window = find_window
        self._wrapper: Any = None
        self._original: Any = None
        self._tool: int | None = None
        self._followed: tuple[Any, int] | None = None  # window, line of the statement

    def install(self) -> None:
        """Wrap run_code(). Idempotent."""
        if self._wrapper is not None:
            return
        run_code = self._shell.run_code
        find_window, enter = self._find_window, self._enter

        # Not async: that would be another coroutine around each statement.
        def wrapper(code: CodeType, *args: Any, **kwargs: Any) -> Any:
            # A failure is memwatch's, never the cell's.
            try:
                window = find_window(code)
                if window is not None:
                    enter(window, code)
            except Exception as error:
                warn_once(
                    "line of a cell",
                    f"cannot record the line that is running: {cause_of(error)}",
                )
            return run_code(code, *args, **kwargs)

        self._original = vars(self._shell).get("run_code")
        self._shell.run_code = self._wrapper = wrapper

    def remove(self) -> None:
        """Restore run_code(); if it was wrapped again, it stays and does nothing."""
        self._release_tool()
        if vars(self._shell).get("run_code") is not self._wrapper:
            return
        if self._original is None:
            del self._shell.run_code
        else:
            self._shell.run_code = self._original
        self._wrapper = self._original = None

    def _enter(self, window: Any, code: CodeType) -> None:
        line = line_of(code)
        window.set_line(line)
        if sys.version_info >= (3, 12) and _has_more_lines(code, line):
            self._follow(window, code, line)

    def _follow(self, window: Any, code: CodeType, line: int) -> None:
        """Record each line of the statement, unless other tools use all the ids."""
        monitoring = sys.monitoring  # type: ignore[attr-defined]
        tool = self._take_tool()
        if tool is not None:
            event = monitoring.events.LINE
            # A tool has one callback: a cell that another one follows, in another
            # thread, has the line where its statement begins.
            if self._followed is not None and self._followed[0] is not window:
                self._followed[0].set_line(self._followed[1])
            self._followed = (window, line)
            window.follow(code)
            monitoring.register_callback(tool, event, window.line_event)
            monitoring.set_local_events(tool, code, event)

    def _take_tool(self) -> int | None:
        if self._tool is not None and not self._has_tool():
            self._tool = None  # another program has freed it
        if self._tool is None:
            for tool in _TOOL_IDS:
                try:
                    sys.monitoring.use_tool_id(tool, "memwatch")  # type: ignore[attr-defined]
                except ValueError:
                    continue  # in use
                self._tool = tool
                break
        return self._tool

    def _has_tool(self) -> bool:
        get_tool = sys.monitoring.get_tool  # type: ignore[attr-defined]
        return bool(get_tool(self._tool) == "memwatch")

    def _release_tool(self) -> None:
        self._followed = None
        if self._tool is not None and self._has_tool():
            sys.monitoring.free_tool_id(self._tool)  # type: ignore[attr-defined]
        self._tool = None


def _has_more_lines(code: CodeType, first: int) -> bool:
    return any(line is not None and line > first for _, _, line in code.co_lines())
