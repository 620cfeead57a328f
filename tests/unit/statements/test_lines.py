"""What each line costs: cells, functions, generators, recursion, threads."""

import asyncio
import sys
import threading

import pytest

import memwatch
from memwatch import _core
from memwatch.statements import functions, instrument
from memwatch.statements.functions import LinesError
from support import MIB

SIZE = 64 * MIB
k = 2


def rows(function):
    first = function.__wrapped__.__code__.co_firstlineno
    return {each.line - first: each for each in function.lines}


def sized(n):
    big = b"x" * n
    del big
    kept = [bytearray(n)]
    return kept.pop()


def test_a_function_line_by_line():
    measured = memwatch.lines(sized)
    kept = measured(SIZE)
    found = rows(measured)
    assert len(kept) == SIZE
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1].used_bytes == pytest.approx(SIZE, rel=0.02)
    assert found[2].used_bytes == pytest.approx(-SIZE, rel=0.02)
    assert found[3].used_bytes == pytest.approx(SIZE, rel=0.02)
    assert [each.count for each in found.values()] == [1, 1, 1, 1]
    assert sized(1) == bytearray(1)  # the function itself is not changed


def transient(n):
    return len(b"x" * n + b"y")


def test_what_is_freed_within_a_line_is_not_missed():
    measured = memwatch.lines(transient)
    assert measured(SIZE) == SIZE + 1
    (row,) = measured.lines
    assert row.peaked_bytes >= 2 * SIZE - (row.peak_error_bytes or 0)
    assert row.used_bytes < MIB


def loops(n):
    total = 0
    for i in range(n):
        if i == 1:
            continue
        total += i
    while total > 0:
        total -= 100
        with open("/dev/null"):
            pass
    else:
        total = 0
    try:
        raise ValueError
    except ValueError:
        total = 5
    finally:
        total += 1
    return total


def test_blocks_have_a_row_for_each_line():
    measured = memwatch.lines(loops)
    assert measured(4) == loops(4)
    counts = {line: each.count for line, each in rows(measured).items()}
    assert counts == {
        1: 1, 2: 5 + 0, 3: 4, 4: 1, 5: 3, 6: 2, 7: 1, 8: 1, 9: 1, 11: 1,
        12: 1, 13: 1, 15: 1, 17: 1, 18: 1,
    }  # fmt: skip


def generator(n):
    for _ in range(n):
        held = bytearray(MIB)
        got = yield len(held)
        if got is not None:
            return got


def test_generators_are_not_charged_with_their_callers():
    measured = memwatch.lines(generator)
    running = measured(3)
    next(running)
    callers = bytearray(SIZE)
    assert running.send(None) == MIB
    with pytest.raises(StopIteration) as stop:
        running.send(7)
    assert stop.value.value == 7
    assert len(callers) == SIZE
    assert all(each.used_bytes < SIZE // 2 for each in measured.lines)
    unfinished = measured(3)
    next(unfinished)
    unfinished.close()
    other = measured(3)
    next(other)
    with pytest.raises(ZeroDivisionError):
        other.throw(ZeroDivisionError)


def recursive(n):
    if n == 0:
        return 0
    return 1 + recursive(n - 1)


def test_recursion():
    measured = memwatch.lines(recursive)
    globals()["recursive"] = measured
    try:
        assert measured(10) == 10
    finally:
        globals()["recursive"] = measured.__wrapped__
    assert [each.count for each in measured.lines] == [11, 1, 10]


class Base:
    def value(self):
        return 1


class Child(Base):
    def __init__(self):
        self.__hidden = 5

    def value(self):
        return super().value() + self.__hidden


def test_methods_closures_and_private_names():
    def inner(x, *, y=3):
        return x + y + n

    n = 10
    assert memwatch.lines(inner)(1, y=2) == 13
    assert memwatch.lines(inner)(1) == 14
    n = 20
    assert memwatch.lines(inner)(1) == 24
    assert memwatch.lines(Child.value)(Child()) == 6


async def waits(n):
    await asyncio.sleep(0)
    async with asyncio.Lock():
        held = bytearray(n)
    return len(held)


def test_coroutines_that_take_turns():
    measured = memwatch.lines(waits)

    async def both():
        return await asyncio.gather(measured(10), measured(20))

    assert asyncio.run(both()) == [10, 20]
    assert [each.count for each in measured.lines] == [2, 2, 2, 2]


def test_other_threads_are_not_measured():
    measured = memwatch.lines(sized)
    threads = [threading.Thread(target=measured, args=(10,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert list(measured.lines) == []
    measured(10)
    assert [each.count for each in measured.lines] == [1, 1, 1, 1]


def fails():
    x = [0]
    return x[1]


def test_a_traceback_shows_the_functions_own_lines():
    measured = memwatch.lines(fails)
    with pytest.raises(IndexError) as raised:
        measured()
    entry = raised.traceback[-1]
    assert entry.lineno + 1 == fails.__code__.co_firstlineno + 2
    assert entry.name == "fails"


def test_under_a_trace_function():
    seen = []
    measured = memwatch.lines(sized)

    def trace(frame, event, argument):
        if frame.f_code.co_name == "sized":
            seen.append(event)
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        measured(10)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(previous)
    assert "line" in seen
    assert len(list(measured.lines)) == 4


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (len, "expected a function in Python"),
        (5, "expected a function in Python"),
        (lambda: 1, "is not known|not a lambda"),
        (eval("lambda: 1"), "is not known|not a lambda"),
    ],
)
def test_what_cannot_be_measured(function, text):
    with pytest.raises(LinesError, match=text):
        memwatch.lines(function)


def test_a_function_measured_in_place():
    with functions.measuring(sized) as table:
        sized(10)
    sized(10)
    assert [each.count for each in table] == [1, 1, 1, 1]


def test_profile_prints_at_the_end(tmp_path):
    from support import run_python

    script = tmp_path / "script.py"
    script.write_text(
        "import memwatch\n\n@memwatch.profile\ndef f():\n"
        "    return bytearray(2**20)\n\nf()\nf()\nprint('done')\n"
    )
    out = run_python(f"import runpy; runpy.run_path({str(script)!r})").splitlines()
    assert out[0] == "done"
    assert out[1].split()[-1] == "f()"
    assert out[2].split()[:2] == ["5", "2"]


def test_lines_as_data_and_html():
    measured = memwatch.lines(sized)
    assert repr(measured.lines) == "sized(): no line has run"
    measured(SIZE)
    found = measured.lines
    assert [each["count"] for each in found.to_dicts()] == [1, 1, 1, 1]
    html = found._repr_html_()
    assert html.count("<tr>") == 6
    assert "background" in html
    assert max(map(len, repr(found).splitlines())) <= 80


def test_wrong_arguments():
    with pytest.raises(ValueError, match="expected lines, got 2 to 1"):
        _core.Lines(2, 1)
    lines = _core.Lines(1, 5)
    for arguments in ((), (1,), (1, 0), (-5, 1), ("a", 1)):
        with pytest.raises(TypeError):
            lines.enter(*arguments)
    lines.enter(99, 1)  # a run that has ended
    lines.end(99)
    run = lines.begin()
    lines.enter(run, 1000)  # a line of other code
    lines.end(run)
    lines.end(run)
    assert lines.rows() == []


def test_docstrings_and_futures_stay_first():
    import ast

    tree = ast.parse('"text"\nfrom __future__ import annotations\nx = 1')
    body = instrument.instrument_module(tree, 0).body
    assert isinstance(body[1], ast.ImportFrom)
    assert isinstance(body[2], ast.Expr)
    assert len(body) == 4
