"""The processors' shares: against psutil's, over the same two seconds."""

from __future__ import annotations

import time

import pytest

import memwatch
from memwatch import _core

psutil = pytest.importorskip("psutil")
_procps = pytest.importorskip("memwatch._procps", reason="built without libproc2")


@pytest.fixture
def processors():
    _core.set_cpu_reader(_procps.cpu_reader())
    yield
    _core.set_cpu_reader(None)


def busy():
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass


def idle():
    time.sleep(2)


def share(before, after):
    """Busy percent between two of psutil's readings, as psutil.cpu_percent has it."""
    # Guests are in user and nice already.
    spent = {
        name: getattr(after, name) - getattr(before, name)
        for name in after._fields
        if not name.startswith("guest")
    }
    waiting = spent["idle"] + spent.get("iowait", 0)
    total = sum(spent.values())
    return 100 * (total - waiting) / total


@pytest.mark.parametrize("cell", [busy, idle])
def test_agrees_with_psutil(processors, cell):
    """Whatever else the machine does, both look at the same ticks."""
    each_before = psutil.cpu_times(percpu=True)
    before = psutil.cpu_times()
    with memwatch.watch() as w:
        cell()
    after = psutil.cpu_times()
    each_after = psutil.cpu_times(percpu=True)

    mean = share(before, after)
    assert w.report.system_mean_cpu_percent == pytest.approx(mean, abs=5)
    # The busiest processor in its busiest tenth of a second was no less busy than the
    # busiest over all of the time.
    busiest = max(map(share, each_before, each_after))
    assert w.report.single_max_cpu_percent >= busiest - 5
    assert w.report.single_max_cpu_percent <= 100


def test_busiest_tenth_agrees_with_psutil(processors):
    """The same figure by psutil, which looks ten times a second, too."""
    tenths = []
    with memwatch.watch() as w:
        end = time.monotonic() + 2
        before = psutil.cpu_times(percpu=True)
        while time.monotonic() < end:
            tenth = time.monotonic() + 0.1
            while time.monotonic() < tenth:
                pass
            after = psutil.cpu_times(percpu=True)
            tenths.append(max(map(share, before, after)))
            before = after
    assert w.report.single_max_cpu_percent == pytest.approx(max(tenths), abs=5)
