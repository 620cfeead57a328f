"""Sizes, times and texts as a person reads them. The only place where bytes become MiB.

"?", "n/a" and "unknown" stand for None, a figure that could not be read.
"""

from __future__ import annotations

MIB = 2**20
_GIB = 2**30


def in_mib(size_bytes: int) -> float:
    """`size_bytes` in MiB (2**20 bytes), for a scale."""
    return size_bytes / MIB


def mib(size_bytes: int | None, digits: int = 2) -> str:
    """`size_bytes` in MiB, without the unit; "?" for None.

    >>> mib(9752832, 4)
    '9.3010'
    """
    if size_bytes is None:
        return "?"
    value = size_bytes / MIB
    if value < 0:
        # Adding 0.0 turns the -0.0 that a small negative rounds to into 0.0.
        value = round(value, digits) + 0.0
    return f"{value:.{digits}f}"


def size(size_bytes: int | None, digits: int = 2) -> str:
    """`size_bytes` in MiB, with the unit; "unknown" for None.

    >>> size(2**20)
    '1.00 MiB'
    """
    return "unknown" if size_bytes is None else f"{mib(size_bytes, digits)} MiB"


def short(size_bytes: int | None) -> str:
    """`size_bytes` for a narrow column; "?" for None.

    >>> short(612 * 2**20), short(10 * 2**30)
    ('612 MiB', '10.0 GiB')
    """
    if size_bytes is None:
        return "?"
    if size_bytes < 1000 * MIB:
        digits = 1 if size_bytes < 100 * MIB else 0
        return f"{size_bytes / MIB:.{digits}f} MiB"
    gib = size_bytes / _GIB
    return f"{gib:.{2 if gib < 10 else 1 if gib < 100 else 0}f} GiB"


def signed(size_bytes: int | None) -> str:
    """A change of memory with its sign, in MiB or GiB; "?" for None.

    >>> signed(15 * 2**20), signed(-3 * 2**30), signed(-1)
    ('+15.0 MiB', '-3.00 GiB', '+0.0 MiB')
    """
    if size_bytes is None:
        return "?"
    if abs(size_bytes) >= 1000 * MIB:
        return f"{size_bytes / _GIB:+.2f} GiB"
    value = mib(size_bytes, 1)
    return f"{value} MiB" if value.startswith("-") else f"+{value} MiB"


def seconds(duration_ns: float | None) -> str:
    """A duration in seconds, without the unit; "?" for None.

    >>> seconds(722_000_000)
    '0.72'
    """
    return "?" if duration_ns is None else f"{duration_ns / 1e9:.2f}"


def duration(duration_ns: float | None) -> str:
    """A duration in milliseconds below 0.1 s, else in seconds; "n/a" for None.

    >>> duration(1_500_000)
    '1.50 ms'
    """
    if duration_ns is None:
        return "n/a"
    if duration_ns < 1e8:
        return f"{duration_ns / 1e6:.2f} ms"
    return f"{seconds(duration_ns)} s"


def clock(duration_ns: int | None) -> str:
    """A duration for a narrow column: seconds, M:SS, H:MM:SS or days; "" for None.

    >>> clock(3_725_000_000_000)
    '1:02:05'
    """
    if duration_ns is None:
        return ""
    if duration_ns < 1e10:
        return f"{duration_ns / 1e9:.1f} s"
    minutes, rest = divmod(duration_ns // 10**9, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24} d"
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def age(age_ns: int) -> str:
    """How long ago something was, in one unit.

    >>> age(300_000_000_000)
    '5 minutes'
    """
    for least, unit, name in _AGES:
        if age_ns >= least * 10**9:
            return f"{age_ns / 1e9 / unit:.0f} {name}"
    return f"{age_ns / 1e9:.1f} s"


_AGES = (172_800, 86_400, "days"), (7200, 3600, "hours"), (120, 60, "minutes")


def printable(text: str, length: int | None = None) -> str:
    """`text` in at most `length` characters, none of which a terminal would obey.

    That is what Unicode calls control and format characters, those that turn the
    direction of writing among them, lone surrogates, and spaces but the plain one.

    >>> printable("two\\nlines", 6)
    'two l…'
    """
    if length is not None and len(text) > length:
        text = text[: length - 1] + "…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " for each in text)
