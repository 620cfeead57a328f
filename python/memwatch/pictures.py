"""A report as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["blocks"]

_BLOCKS = "▁▂▃▄▅▆▇█"


def blocks(values: Sequence[int], width: int) -> str:
    """`values` as at most `width` block characters, from ``▁``, lowest, to ``█``.

    Where there are more values than characters each shows the highest of its share.
    """
    count = min(len(values), width)
    if count < 1:
        return ""
    edges = [len(values) * place // count for place in range(count + 1)]
    heights = [max(values[a:b]) for a, b in pairwise(edges)]
    low = min(heights)
    span = max(heights) - low
    if span == 0:
        return _BLOCKS[0] * count
    top = len(_BLOCKS) - 1
    return "".join(
        _BLOCKS[(height - low) * top // span if height < low + span else top]
        for height in heights
    )
