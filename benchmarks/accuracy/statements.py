"""What memwatch says of the cells of known cost as statements, and its peers of lines.

First each cell of benchmarks/accuracy/cells.py as one statement under %%memwatch lines,
in a process of its own. Then one function under memwatch, memory_profiler, memray and
Scalene: how far the peak of a line is off that frees what it takes, and how much longer
the function runs.

    python -m benchmarks.accuracy.statements
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.accuracy.cells import KIB, MIB, Cell, all_cells
from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.peers import ROOT, Environment, wheel
from benchmarks.helpers.tables import markdown

ROUNDS = 3
TOOLS = Environment(
    "line-tools",
    ("memory_profiler>=0.61", "memray>=1.11", "scalene>=1.5", "ipython>=8"),
)
IN_KERNEL = ROOT / "benchmarks/in_kernel"

# ---- the cells as statements ----

_STATEMENT = """
import json, sys
sys.path.insert(0, {folder!r})
import os
os.environ["TRUTH_FOLDER"] = {results!r}
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
config = Config({{"HistoryManager": {{"enabled": False}}}})
ip = InteractiveShell.instance(config=config)
import memwatch, pages
ip.user_ns["pages"] = pages
memwatch.load_ipython_extension(ip)
ip.run_cell({setup!r})
from memwatch.ipython.cell_body import CellBody
found = []
CellBody(ip, {code!r}, lines=True).run_lines("", found.append)
print(json.dumps(found[0].to_dicts()))
"""


def as_statement(cell: Cell) -> tuple[str, str]:
    """Setup and one statement that does what the cell does."""
    if "\n" not in cell.code:
        return cell.setup or "None", cell.code
    body = cell.code.replace("\n", "\n    ")
    whole = f"{cell.setup or 'None'}\ndef whole():\n    global kept\n    {body}"
    return whole, "whole()"


def run_statement(cell: Cell) -> dict[str, int]:
    """The row of the cell's statement."""
    setup, code = as_statement(cell)
    program = _STATEMENT.format(
        folder=str(IN_KERNEL), results=str(ROOT / "build"), setup=setup, code=code
    )
    done = subprocess.run(
        [TOOLS.python, "-c", program],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT / "build",
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{cell.name}: {done.stderr}")
    (row,) = json.loads(done.stdout.splitlines()[-1])
    return row


def check_cells() -> None:
    """Every cell; a peak is missed if less than half of it is told."""
    missed = beyond = off_use = count = 0
    for cell in all_cells():
        if cell.forked:
            continue
        count += 1
        row = run_statement(cell)
        bound = row["peak_error_bytes"] or 0
        short = cell.peaked - row["peaked_bytes"]
        hidden = short <= bound
        missed += cell.peaked > 0 and not hidden and short > cell.peaked / 2
        beyond += abs(short) > bound + 64 * KIB + cell.peaked // 100
        off_use += abs(row["used_bytes"] - cell.used) > 64 * KIB + abs(cell.used) // 100
    print(f"{count} cells of known cost, each as one statement")
    limit("peaks that are missed", missed, 0, "of them")
    limit("peaks off by more than the stated bound, 64 KiB and 1 %", beyond, 0, "")
    limit("uses off by more than 64 KiB and 1 %", off_use, 0, "")


# ---- one function under each tool ----

_SUBJECT = """
def subject():
    kept = b"x" * (64 * 2**20)
    gone = len(b"x" * (256 * 2**20))
    total = 0
    for i in range({count}):
        text = str(i)
        total += len(text)
    return total
"""
_GONE = 4  # the line of `gone` in the file
COUNT = 3_000

_RUN = {
    "no tool": "import time\nt = time.perf_counter()\nsubject()\n"
    "print(json.dumps([time.perf_counter() - t, None]))",
    "memwatch": "import time, memwatch\nf = memwatch.lines(subject)\n"
    "t = time.perf_counter()\nf()\nt = time.perf_counter() - t\n"
    "rows = {each.line: each for each in f.lines}\n"
    "print(json.dumps([t, rows[LINE].peaked_bytes]))",
    "memory_profiler": "import time\nfrom memory_profiler import LineProfiler\n"
    "p = LineProfiler()\nf = p(subject)\nt = time.perf_counter()\nf()\n"
    "t = time.perf_counter() - t\n"
    "rows = {n: m for _, lines in p.code_map.items() for n, m in lines if m}\n"
    "print(json.dumps([t, max(0, rows[LINE][0]) * 2**20]))",
    "memray": "import time, memray, os, tempfile\n"
    "name = os.path.join(tempfile.mkdtemp(), 'm')\n"
    "with memray.Tracker(name):\n    t = time.perf_counter()\n    subject()\n"
    "    t = time.perf_counter() - t\n"
    "size = sum(r.size for r in"
    " memray.FileReader(name).get_high_watermark_allocation_records()"
    " if any(n == LINE for _, file, n in r.stack_trace() if 'subject' in file))\n"
    "print(json.dumps([t, size]))",
}


def run_tool(name: str, folder: Path) -> tuple[float, float | None]:
    """Seconds, and the peak of the line in bytes."""
    subject = folder / "subject.py"
    subject.write_text(_SUBJECT.format(count=COUNT))
    env = os.environ | {"PYTHONPATH": str(folder)}
    if name == "scalene":
        return run_scalene(folder, env)
    program = f"import json\nfrom subject import subject\nLINE = {_GONE}\n{_RUN[name]}"
    done = subprocess.run(
        [TOOLS.python, "-c", program],
        capture_output=True, text=True, timeout=300, check=False, env=env,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr}")
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def run_scalene(folder: Path, env: dict[str, str]) -> tuple[float, float | None]:
    """As run_tool(); Scalene runs a script and writes a profile."""
    script = folder / "script.py"
    script.write_text(
        _SUBJECT.format(count=COUNT)
        + "import time\nt = time.perf_counter()\nsubject()\n"
        "open('seconds', 'w').write(str(time.perf_counter() - t))\n"
    )
    profile = folder / "profile.json"
    for command in (
        ["run", "-o", str(profile), str(script)],
        ["--cli", "--json", "--outfile", str(profile), str(script)],
    ):
        done = subprocess.run(
            [TOOLS.python, "-m", "scalene", *command],
            capture_output=True, text=True, timeout=300, check=False, env=env,
            cwd=folder,
        )  # fmt: skip
        if profile.exists():
            break
    else:
        raise SystemExit(f"scalene: {done.stdout} {done.stderr}")
    found = json.loads(profile.read_text())
    rows = [
        row
        for name, file in found.get("files", {}).items()
        if name.endswith("script.py")
        for row in file["lines"]
        if row["lineno"] == _GONE
    ]
    peak = max((row["n_peak_mb"] * MIB for row in rows), default=0.0)
    return float((folder / "seconds").read_text()), peak


def check_tools() -> None:
    """Each tool in turn, ROUNDS times."""
    names = [*_RUN, "scalene"]
    found: dict[str, list[tuple[float, float | None]]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(run_tool(name, Path(folder)))
    base = statistics.median(seconds for seconds, _ in found["no tool"])
    rows = []
    for name in names:
        seconds = statistics.median(each[0] for each in found[name])
        peaks = [each[1] for each in found[name] if each[1] is not None]
        off = "" if not peaks else f"{(statistics.median(peaks) / MIB) - 256:+.2f} MiB"
        rows.append([name, off, f"{seconds / base:.2f} x"])
        if name == "memwatch":
            off_bytes = abs(statistics.median(peaks) - 256 * MIB)
            limit("memwatch's peak of a line of 256 MiB", off_bytes / MIB, 1, "MiB off")
            lines = 2 * COUNT + COUNT + 6
            limit("cost", 1e6 * (seconds - base) / lines, 12, "us a line")
    print(markdown(["tool", "peak of 256 MiB within a line", "run time"], rows))


def main() -> int:
    """See the module."""
    TOOLS.make()
    error = TOOLS.install("--force-reinstall", "--no-deps", wheel())
    if error:
        raise SystemExit(error)
    if "--tools" not in sys.argv:
        check_cells()
    check_tools()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
