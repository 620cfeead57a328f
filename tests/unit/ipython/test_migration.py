"""MIGRATION.md: the code in each row gives the figure that the row promises.

The code runs unchanged, except that its statement is replaced by one of known cost.
"""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import memwatch
from memwatch import _core
from support import CPU, MIB, ROOT, lines_in, pages

TEXT = (ROOT / "MIGRATION.md").read_text()
KNOWN = 32
"""MiB that the replaced statement allocates."""
ROUNDING = 0.05


def rows():
    """Of each row: the tool, what was typed in it, and the cells to type here."""
    for section in TEXT.split("\n## ")[1:]:
        tool = section.partition("\n")[0]
        for line in section.splitlines():
            if line.startswith("| ") and not line.startswith("| Other tool"):
                there, here = line.strip("| ").split(" | ")
                cells = [
                    "\n".join(re.findall(r"`([^`]+)`", each))
                    for each in re.split(r"; in the (?:next cell|one after it) ", here)
                ]
                yield tool, there, cells


ROWS = list(rows())


class Person:
    """A shell with its output, results and reports."""

    def __init__(self, shell, capsys):
        self._shell, self._capsys = shell, capsys
        self.names = shell.user_ns
        self.names["kept"] = []

    def type(self, code, statement=None):
        """Run the cell, which must succeed: its result, output and reports."""
        if statement is not None:
            code, count = re.subn(
                r"sum\(range\(1000\)\)|list\(range\(1000\)\)", statement, code
            )
            assert count == 1
        self._capsys.readouterr()
        before = len(memwatch.history)
        result = self._shell.run_cell(code, store_history=True)
        captured = self._capsys.readouterr()
        assert result.success, captured.out + captured.err
        assert "UsageError" not in captured.out + captured.err
        new = memwatch.history[before:]
        return SimpleNamespace(
            result=result.result,
            out=captured.out,
            reports=new,
            report=new[-1] if new else None,
        )

    def is_watched(self):
        """Whether a cell of known cost gets a line and a report, with that cost."""
        done = self.type(f"kept.append(pages({KNOWN}))")
        lines = lines_in(done.out)
        assert (len(lines) == 1) == (len(done.reports) == 1)
        if not lines:
            return False
        assert is_known(lines[0].used)
        assert is_known(done.report.used_bytes / MIB)
        return True


@pytest.fixture
def person(shell, capsys):
    found = Person(shell, capsys)
    pages(1).close()  # load its code
    return found


@pytest.fixture
def watched(person):
    """A session that has loaded and imported memwatch."""
    person.type("%load_ext memwatch\nimport memwatch")
    return person


def is_known(mib):
    return mib == pytest.approx(KNOWN, abs=1)


PEAK = f"pages({KNOWN}).close()"
KEEP = f"kept.append(pages({KNOWN}))"


def cells_of(tool, there):
    (cells,) = (row[2] for row in ROWS if row[:2] == (tool, there))
    return cells


def code_of(tool, there):
    (code,) = cells_of(tool, there)
    return code


# ---- one check for each row ----


def loads(person, tool, there):
    done = person.type(code_of(tool, there))
    (line,) = lines_in(done.out)  # of the loading cell
    assert line.total == pytest.approx(done.report.rss_end_bytes / MIB, abs=ROUNDING)
    assert person.is_watched()


def stops(person, tool, there):
    person.type("%load_ext memwatch")
    assert person.is_watched()
    person.type(code_of(tool, there))
    assert not person.is_watched()


def resumes(person, tool, there):
    person.type("%load_ext memwatch")
    person.type("%memwatch off")
    assert not person.is_watched()
    person.type(code_of(tool, there))
    assert person.is_watched()


def has_cpu_usage(person, tool, there):
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    person.type("%load_ext memwatch")
    person.type(code_of(tool, there))
    done = person.type(KEEP)
    line = CPU.fullmatch(done.out.strip())
    assert is_known(float(line["used"]))
    assert int(line["mean"][:-1]) == (done.report.system_mean_cpu_percent or 0)
    assert int(line["max"][:-1]) == (done.report.single_max_cpu_percent or 0)
    assert float(line["total"]) == pytest.approx(
        done.report.rss_end_bytes / MIB, abs=2 * ROUNDING
    )


def has_all_figures(person, tool, there):
    person.type("%load_ext memwatch")
    person.type(KEEP)
    found = person.type(code_of(tool, there)).result
    assert [each["label"] for each in found] == ["In [1]", "In [2]"]
    assert is_known(found[1]["used_bytes"] / MIB)


def newest_report(watched, tool, there):
    watched.type(KEEP)
    found = watched.type(code_of(tool, there)).result
    assert (found.label, is_known(found.used_bytes / MIB)) == ("In [2]", True)


def figure(name, unit):
    """A check that the row's value is the last cell's `name`, in `unit`."""

    def check(watched, tool, there):
        done = watched.type(f"{KEEP}; {PEAK}")
        found = watched.type(code_of(tool, there)).result
        assert found == pytest.approx(getattr(done.report, name) / unit)
        if name in ("used_bytes", "peaked_bytes"):
            assert is_known(found)
        if name == "rss_peak_bytes":
            assert is_known(found - done.report.rss_end_bytes / MIB)

    return check


def four_figures(watched, tool, there):
    report = watched.type(f"{KEEP}; {PEAK}").report
    watched.type(code_of(tool, there))
    names = watched.names
    assert is_known(names["delta"] / MIB)
    assert is_known(names["peak"] / MIB)
    assert (names["usage"], names["seconds"]) == (
        report.rss_end_bytes, report.duration_ns
    )  # fmt: skip


def statement(watched, tool, there):
    done = watched.type(code_of(tool, there), PEAK)
    (line,) = lines_in(done.out)
    assert is_known(line.peaked)
    # The increment, as the text below the table defines it.
    assert "is `rss_peak_bytes - rss_start_bytes`" in TEXT
    assert is_known((done.report.rss_peak_bytes - done.report.rss_start_bytes) / MIB)


def cell(watched, tool, there):
    done = watched.type(code_of(tool, there), f"pages({KNOWN})")
    (line,) = lines_in(done.out)
    assert is_known(line.used)
    assert is_known(len(watched.names["x"]) / MIB)


def repeated(watched, tool, there):
    done = watched.type(code_of(tool, there), PEAK)
    assert done.out.startswith("5 runs\n")
    peaked = re.search(
        r"^peaked +([\d.]+) MiB  \(([\d.]+) MiB to ([\d.]+) MiB\)", done.out, re.M
    )
    assert all(is_known(float(each)) for each in peaked.groups())
    assert len(done.reports) == 6  # five runs and the cell


def quietly(watched, tool, there):
    done = watched.type(code_of(tool, there), PEAK)
    assert done.out == ""
    assert is_known(done.report.peaked_bytes / MIB)


CHILD = (
    "import mmap, sys\n"
    f"held = mmap.mmap(-1, {KNOWN * MIB}, flags=mmap.MAP_PRIVATE)\n"
    "held[::mmap.PAGESIZE] = b'x' * (len(held) // mmap.PAGESIZE)\n"
    "print(flush=True)\n"
    "sys.stdin.read()\n"
)


def with_children(watched, tool, there):
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    children = []

    def start_child():
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        children.append(child)
        assert child.stdout.readline() == b"\n"

    watched.names["start_child"] = start_child
    set_up, measured, read = cells_of(tool, there)
    watched.type(set_up)
    try:
        report = watched.type(measured, "start_child()").report
        found = watched.type(read).result
        status = Path(f"/proc/{children[0].pid}/status").read_text()
    finally:
        for child in children:
            child.communicate()
    child = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    assert child > KNOWN * MIB
    # Up to the error of the kernel's counters.
    assert found - report.rss_peak_bytes / MIB == pytest.approx(child / MIB, abs=2)
    # Without a child: this process only.
    watched.type(measured)
    found = watched.type(read).result
    assert found == pytest.approx(memwatch.history[-2].rss_peak_bytes / MIB)


def over_time(watched, tool, there):
    found = watched.type(code_of(tool, there), KEEP).result
    assert len(found["t_ns"]) == len(found["rss_bytes"])
    assert is_known((found["rss_bytes"][-1] - found["rss_bytes"][0]) / MIB)


def highest(watched, tool, there):
    found = watched.type(code_of(tool, there), PEAK).result
    report = watched.names["w"].report
    assert is_known(found - report.rss_end_bytes / MIB)


def now(watched, tool, there):
    out = watched.type(code_of(tool, there)).out
    shown = float(re.search(r"^this process: ([\d.]+) MiB now", out, re.M)[1])
    assert shown == pytest.approx(_core.memory()["rss_bytes"] / MIB, abs=1)


IMU = "ipython_memory_usage"
WATCHER = "ipython_memwatcher"
MEMIT = "memory_profiler"

CHECKS = {
    IMU: [
        loads, loads, stops, stops, resumes, has_cpu_usage, has_all_figures,
    ],
    WATCHER: [
        loads, newest_report, figure("used_bytes", MIB), figure("duration_ns", 1e9),
        figure("peaked_bytes", MIB), figure("rss_end_bytes", MIB), four_figures, stops,
    ],
    MEMIT: [
        loads, statement, cell, repeated, quietly, with_children,
        figure("rss_peak_bytes", MIB), over_time, highest, now,
    ],
}  # fmt: skip
"""In the order of the rows."""


def test_every_row_has_a_check():
    tools = [tool for tool, _, _ in ROWS]
    assert {tool: tools.count(tool) for tool in CHECKS} == {
        tool: len(checks) for tool, checks in CHECKS.items()
    }
    assert len(tools) == sum(map(len, CHECKS.values()))


PARAMETERS = [
    pytest.param(tool, there, check, id=f"{tool}: {there}")
    for name in CHECKS
    for (tool, there, _), check in zip(
        [row for row in ROWS if row[0] == name], CHECKS[name], strict=False
    )
]


@pytest.mark.parametrize(("tool", "there", "check"), PARAMETERS)
def test_row_gives_the_figure(request, tool, there, check):
    wanted = next(iter(check.__code__.co_varnames))
    check(request.getfixturevalue(wanted), tool, there)


@pytest.mark.parametrize(
    "code", [cell for _, _, cells in ROWS for cell in cells], ids=str
)
def test_code_of_the_row_runs_unchanged(watched, code):
    if "style cpu" in code or "children" in code:
        pytest.importorskip("memwatch._procps", reason="built without libproc2")
    if "children_rss" in code:
        watched.type("%config MemWatch.children = True")
        watched.type("x = 1")
    watched.type(code)


def test_the_four_measurements_agree_with_the_line(watched):
    """Of ipython_memwatcher, by the code in the table."""
    line = watched.type("kept.append(pages(16))").out
    codes = [cells[0] for tool, _, cells in ROWS if tool == WATCHER]
    delta, seconds, peak, usage = (
        eval(code, {"memwatch": memwatch})
        for code in codes
        if re.fullmatch(r"memwatch\.history\[-1\]\.\w+ / \S+", code)
    )
    assert line == (
        f"In [2] used {delta:.4f} MiB RAM in {seconds:.2f}s,"
        f" peaked {peak:.2f} MiB above current, total RAM usage {usage:.2f} MiB\n"
    )
