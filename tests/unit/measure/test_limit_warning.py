"""The line that says that the memory limit is near."""

import pytest
from traitlets import TraitError

from memwatch import CellReport
from memwatch.measure.limit_warning import LimitWarning
from support import MIB

GIB = 1024 * MIB


@pytest.fixture
def limit(monkeypatch):
    """A function that sets the limit in effect, as JupyterHub does."""
    return lambda size: monkeypatch.setenv("MEM_LIMIT", str(size))


def report(peak, end):
    return CellReport(rss_peak_bytes=int(peak), rss_end_bytes=int(end))


@pytest.mark.parametrize(
    ("peak", "end", "text"),
    [
        (0.79, 0.5, None),
        (0.835, 0.835, "memwatch: 83 % of the 4.00 GiB limit"),
        (0.96, 0.5, "memwatch: peaked at 96 % of the 4.00 GiB limit"),
        (0.8, 0.8, "memwatch: 80 % of the 4.00 GiB limit"),
    ],
)
def test_share_of_the_limit(limit, peak, end, text):
    limit(4 * GIB)
    found = LimitWarning(80).text(report(peak * 4 * GIB + 1, end * 4 * GIB + 1))
    assert found == text


def test_unknown_figures_and_no_share(limit):
    limit(4 * GIB)
    assert LimitWarning(80).text(CellReport()) is None
    assert LimitWarning().text(report(4 * GIB, 4 * GIB)) is None


def test_a_limit_that_changes(limit, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("memwatch.measure.limit_warning.monotonic", lambda: now[0])
    warning = LimitWarning(80)
    limit(4 * GIB)
    assert warning.text(report(GIB, GIB)) is None
    limit(GIB)
    now[0] = 29.0
    assert warning.text(report(GIB, GIB)) is None
    now[0] = 30.0
    assert warning.text(report(GIB, GIB)) == "memwatch: 100 % of the 1.00 GiB limit"


def test_below_the_line_of_the_cell(ip, limit, show, lines):
    assert show("pass") == ""
    rss = lines("pass")[0].total * MIB
    magics = ip.magics_manager.registry["MemWatch"]
    magics._limit_warning = LimitWarning(80)
    limit(int(rss / 0.95))
    assert show("pass").startswith("memwatch: 9")
    assert show("pass").endswith(" limit")
    # Also where limits would hide the line; not in a quiet cell.
    magics.min_used_mib = 1e6
    assert len(lines("pass")) == 1
    assert show("%%memwatch_quiet\npass") == ""
    magics.warn = ""
    assert lines("pass") == []
    magics.min_used_mib = None
    assert show("pass") == ""
    magics.warn = "99 %"
    assert show("pass") == ""


@pytest.mark.parametrize("value", ["80", "0%", "101%", "2GiB", "%", "a%"])
def test_invalid_shares(ip, value):
    magics = ip.magics_manager.registry["MemWatch"]
    with pytest.raises(TraitError, match=f"for example '80%', or '', got '{value}'"):
        magics.warn = value
    assert magics.warn == "80%"
