"""Paths to complete, in IPython and in a shell."""

from __future__ import annotations

import os


def complete_path(typed: str, endings: tuple[str, ...]) -> list[str]:
    """The folders, and the files with one of `endings`, whose path begins with `typed`.

    Sorted; folders end in a slash. Hidden ones only if `typed` asks for them, and none
    with control characters, which a terminal would interpret. Empty if the folder
    cannot be read.

    >>> complete_path("/pro", ())
    ['/proc/']
    """
    if typed == "~":
        return ["~/"]
    folder, start = os.path.split(typed)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = [
                each.name + "/" if each.is_dir() else each.name
                for each in entries
                if each.name.startswith(start)
                and (start or not each.name.startswith("."))
                and each.name.isprintable()
                and (each.is_dir() or each.name.endswith(endings))
            ]
    except (OSError, ValueError):  # a null character
        return []
    before = typed[: len(typed) - len(start)]
    return [before + name for name in sorted(found)]
