"""Each command of docs/tasks.md, typed into a real kernel or a real shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from command import write
from support import ROOT, Kernel

TEXT = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|`]+(?:`[^`]+`[^|`]*)*) \| `([^`]+)` \|$", re.M)

LINE = r"^In \[\d+\] used -?\d+\.\d{4} MiB RAM in "

IN_A_KERNEL = {
    "%load_ext memwatch": LINE,
    "%memwatch top": r"Kept the most, .*\n.*\n +6\d\.\d+ .* In \[\d+\] large = ",
    "%memwatch last": r"^peaked +0\.\d{4} MiB  its highest RSS",
    "%memwatch history": r"In \[\d+\] large = bytearray",
    "%memwatch plot": r"Axes|cells, RSS in MiB",
    "%memwatch status": r"^this process: \d.*\n^limit: ",
    "%memwatch rows = list(range(10**6))": LINE,
    "%memwatch -r 5 list(range(10**6))": r"^5 runs\nused .* MiB  \(.* to .*\)$",
    "%%memwatch": LINE,
    "%memwatch vars": r"^alone MiB shared MiB cell  name\n +6\d\.\d+ .* large ",
    "%memwatch why": r"^ +6\d\.\d+  large: bytearray of .*\n +to free it: del large$",
    "%%memwatch lines": r"^line +runs +kept MiB[\s\S]*\n +2 +1 .* 1 \+ 1;$",
    "%%memwatch --leak": r"^no leak above 4 KiB a run can be shown in 20 runs$",
    "%%memwatch_compare": r"^no difference can be shown between what two and one keep",
    "%memwatch trim": r"^\d+\.\d+ MiB returned to the system, RSS \d",
    "%%memwatch_quiet": r"^$",
    "%memwatch off": r"^not watching; to watch again: %memwatch on$",
    "%memwatch on": r"^watching every cell$",
    "%config MemWatch.min_used_mib = 10": r"^$",
    "%memwatch style short": r"^$",
    "%config MemWatch.children = True": r"^$",
    "memwatch.history[-1].children_pss_peak_mib": r"^(?!0\.0$)\d+\.\d+$",
    "%memwatch save session.csv": r"^\d+ reports in session\.csv$",
    "%memwatch save session.json": r"^\d+ reports in session\.json$",
    "%memwatch report session.html": r"^\d+ reports in session\.html$",
    "%memwatch postmortem": r"^ended +ended without .*\n^cell +In \[2\] line 1, ",
    "%memwatch publish on": r"^published: .*ipc://",
    "%memwatch help": r"%memwatch top \[N\] +Show which cells",
    "%config MemWatch": r"MemWatch\(Configuration.*\n[\s\S]*MemWatch\.children=<Bool>",
    "%memwatch --version": r"^memwatch \d+\.\d+\.\d+$",
    "memwatch.history": r"memwatch\.history: \d+ reports",
    "memwatch.history.cell(3)": r"In \[3\] large = bytearray",
    "memwatch.history.cell(3).used_mib": r"^6\d\.\d+$",
    "memwatch.history.to_frame()": r"used_mib +peaked_mib",
    'memwatch.history.to_frame().sort_values("used_mib")': r"^In \[3\] .*large = ",
    'memwatch.history.to_frame()["risen_mib"].max()': r"\b6\d\.\d+",
    'memwatch.history.plot().figure.savefig("session.png")': r"^$",
    'with memwatch.watch("load"): table = load()': r"^$",
    'load = memwatch.watch("load")(load)': r"^$",
    "memwatch.variables().to_dicts()": r"'name': 'large'",
    "load = memwatch.lines(load)": r"^$",
    "memwatch.history.clear()": r"^$",
}
"""What each prints, without its own line in most cases."""

IN_A_SHELL = {
    "memwatch run analysis.ipynb": r"^analysis.ipynb: ok: 2 cells .*, peak \d+",
    "memwatch run analysis.ipynb executed.ipynb": r"^wrote executed\.ipynb$",
    "memwatch run analysis.ipynb --html report.html": r"^wrote report\.html$",
    "memwatch run analysis.ipynb --max-peak 2GiB": r"^analysis\.ipynb: ok: ",
    "memwatch run analysis.ipynb --baseline earlier.json": r"^analysis\.ipynb: ok: ",
    "memwatch run analysis.ipynb --children": r"^analysis\.ipynb: ok: ",
    "memwatch run analysis.ipynb -p rows 1000": r"^analysis\.ipynb: ok: ",
    "memwatch run reports/ --jobs 2": r"^reports/.\.ipynb: ok: .*\nreports/.\.ip",
    "python -m memwatch script.py": r"^script\.py used -?\d+\.\d{4} MiB RAM in ",
    "memwatch exec -- sort script.py": r"^  peak +\d+\.\d\d MiB",
    "memwatch compare script.py other.py": r"^no difference can be shown between",
    "memwatch compare --leak script.py": r"^script\.py: no leak above 4 KiB a run",
    "memwatch top --once": r"^NOTEBOOK +",
    "memwatch postmortem": r"^ended +ended without a clean exit.*\n^cell +",
    "memwatch doctor": r"^peak +the (kernel's high-water mark|highest sample)",
}


def commands(*titles):
    for title in titles:
        _, _, after = TEXT.partition(f"\n## {title}\n")
        yield from (typed for _, typed in ROW.findall(after.partition("\n## ")[0]))


def test_each_task_is_run():
    assert len(ROW.findall(TEXT)) >= 30
    assert len(ROW.findall(TEXT)) == len(re.findall(r"^\| (?!You want)", TEXT, re.M))
    assert [*commands("In IPython and Jupyter", "In Python")] == [*IN_A_KERNEL]
    assert [*commands("In a terminal")] == [*IN_A_SHELL]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with notebooks and a script; a living kernel and a killed one."""
    folder = tmp_path_factory.mktemp("tasks")
    write(folder, "analysis.ipynb", "rows = 10", "held = list(range(rows))")
    (folder / "reports").mkdir()
    for name in "ab":
        write(folder / "reports", f"{name}.ipynb", "1 + 1")
    for name in ("script.py", "other.py"):
        (folder / name).write_text("x = list(range(1000))\n")
    living, killed = Kernel(), Kernel()
    living.run("%load_ext memwatch")
    killed.run("%load_ext memwatch")
    killed.send("import os; os.kill(os.getpid(), 9)")
    killed.manager.provisioner.process.wait(60)
    killed.close()
    yield folder
    living.close()


def test_in_a_kernel(place):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    kernel = Kernel()
    try:
        kernel.run(
            "import os, subprocess, memwatch\n"
            "def load(): return list(range(1000))\n"
            f"os.chdir({str(place)!r})"
        )
        for typed, expected in IN_A_KERNEL.items():
            if typed == "%memwatch top":
                kernel.run("large = bytearray(64 << 20)")  # In [3]
            if typed == "memwatch.history[-1].children_pss_peak_mib":
                kernel.run("child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)")
            code = f"{typed}\n1 + 1;" if typed.startswith("%%") else typed
            if typed == "%%memwatch_compare":
                code = f"{typed}\n# %% one\nx = [1]\n# %% two\nx = (1,)"
            told = kernel.run(code)
            assert re.search(expected, told.strip(), re.M), f"{typed}\n{told}"
        kernel.run("child.communicate()")
    finally:
        kernel.close()


@pytest.mark.parametrize("typed", IN_A_SHELL)
def test_in_a_shell(place, typed):
    if "baseline" in typed:
        run(place, "memwatch run analysis.ipynb --json earlier.json")
    told = run(place, typed)
    assert re.search(IN_A_SHELL[typed], told, re.M), told


def run(folder, typed):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", typed],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
