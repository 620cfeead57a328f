"""watch() as a decorator, and in coroutines."""

import asyncio

import pytest

import memwatch
from memwatch import _core
from support import MIB, pages

BOUND = _core.accuracy()["bound_bytes"]


def test_each_call_of_a_decorated_function_is_measured():
    @memwatch.watch("take")
    def take(size_mib, *, depth=0):
        """Take memory."""
        return take(size_mib, depth=depth - 1) if depth else pages(size_mib)

    before = len(memwatch.history)
    assert len(take(20, depth=1)) == 20 * MIB
    assert (take.__name__, take.__doc__) == ("take", "Take memory.")
    inner, outer = memwatch.history[before:]
    for report in inner, outer:
        assert (report.label, report.status) == ("take", "ok")
        assert report.risen_bytes >= 20 * MIB - max(MIB, BOUND)

    @memwatch.watch()
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    report = memwatch.history[-1]
    assert report.status == "error"
    assert report.label.endswith("<locals>.fail")


def test_coroutines_are_measured_until_they_return():
    @memwatch.watch("later")
    async def later(size_mib):
        await asyncio.sleep(0)
        return pages(size_mib)

    async def main():
        async with memwatch.watch("block") as w:
            taken = await later(20)
        return taken, w.report

    taken, report = asyncio.run(main())
    assert (report.label, memwatch.history[-2].label) == ("block", "later")
    assert memwatch.history[-2].used_bytes >= 20 * MIB - max(MIB, BOUND)
    del taken


def test_what_cannot_be_decorated():
    def numbers():
        yield 1

    with pytest.raises(TypeError, match=r"generator function .*numbers; use "):
        memwatch.watch()(numbers)
    with pytest.raises(TypeError, match=r"as a decorator: @memwatch.watch\('name'\)"):
        memwatch.watch(numbers)
