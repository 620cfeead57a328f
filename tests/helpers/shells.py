"""Cells in an InteractiveShell of this process."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

from memwatch import _core
from support import Line, lines_in

needs_hwm_reset = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"],
    reason="the kernel's high-water mark cannot be reset here",
)


def run_cell(ip: Any, code: str, capsys: Any, **options: Any) -> list[Line]:
    """The lines that memwatch prints for the cell.

    All that it prints is also written to stderr, which pytest shows if a test fails.
    """
    options.setdefault("store_history", True)
    capsys.readouterr()
    ip.run_cell(code, **options)
    captured = capsys.readouterr()
    os.write(2, f"{code!r} printed:\n{captured.out}{captured.err}".encode())
    return lines_in(captured.out)


def open_windows() -> int:
    """The number of windows that are open in this process."""
    gc.collect()
    return int(_core.sampler()["open_windows"])
