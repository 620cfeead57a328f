"""``await`` below %%memwatch: an input transformation.

IPython calls a magic like a function, and a kernel's event loop is running already: a
magic cannot await. Only a cell can, so a cell with such a body becomes one that awaits
MemWatch.run_awaiting().
"""

from __future__ import annotations

from typing import Any

from .arguments import CommandError
from .command_line import parse_code

_IN_SESSION = ("memwatch", "memwatch_quiet")
"""The magics that run their code in the session; memwatch_compare does not."""


class AwaitingMagics:
    """Transforms the lines of cells of `shell`; for input_transformers_cleanup."""

    has_side_effects = True  # IPython: not for checking whether a cell is complete

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """`lines`, or the one line that runs them."""
        if not lines or not lines[0].startswith(("%memwatch", "%%memwatch")):
            return lines
        word, _, line = lines[0].strip().partition(" ")
        magic = word.lstrip("%")
        is_cell = word.startswith("%%")
        body = "".join(lines[1:])
        if magic not in _IN_SESSION or (body.strip() and not is_cell):
            return lines
        if not self._awaits(body if is_cell else _code_in(line)):
            return lines
        cell = body if is_cell else None
        magics = "get_ipython().magics_manager.registry['MemWatch']"
        return [f"await {magics}.run_awaiting({magic!r}, {line!r}, {cell!r})\n"]

    def _awaits(self, text: str) -> bool:
        """Whether `text` has ``await`` outside of functions."""
        shell = self._shell
        if not shell.autoawait or ("await" not in text and "async" not in text):
            return False
        import ast  # takes milliseconds
        from inspect import CO_COROUTINE

        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            code = compile(shell.transform_cell(text), "<cell>", "exec", flags)
        except SyntaxError:
            return False
        return bool(code.co_flags & CO_COROUTINE)


def _code_in(line: str) -> str:
    try:
        found = parse_code(line, lambda name: True)
    except CommandError:  # the magic will raise it
        return ""
    return "" if found is None else found[1]
