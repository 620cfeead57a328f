"""Cells in an InteractiveShell of this process."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from memwatch import _core
from support import Line, lines_in

needs_hwm_reset = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"],
    reason="the kernel's high-water mark cannot be reset here",
)


def run_cell(ip: Any, code: str, capsys: Any, **options: Any) -> list[Line]:
    """The lines that memwatch prints for the cell."""
    options.setdefault("store_history", True)
    capsys.readouterr()
    ip.run_cell(code, **options)
    return lines_in(capsys.readouterr().out)


def open_windows() -> int:
    """The number of windows that are open in this process."""
    gc.collect()
    return int(_core.sampler()["open_windows"])
