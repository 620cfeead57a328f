"""Whether the output of cells ends inside a line, so that the report starts a new one.

No stream knows its column. While a cell runs, ``sys.stdout`` therefore gets a `write`
attribute of its own, as IPython itself does since version 9.
"""

from __future__ import annotations

import sys
from typing import Any


class StdoutPosition:
    """Wraps ``sys.stdout.write`` from `enter` to `leave`."""

    def __init__(self) -> None:
        self.is_inside_line = False
        self._stream: Any = None
        self._write: Any = None
        self._original: Any = None

    def enter(self) -> None:
        """A cell starts, at the start of a line."""
        self.is_inside_line = False
        stream: Any = sys.stdout
        if stream is self._stream:
            return
        self.leave()
        try:
            original = vars(stream).get("write")
            inner = stream.write

            def write(text: Any) -> Any:
                written = inner(text)
                if text:
                    self.is_inside_line = text[-1] != "\n"
                return written

            stream.write = write
        except Exception:
            return  # None or a read-only object: the position stays unknown
        self._stream, self._write, self._original = stream, write, original

    def leave(self) -> None:
        """No cell runs: restore the stream, unless it was wrapped again."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if vars(stream).get("write") is self._write:
            if self._original is None:
                del stream.write
            else:
                stream.write = self._original
        self._write = self._original = None
