"""``c.MemWatch``: styles, limits for the line, invalid values."""

import os
import re
import sys
import warnings

import pytest
from traitlets import TraitError

import memwatch
from memwatch import _core, warn
from shells import run_cell
from support import CPU, MIB


def test_cpu_style(ip, capsys):
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    ip.run_line_magic("memwatch", "style cpu")
    capsys.readouterr()
    code = "import time\nt = time.time()\nwhile time.time() < t + 0.3: pass"
    ip.run_cell(code, store_history=True)
    match = CPU.fullmatch(capsys.readouterr().out.strip())
    assert int(match["mean"][:-1]) > 0
    assert int(match["max"][:-1]) >= int(match["mean"][:-1])
    assert memwatch.history[-1].single_max_cpu_percent == int(match["max"][:-1])
    ip.run_cell("%memwatch style")
    assert "style cpu; others: classic, short" in capsys.readouterr().out
    # Cells shorter than a tick of the kernel's clock have numbers too.
    for _ in range(20):
        ip.run_cell("x = 1", store_history=True)
        assert CPU.fullmatch(capsys.readouterr().out.strip())
    ip.run_line_magic("memwatch", "style classic")
    assert len(run_cell(ip, "pass", capsys)) == 1
    assert memwatch.history[-1].system_mean_cpu_percent is None


def test_cpu_style_without_libproc2_names_what_to_install(ip, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "memwatch._procps", None)
    monkeypatch.delattr(memwatch, "_procps", raising=False)
    ip.run_cell("%memwatch style cpu")
    captured = capsys.readouterr()
    message = (
        "cpu style: memwatch was built without libproc2: apt-get install libproc2-dev"
    )
    assert message in captured.out + captured.err
    assert len(run_cell(ip, "pass", capsys)) == 1


def test_cpu_style_that_fails_keeps_the_old_style(ip, capsys, caplog):
    _procps = pytest.importorskip("memwatch._procps", reason="built without libproc2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_procps, "cpu_reader", lambda: os.listdir("/proc/self/nothing"))
        for typed in ("%memwatch style cpu", "%config MemWatch.style = 'cpu'"):
            ip.run_cell(typed)
            captured = capsys.readouterr()
            shown = captured.out + captured.err + caplog.text
            assert "cpu style: " in shown
            assert "Traceback" not in shown
            ip.run_cell("%memwatch style")
            assert "style classic; others: cpu, short" in capsys.readouterr().out


def test_max_history_reports(shell, capsys):
    shell.config.MemWatch.max_history_reports = 2
    shell.run_line_magic("load_ext", "memwatch")
    for _ in range(4):
        run_cell(shell, "pass", capsys)
    assert len(memwatch.history) == 2
    shell.run_cell("%config MemWatch.max_history_reports = 10000")
    assert memwatch.history.max_reports == 10_000


@pytest.mark.parametrize(
    ("name", "value", "default", "reason"),
    [
        ("style", "fancy", "classic", r"expected any of .*'classic', 'cpu'.* 'fancy'"),
        ("max_history_reports", 0, 10_000, "should not be less than 1, but .* 0 "),
        ("min_used_mib", "x", None, "expected a float.*, not the str 'x'"),
        ("min_peak_mib", float("nan"), None, "expected 0 or more, got nan"),
        ("children", "no", False, "expected a boolean, not the str 'no'"),
        ("publish_hz", 0, 10.0, "should not be less than 0.01, but .* 0.0 "),
    ],
)
def test_invalid_configuration_is_one_warning_and_the_default(
    shell, capsys, name, value, default, reason
):
    warn._warned.discard(f"c.MemWatch.{name}")
    shell.config.MemWatch[name] = value
    shell.config.MemWatch.display = "line"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert len(run_cell(shell, "%load_ext memwatch", capsys)) == 1
            magics = shell.magics_manager.registry["MemWatch"]
            assert getattr(magics, name) == default
            assert magics.display == "line"
            run_cell(shell, "%unload_ext memwatch", capsys)
    (message,) = [str(each.message) for each in caught]
    assert f"invalid c.MemWatch.{name}; using the default {default!r}: " in message
    assert re.search(reason, message)


def test_invalid_config_magic_changes_nothing(ip, capsys):
    ip.run_cell("%config MemWatch.style = 'fancy'")
    ip.run_cell("%config MemWatch.display = 'line'")
    magics = ip.magics_manager.registry["MemWatch"]
    assert (magics.style, magics.display) == ("classic", "line")
    run_cell(ip, "%reload_ext memwatch", capsys)
    assert len(run_cell(ip, "pass", capsys)) == 1


def configure(ip, **traits):
    magics = ip.magics_manager.registry["MemWatch"]
    for name, value in traits.items():
        setattr(magics, name, value)


@pytest.mark.parametrize(
    ("traits", "code", "printed"),
    [
        ({}, "pass", True),
        ({"min_used_mib": 8}, "pass", False),
        ({"min_used_mib": 8}, "kept = pages(16)", True),
        ({"min_used_mib": 8}, "x = pages(16); del x", False),
        ({"min_peak_mib": 8}, "x = pages(16); del x", True),
        ({"min_peak_mib": 8}, "kept = pages(16)", False),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "kept = pages(16)", True),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "x = pages(16); del x", True),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "pass", False),
        ({"min_seconds": 3600}, "kept = pages(16)", False),
        ({"min_seconds": 0}, "pass", True),
        ({"min_seconds": 3600, "min_used_mib": 8}, "kept = pages(16)", True),
    ],
)
def test_cells_below_all_limits_have_no_line(ip, lines, traits, code, printed):
    if "min_peak_mib" in traits and not _core.accuracy()["hwm_resets"]:
        pytest.skip("the high-water mark cannot be reset here")
    configure(ip, **traits)
    before = len(memwatch.history)
    assert len(lines(code)) == printed
    assert len(memwatch.history) == before + 1


@pytest.mark.parametrize(
    "name", ["min_used_mib", "min_peak_mib", "min_seconds", "max_timelines_mib"]
)
@pytest.mark.parametrize("value", ["nan", "-1", "inf"])
def test_invalid_limits_are_refused(ip, name, value):
    message = f"MemWatch.{name}: expected 0 or more, got {float(value)}"
    with pytest.raises(TraitError, match=re.escape(message)):
        configure(ip, **{name: float(value)})


def test_max_timelines_mib(ip, lines):
    configure(ip, max_timelines_mib=0)
    lines("pass")
    assert memwatch.history[-1].timeline is None
    configure(ip, max_timelines_mib=40)
    lines("pass")
    assert memwatch.history[-1].timeline is not None
    assert memwatch.history.max_timelines_bytes == 40 * MIB
