"""What the benchmarks print: Markdown, as the README shows it."""

from __future__ import annotations

import os
import platform
import time

NOT_TOLD = "n/a"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def made_by(command: str) -> str:
    """What made it, when and where."""
    release = platform.release().split("-")[0]
    return (
        f"`{command}`, {time.strftime('%Y-%m-%d')},"
        f" CPython {platform.python_version()}, Linux {release},"
        f" {os.cpu_count()} processors"
    )
