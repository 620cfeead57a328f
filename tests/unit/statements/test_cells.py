"""%%memwatch lines, %memwatch lines -f, and c.MemWatch.statements in a shell."""

import re

import pytest

import memwatch
from memwatch.statements import current_line


def table(text):
    """The rows of a table of lines: line -> (runs, kept, peaked)."""
    found = {}
    for row in text.splitlines():
        cells = re.match(r" *(\d+) +([\d,]+) +(-?[\d.]+) +([\d.]+) ", row)
        if cells:
            runs, kept, peaked = cells.groups()[1:]
            found[int(cells[1])] = (int(runs), float(kept), float(peaked))
    return found


CELL = """%%memwatch lines
x = pages(8)
b'x' * (64 * 2**20) and None
for i in range(3):
    y = i
5"""


def test_a_cell_line_by_line(ip, show):
    text = show(CELL)
    found = table(text)
    assert {line: runs for line, (runs, _, _) in found.items()} == {
        2: 1, 3: 1, 4: 4, 5: 3, 6: 1,
    }  # fmt: skip
    assert found[2][1] == pytest.approx(8, abs=0.5)
    assert found[3][2] == pytest.approx(64, abs=2)
    assert text.endswith("Out[1]: 5")
    assert ip.user_ns["y"] == 2
    assert ip.user_ns["_"] == 5
    assert memwatch.history[-1].source == "x = pages(8)"


def test_a_cell_that_raises_shows_its_lines(show):
    text = show("%%memwatch lines\nx = 1\n1 / 0\ny = 2")
    assert "ZeroDivisionError" in text
    assert sorted(table(text)) == [2, 3]
    assert "bytes" not in text


def test_a_cell_that_awaits(show):
    code = "%%memwatch lines\nimport asyncio\nawait asyncio.sleep(0)\n5"
    text = show(code)
    assert sorted(table(text)) == [2, 3, 4]
    assert "Out[1]: 5" in text


def test_a_function_of_the_session(ip, show):
    ip.run_cell(
        "def f(n):\n    x = bytearray(n)\n    return len(x)", store_history=True
    )
    code = ip.user_ns["f"].__code__
    text = show("%memwatch lines -f f f(8 * 2**20)")
    assert sorted(table(text)) == [2, 3]
    assert "Out[2]: 8388608" in text
    assert ip.user_ns["f"].__code__ is code


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "%memwatch lines",
            "UsageError: %memwatch lines: expected a function and code",
        ),
        (
            "%memwatch lines -f len len('')",
            "UsageError: %memwatch lines: cannot measure",
        ),
        ("%%memwatch lines x\npass", "UsageError: %%memwatch: unexpected argument: "),
        (
            "%%memwatch lines -r 3\npass",
            "UsageError: %%memwatch: unexpected argument: ",
        ),
    ],
)
def test_errors_are_one_line(show, code, error):
    assert show(code).startswith(error)
    assert len(show(code).splitlines()) == 1


def test_every_cell_while_it_is_configured(ip, show):
    ip.run_cell("%config MemWatch.statements = True")
    text = show("x = pages(8)\nfor i in range(2):\n    y = i\n\n5")
    assert {line: runs for line, (runs, _, _) in table(text).items()} == {
        1: 1, 2: 3, 3: 2, 5: 1,
    }  # fmt: skip
    assert table(text)[1][1] == pytest.approx(8, abs=0.5)
    # Code that a magic runs has other lines; a cell inside a cell is part of it.
    assert list(table(show("%%time\nfor i in range(3): pass"))) == [1]
    assert list(table(show("%%capture\nfor i in range(3):\n    pass"))) == [1]
    text = show("def f():\n    for i in range(3): pass\nf()\n1 / 0")
    assert "ZeroDivisionError" in text
    assert sorted(table(text)) == [1, 3, 4]
    ip.run_cell("%config MemWatch.statements = False")
    assert table(show("x = 1")) == {}
    assert ip.ast_transformers == []
    ip.run_cell("f()")


def test_unloading_leaves_the_shell_as_it_was(ip):
    run_code = type(ip).run_code
    ip.run_cell("%config MemWatch.statements = True")
    assert "run_code" in vars(ip)
    memwatch.unload_ipython_extension(ip)
    assert ip.run_code.__func__ is run_code
    assert "run_code" not in vars(ip)
    assert ip.ast_transformers == []


def test_the_line_of_code():
    code = compile("\n\nx = 1\ny = 2", "<cell>", "exec")
    assert current_line.line_of(code) == 3
    assert current_line.line_of(code.replace(co_name="<cell line: 7>")) == 7


def test_another_wrapper_around_run_code_survives(ip):
    calls = []
    inner = ip.run_code

    def outer(code, *args, **kwargs):
        calls.append(code)
        return inner(code, *args, **kwargs)

    ip.run_code = outer
    try:
        memwatch.unload_ipython_extension(ip)
        ip.run_cell("x = 5")
    finally:
        del ip.run_code
    assert len(calls) == 1
    assert ip.user_ns["x"] == 5
