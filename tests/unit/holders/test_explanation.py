"""%memwatch why, vars and trim in a shell, and the hint about Out."""

import gc

import pytest

import memwatch
from memwatch.holders import explanation
from support import MIB

_COLLECT = "; import gc; gc.collect()"


def rows(shell):
    return {row.what: row for row in memwatch.why(shell=shell).rows}


def the_row(shell, text):
    found = [row for row in memwatch.why(shell=shell).rows if text in row.what]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("code", "text", "command"),
    [
        ("big = bytearray(20 * 2**20)", "big: bytearray of 20,971,520", "del big"),
        ("def f(x=bytearray(20 * 2**20)): pass", "f (default of x)", "del f"),
        (
            "class C:\n    big = bytearray(20 * 2**20)",
            "C.big: bytearray",
            f"del C{_COLLECT}",
        ),
        (
            "import numpy as np\nb = np.ones(3 * 2**20)\nv = b[:5]\ndel b",
            "v.base",
            "v = v.copy()",
        ),
        (
            "class C: pass\nc = C()\nc.me = c\nc.big = bytearray(20 * 2**20)",
            "c.big",
            f"del c{_COLLECT}",
        ),
    ],
)
def test_the_row_and_its_command(ip, code, text, command):
    ip.run_cell(code, store_history=True)
    row = the_row(ip, text)
    assert row.size_bytes >= 20 * MIB
    assert row.command == command
    ip.run_cell(row.command, store_history=True)
    assert not any(text in each for each in rows(ip))


def test_a_result_in_out(ip):
    ip.run_cell("bytearray(20 * 2**20)", store_history=True)
    assert the_row(ip, "Out[1]").command == "%xdel _1"
    ip.run_cell("%reset -f out", store_history=True)
    gc.collect()


def test_the_running_shell_is_the_default(ip):
    ip.run_cell("bytearray(20 * 2**20)", store_history=True)
    assert any("Out[1]" in row.what for row in memwatch.why().rows)


def test_one_name(ip):
    ip.run_cell("a = [bytearray(20 * 2**20)]\nb = {'key': a[0]}", store_history=True)
    found = memwatch.why("b", shell=ip)
    assert found.title == "b: dict of 1 bytearray"
    assert [row.what for row in found.rows] == [
        "held by it alone",
        "held by a[0] too",
    ]
    assert found.summary == "0.00 MiB alone, 20.00 MiB held by others too"


def test_text_and_html(ip, show):
    ip.run_cell("big = bytearray(20 * 2**20)", store_history=True)
    text = show("%memwatch why")
    assert text.startswith("RSS ")
    assert "20.00  big: bytearray of 20,971,520\n" in text
    assert "to free it: del big\n" in text
    assert max(map(len, text.splitlines())) <= 80
    html = memwatch.why(shell=ip)._repr_html_()
    assert "<code>del big</code>" in html
    assert show("%memwatch why big").startswith("big: bytearray of 20,971,520\n")
    assert "big  bytearray of 20,971,520" in show("%memwatch vars")


def test_errors_are_one_line(ip, show):
    assert show("%memwatch why nothing") == (
        "UsageError: no variable 'nothing' that holds memory: expected a name of this"
        " session or a result, Out[N]"
    )
    assert "unexpected argument: 'x'" in show("%memwatch vars x")


def test_trim(ip, show):
    text = show("%memwatch trim")
    assert text.endswith(" MiB")
    assert " MiB returned to the system, RSS " in text


def test_the_share_that_is_accounted_for(ip, monkeypatch):
    monkeypatch.setitem(explanation.start, "rss_bytes", 10 * MIB)
    monkeypatch.setitem(explanation.start, "file_bytes", 0)
    summary = explanation._summary
    assert summary(110 * MIB, 95 * MIB, 0) == "accounted for: 95 % of the growth"
    assert summary(110 * MIB, 50 * MIB, 0).startswith(
        "accounted for: 50 % of the growth; the other 50.00 MiB are imported"
    )
    assert summary(10 * MIB, 0, 0) == "the session has hardly grown"


def test_results_of_earlier_runs_are_hinted_once(ip, show):
    code = "bytearray(20 * 2**20)"
    first, second, third, fourth = (show(code) for _ in range(4))
    assert "still" not in first
    assert second.splitlines()[-1] == (
        "Out[1] still holds 20 MiB from earlier runs of this cell; %memwatch why tells"
        " how to free them"
    )
    assert "still" not in third + fourth


def test_no_hint_where_out_does_not_hold_it(ip, show):
    ip.run_cell("kept = []", store_history=True)
    for _ in range(3):
        assert "still" not in show("kept.append(bytearray(20 * 2**20)); len(kept)")


def test_no_hint_if_switched_off(ip, show):
    ip.run_cell("%config MemWatch.hints = False", store_history=True)
    for _ in range(3):
        assert "still" not in show("bytearray(21 * 2**20)")
