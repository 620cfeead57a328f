"""What slots_table.py says beside its tables, with the sources."""

from __future__ import annotations

SOURCES = """
[data model]: https://docs.python.org/3/reference/datamodel.html#slots
[shared keys]: https://peps.python.org/pep-0412/
[no dict]: https://github.com/python/cpython/pull/28802
[layout]: https://github.com/python/cpython/blob/main/Objects/object_layout.md
[maps]: https://pypy.org/posts/2010/11/efficiently-implementing-python-objects-3838329944323946932.html
[blocks]: https://github.com/python/cpython/blob/main/Include/internal/pycore_obmalloc.h
"""

WHY = """\
Why, by version:

- `__slots__` denies an object its `__dict__` and `__weakref__` ([data model]).
- CPython 3.10: without slots each object has a dict of its own, with [shared keys].
- 3.11: [no dict] until it is asked for; the object points to an array of values
  ([layout]).
- 3.12: dict and values share one pointer ([layout]): 48 bytes, where the 56 before
  filled a block of 64.
- 3.13: the values are inside the object ([layout]): 88 bytes, which fill a block of 96.
- PyPy: objects with the same attributes share what describes them, their [maps].
"""

EXPLAINED = """\
<details>
<summary>Measured, and what each interpreter has allocated for an object</summary>

`getsizeof` is that of an object and of its dict, if it has one; 8 bytes are its place
in the list. *Allocated* is what tracemalloc traces, rounded up to pymalloc's [blocks]
of 16 bytes; on PyPy, what the collector's arenas grew by. *Its own* are pages of the
interpreter's files that became resident, and PyPy's nursery: what less is kept if it
was filled before. The last deviation is from the sum of both.

"""

ENDING = """
`getsizeof` sees neither the values of 3.11 and newer nor the rounding. About 1 % is
left, in which are pymalloc's headers and the list's room to grow.

</details>
"""
