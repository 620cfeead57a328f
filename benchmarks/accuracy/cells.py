"""Cells whose true cost is known beforehand: they map an exact number of pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KIB = 2**10
MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Cell:
    """What is executed, and what it truly costs, in bytes."""

    kind: str
    name: str
    code: str
    used: int
    """RSS at the end less RSS at the start."""
    peaked: int
    """The highest RSS less RSS at the end."""
    setup: str = ""
    """Executed before, unmeasured."""
    forked: bool = False
    """Executed in a forked child of the kernel, and measured there."""


def size_of(size: int) -> str:
    """`size` in the largest unit that leaves it whole."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size // KIB} KiB"


def all_cells() -> Iterator[Cell]:
    """The table, kind by kind."""
    yield from _kept()
    yield from _dropped()
    yield from _threads()
    yield from _forks()
    yield from _other_pages()
    yield from _shrinking()


def _kept() -> Iterator[Cell]:
    for size in (64 * KIB, MIB, 16 * MIB, 256 * MIB, 4 * GIB):
        yield Cell("kept", size_of(size), f"kept = pages.Pages({size})", size, 0)
    for gil in ("held", "released"):
        yield Cell(
            "kept",
            f"64 MiB and 128 MiB dropped, GIL {gil}",
            f"kept = pages.Pages({64 * MIB}, gil='{gil}')\n"
            f"pages.dropped({128 * MIB}, gil='{gil}')",
            64 * MIB,
            128 * MIB,
        )


def _dropped() -> Iterator[Cell]:
    for size in (64 * KIB, MIB, 16 * MIB, 256 * MIB, 4 * GIB):
        yield Cell(
            "dropped after 50 ms",
            size_of(size),
            f"pages.dropped({size}, for_s=0.05)",
            0,
            size,
        )
    for gil in ("held", "released"):
        for size in (64 * KIB, 256 * KIB, MIB, 16 * MIB, 256 * MIB, 4 * GIB):
            small = "small, " if size < MIB else ""
            yield Cell(
                f"{small}dropped at once, GIL {gil}",
                size_of(size),
                f"pages.dropped({size}, gil='{gil}')",
                0,
                size,
            )


def _threads() -> Iterator[Cell]:
    size = 256 * MIB
    for count in (1, 2, 4, 8):
        setup = f"workers = pages.Workers({count})"
        for drop in (True, False):
            yield Cell(
                "threads",
                f"{size_of(size)} by {count}, {'dropped' if drop else 'kept'}",
                f"kept = workers.map({size}, drop={drop})",
                0 if drop else size,
                size if drop else 0,
                setup,
            )


def _forks() -> Iterator[Cell]:
    child = f"pages.in_a_child({256 * MIB})"
    before = "pages.in_a_child(4096)"  # what Python's first fork allocates
    yield Cell("fork", "256 MiB by a child only", child, 0, 0, before)
    yield Cell(
        "fork",
        "64 MiB dropped, then 256 MiB by a child",
        f"pages.dropped({64 * MIB})\n{child}",
        0,
        64 * MIB,
        before,
    )
    yield Cell(
        "fork",
        "256 MiB by a child, then 64 MiB dropped",
        f"{child}\npages.dropped({64 * MIB})",
        0,
        64 * MIB,
        before,
    )
    for gil in ("held", "released"):
        yield Cell(
            "fork",
            f"cell run in a child, 64 MiB dropped, GIL {gil}",
            f"pages.dropped({64 * MIB}, gil='{gil}')",
            0,
            64 * MIB,
            forked=True,
        )


def _other_pages() -> Iterator[Cell]:
    size = 64 * MIB
    on_file = f"fd = pages.file_of({size})"
    for kind, setup, how in (
        ("huge pages", "", "huge=True"),
        ("file-backed", on_file, "flags=pages.mmap.MAP_PRIVATE, fd=fd"),
        ("shared memory", "", "flags=pages.SHARED"),
    ):
        yield Cell(
            kind,
            f"{size_of(size)} kept",
            f"kept = pages.Pages({size}, {how})",
            size,
            0,
            setup,
        )
        for gil in ("held", "released"):
            yield Cell(
                kind,
                f"{size_of(size)} dropped at once, GIL {gil}",
                f"pages.dropped({size}, gil='{gil}', {how})",
                0,
                size,
                setup,
            )


def _shrinking() -> Iterator[Cell]:
    size = 256 * MIB
    setup = f"kept = pages.Pages({size})"
    yield Cell(
        "shrinking", f"{size_of(size)} given back", "kept.drop()", -size, size, setup
    )
    yield Cell(
        "shrinking",
        f"{size_of(size)} given back after 64 MiB more",
        f"pages.dropped({64 * MIB})\nkept.drop()",
        -size,
        size + 64 * MIB,
        setup,
    )
