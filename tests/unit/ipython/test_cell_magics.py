"""%%memwatch, %%memwatch_quiet, and code after %memwatch."""

import re

import pytest

import memwatch
from memwatch import _core
from memwatch.compare import output
from memwatch.compare.cell import Result
from support import MIB


def test_one_cell_is_watched_while_watching_is_off(ip, lines):
    lines("%memwatch off")
    assert lines("pass") == []
    (line,) = lines("%%memwatch\nkept = pages(32)")
    assert line.n == 3
    assert abs(line.used - 32) < 1
    report = memwatch.history[-1]
    assert report.label == "In [3]"
    assert report.source == "kept = pages(32)"
    assert lines("pass") == []
    assert _core.sampler()["open_windows"] == 0
    (line,) = lines("%%memwatch\n1/0")
    assert memwatch.history[-1].status == "error"
    assert lines("pass") == []
    assert lines("%memwatch on") == []
    assert len(lines("pass")) == 1


def test_one_line_while_watching_is_on(ip, lines):
    ip.run_line_magic("config", "MemWatch.min_used_mib = 1e6")
    assert lines("pass") == []
    assert len(lines("%%memwatch\npass")) == 1  # asked for explicitly
    assert lines("pass") == []
    ip.run_line_magic("config", "MemWatch.min_used_mib = None")
    assert len(lines("pass")) == 1


def test_cell_that_turns_watching_on_leaves_it_on(lines):
    lines("%memwatch off")
    assert len(lines("%%memwatch\n%memwatch on")) == 1
    assert len(lines("pass")) == 1
    lines("%memwatch off")
    assert lines("%%memwatch\n%memwatch off") == []
    assert lines("pass") == []


def test_silent_cell_leaves_watching_off(ip, lines):
    lines("%memwatch off")
    ip.run_cell("%%memwatch\nran = True", silent=True)
    assert ip.user_ns["ran"]
    assert lines("pass") == []
    assert _core.sampler()["open_windows"] == 0


@pytest.mark.parametrize("magic", ["%%memwatch", "%%memwatch_quiet"])
def test_body_runs_like_a_cell(ip, show, magic):
    code = f"{magic}\nimport math\ndef root(x): return math.sqrt(x)\n%pwd\nroot(y)"
    ip.user_ns["y"] = 9
    assert "3.0" in show(code)
    assert ip.user_ns["_"] == 3.0
    assert ip.user_ns["root"](4) == 2
    assert "3.0" not in show(f"{magic}\nroot(y);  # silent")
    assert "äö" in show(f"{magic}\n'äö'; 'äö'")
    assert "äö" not in show(f"{magic}\n'äö';")
    text = show(f"{magic}\nx = 1\nroot(-1)")
    assert "ValueError" in text
    assert "----> 2 root(-1)" in text or "2\x1b" in text
    result = ip.run_cell(f"{magic}\n1 +", store_history=True)
    assert isinstance(result.error_in_exec, SyntaxError)
    assert result.error_in_exec.text.strip() == "1 +"
    assert show(f"{magic}\n# nothing") == ""


def test_repeat_shows_median_and_range(ip, show):
    ip.user_ns["runs"] = []
    show("%memwatch off")
    before = len(memwatch.history)
    text = show("%%memwatch -r 5\nruns.append(pages(8 if len(runs) == 2 else 4))")
    assert len(ip.user_ns["runs"]) == 5
    head, used, peaked, taken = text.splitlines()
    assert head == "5 runs"
    middle, low, high = map(float, re.findall(r"-?[\d.]+(?= MiB)", used))
    assert abs(low - 4) < 0.5
    assert abs(middle - 4) < 0.5
    assert abs(high - 8) < 0.5
    assert peaked.startswith("peaked ")
    assert re.fullmatch(r"time +[\d.]+ m?s  \([\d.]+ m?s to [\d.]+ m?s\)", taken)
    labels = [report.label for report in memwatch.history[before:]]
    assert labels == [f"In [2] run {run} of 5" for run in range(1, 6)]


def test_error_stops_the_repetition(ip, show):
    ip.user_ns["runs"] = []
    code = "%%memwatch --repeat 5\nruns.append(1)\nif len(runs) == 2: 1/0"
    result = ip.run_cell(code, store_history=True)
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert ip.user_ns["runs"] == [1, 1]
    assert [each.status for each in memwatch.history[-3:]] == ["ok", "error", "error"]
    assert _core.sampler()["open_windows"] == 0


def test_quiet_cell_has_a_report_but_no_line(ip, lines):
    before = len(memwatch.history)
    assert lines("%%memwatch_quiet\nkept = pages(16)") == []
    assert len(memwatch.history) == before + 1
    assert abs(memwatch.history[-1].used_bytes / MIB - 16) < 1
    assert len(lines("pass")) == 1
    lines("%memwatch off")
    assert lines("%%memwatch_quiet\nran = True") == []
    assert ip.user_ns["ran"]
    assert len(memwatch.history) == before + 2


AWAITING = "import asyncio\nawait asyncio.sleep(0)\nkept = pages(8)\n"


@pytest.mark.parametrize(
    "body", [AWAITING, AWAITING + "async for _ in numbers(): pass\n", "await number()"]
)
def test_body_may_await(ip, lines, show, body):
    ip.run_cell(
        "async def number(): return 7\nasync def numbers():\n    yield 1",
        store_history=True,
    )
    show("%memwatch off")
    (line,) = lines(f"%%memwatch\n{body}")
    assert line.n == 3
    if "kept" in body:
        assert abs(line.used - 8) < 1
    else:
        assert ip.user_ns["_"] == 7
        assert ip.user_ns["_3"] == 7
    assert "2 runs" in show(f"%%memwatch -r 2\n{body}")
    before = len(memwatch.history)
    show("%memwatch on")
    assert lines(f"%%memwatch_quiet\n{body}") == []
    assert len(memwatch.history) == before + 1


def test_a_line_may_await(ip, lines, show):
    show("%memwatch off\nasync def number(n): return n")
    assert "12" in show("%memwatch await number(12)")
    (line,) = lines("%memwatch await number(3)")
    assert line.n == 3
    assert "3 runs" in show("%memwatch -r 3 await number(1)")
    show("async def inside():\n    return await number(5)")
    assert "coroutine" in show("%memwatch inside()")  # awaits in a function only


def test_errors_of_a_body_that_awaits(ip, show):
    show("async def fail(): raise KeyError('x')")
    assert "KeyError" in show("%%memwatch\nawait fail()")
    report = memwatch.history[-1]
    assert (report.source, report.status) == ("await fail()", "error")
    text = show("%%memwatch -r x\nawait fail()")
    assert text == "UsageError: %%memwatch: expected a positive integer, got 'x'"
    assert "SyntaxError" in show("%%memwatch\nawait fail)")
    show("%autoawait False")
    assert "SyntaxError" in show("%%memwatch\nawait fail()")


def test_code_after_memwatch_is_watched(ip, lines, show):
    show("%memwatch off")
    (line,) = lines("%memwatch kept = pages(32)")
    assert abs(line.used - 32) < 1
    assert len(ip.user_ns["kept"]) == 32 * MIB
    (line,) = lines("%memwatch top\n%memwatch kept")
    assert line.n == 3
    assert memwatch.history[-1].label == "In [3]"
    ip.user_ns["calls"] = []
    assert "3" in show("%memwatch {calls.append(1): 3}.popitem()[1]")
    assert ip.user_ns["calls"] == [1]  # not by IPython's expansion, too
    assert "'xyz'" in show("%memwatch 'xy' + 'z'")
    assert "ZeroDivisionError" in show("%memwatch 1 / 0")
    assert lines("pass") == []


def test_code_after_memwatch_is_repeated(ip, show):
    ip.user_ns["runs"] = []
    text = show("%memwatch -r 5 runs.append(pages(8 if len(runs) == 2 else 4))")
    assert text.startswith("5 runs\nused ")
    assert len(ip.user_ns["runs"]) == 5
    show("%memwatch --repeat=2 runs.append(1)")
    assert len(ip.user_ns["runs"]) == 7


# ---- %%memwatch_compare, %%memwatch --leak ----

COMPARED = """%%memwatch_compare -r 3
# %% setup
n = 500_000
# %% list
x = list(range(n))
# %% range
x = range(n)
"""


def test_compare(ip, show):
    before = len(memwatch.history)
    text = show(COMPARED)
    assert "range keeps 19." in text or "range keeps" in text
    assert "run 3 of 3: range" in text
    result = ip.user_ns["_"]
    assert isinstance(result, Result)
    assert result.comparison.runs == 3
    assert result.comparison.verdict(1, "memory").is_less
    # It is no cell that used memory: the variants ran elsewhere.
    assert len(memwatch.history) == before
    assert "x" not in ip.user_ns


def test_compare_in_a_notebook(ip, show):
    show(COMPARED)
    html = ip.user_ns["_"]._repr_html_()
    assert html.count("<tr>") == 7
    assert "<td>list</td>" in html
    # The list has the longest bar; the scale ends with its interval.
    value, _, high = output.bar(ip.user_ns["_"].comparison, 0, "memory")
    assert f"width:{value / high * 100:.2f}%" in html
    hostile = show("%%memwatch_compare -r 2\n# %% <b>\n1\n# %% b\n2")
    assert "UsageError" not in hostile
    assert "<b>" not in ip.user_ns["_"]._repr_html_()


def test_compare_that_fails(ip, show):
    text = show("%%memwatch_compare -r 2\n# %% a\n1 / 0\n# %% b\n2")
    assert "ZeroDivisionError" in text
    assert ip.user_ns["_"].comparison.failure is not None
    assert "figures are partial" not in text


def test_compare_of_code_that_awaits(ip, show):
    """It does not run in the session."""
    text = show(
        "%%memwatch_compare\n# %% a\nimport asyncio\nawait asyncio.sleep(0)\n# %% b\n2"
    )
    assert text.startswith("UsageError: %%memwatch_compare: a: invalid Python code")
    assert "asyncio" not in ip.user_ns


def test_results_that_differ(show):
    text = show("%%memwatch_compare -r 2 --same-result\n# %% a\n1\n# %% b\n2")
    assert "the results differ" in text
    assert "    b: 2" in text


def test_compare_errors(show):
    for line, cell, words in [
        ("", "x = 1", "begin it with '# %% setup' or a name"),
        ("", "# %% a\n1", "expected at least two variants"),
        ("-r 1", "", "-r: expected a number from 2 on, got '1'"),
        ("--nonesuch", "", "option --nonesuch not recognized"),
        ("more", "", "unexpected argument: 'more'"),
        ("'", "", "No closing quotation"),
    ]:
        text = show(f"%%memwatch_compare {line}\n{cell or '# %% a'}")
        assert text.startswith("UsageError: %%memwatch_compare:"), text
        assert words in text


def test_leak(ip, show):
    ip.user_ns["held"] = []
    before = len(memwatch.history)
    text = show("%%memwatch --leak\nheld.append(bytes(5000))")
    found = re.match(r"leaks ([\d.]+) KiB a run, in Python objects \(95 % ", text)
    assert 4.8 < float(found[1]) < 5.5
    assert len(ip.user_ns["held"]) == 20
    assert len(memwatch.history) == before + 1


def test_no_leak(show):
    text = show("%%memwatch --leak -r 12\nx = [i for i in range(1000)]")
    assert re.match(r"(no leak above|settles after) .* in 12 runs$", text), text


def test_leak_errors(ip, show):
    assert show("%%memwatch --leak -r 3\n1") == (
        "UsageError: %%memwatch: --leak: expected at least 8 runs, got 3"
    )
    assert "ZeroDivisionError" in show("%%memwatch --leak\n1 / 0")
    text = show("%%memwatch --leak\nimport asyncio\nawait asyncio.sleep(0)")
    assert text == "UsageError: %%memwatch --leak: cannot repeat a cell that awaits"
    import tracemalloc

    assert not tracemalloc.is_tracing()
