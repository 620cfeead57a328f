"""What memwatch and its peers say of cells whose cost is known beforehand.

Each cell runs in a fresh Jupyter kernel under each tool. Per tool: how far the use and
the peak are off, and how many peaks were missed, reported under half of what they
were. Exits with 1 where memwatch misses a peak, but for those that its stated bound can
hide, is off by more than that bound, or is off in the use by more than 64 KiB and 1 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass

from benchmarks.accuracy.cells import KIB, MIB, Cell, all_cells
from benchmarks.helpers import peers
from benchmarks.helpers.kernels import CellError, kernel
from benchmarks.helpers.peers import MEMWATCH, TRUTH_TOOLS, Tool
from benchmarks.helpers.tables import NOT_TOLD, made_by, markdown

RESULTS = peers.ROOT / "build/truth"

FORKED = """
import contextlib, io, os
read_end, write_end = os.pipe()
child = os.fork()
if child == 0:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for code in {codes!r}:
                get_ipython().run_cell(code, store_history=True)
    finally:
        os.write(write_end, said.getvalue().encode())
        os._exit(0)
os.close(write_end)
with open(read_end) as file:
    said = file.read()
os.waitpid(child, 0)
print(said)
"""


@dataclass
class Answer:
    """What a tool said of a cell, in bytes; None: it does not tell."""

    used: float | None = None
    peaked: float | None = None
    bound: float | None = None
    method: str | None = None
    error: str | None = None
    """Why it said nothing."""

    def missed(self, cell: Cell) -> bool:
        """The cell had a peak, and less than half of it was told."""
        return cell.peaked > 0 and (self.peaked or 0) < cell.peaked / 2

    def off_use(self, cell: Cell) -> float | None:
        return None if self.used is None else self.used - cell.used

    def off_peak(self, cell: Cell) -> float | None:
        return None if self.peaked is None else self.peaked - cell.peaked


def ask(tool: Tool, cell: Cell) -> Answer:
    """Run `cell` in a fresh kernel under `tool`."""
    if tool.error:
        return Answer(error=tool.error)
    try:
        with kernel(tool.environment.python) as running:
            running.run(
                f"import os\nos.environ['TRUTH_FOLDER'] = {str(RESULTS.parent)!r}"
            )
            running.run("import pages")
            running.run(tool.load)
            running.run(cell.setup or "None")
            running.run("None")
            code = tool.cell(cell.code)
            if cell.forked:
                # Twice: a child has to map anew what it shared with its parent.
                codes = [code, code, tool.read]
                printed = running.run(FORKED.format(codes=codes))
            else:
                printed = running.run(code)
                if tool.read:
                    printed = running.run(tool.read)
        said = tool.read_back(printed)
    except (CellError, ValueError, TimeoutError, RuntimeError) as error:
        return Answer(error=str(error).strip().splitlines()[-1])
    if "rise" in said:
        rise = said.pop("rise")
        said["peaked"] = max(0.0, rise - max(0, cell.used))
        if cell.used < 0:
            said["peaked"] = max(0.0, rise - cell.used)
    return Answer(**said)


# ---- what is printed ----


def amount(size: float | None) -> str:
    """`size` bytes, in MiB with two decimals, or in KiB where that is little."""
    if size is None:
        return NOT_TOLD
    if abs(size) < 100 * KIB:
        return f"{size / KIB:.0f} KiB"
    return f"{size / MIB:.2f} MiB"


def off(said: float | None, truth: float) -> str:
    """How far `said` is from the truth, absolute and as a share of it."""
    if said is None:
        return NOT_TOLD
    error = amount(said - truth)
    if not truth or said == truth:
        return error
    share = (said - truth) / abs(truth)
    return f"{error} ({share:.1%})"


def shown(answer: Answer, cell: Cell) -> str:
    """The errors of use and peak."""
    if answer.error:
        return "failed"
    missed = "**missed** " if answer.missed(cell) else ""
    return f"{off(answer.used, cell.used)} / {missed}{off(answer.peaked, cell.peaked)}"


Results = list[tuple[Cell, dict[str, Answer]]]


def every_cell(results: Results) -> str:
    rows = [
        [
            f"{cell.kind}: {cell.name}",
            f"{amount(cell.used)} / {amount(cell.peaked)}",
            *(shown(answers[tool.name], cell) for tool in TRUTH_TOOLS),
        ]
        for cell, answers in results
    ]
    return markdown(["cell", "true use / peak", *names()], rows)


def names() -> list[str]:
    return [tool.name for tool in TRUTH_TOOLS]


def worst(errors: list[float | None]) -> str:
    known = [error for error in errors if error is not None]
    return amount(max(known, key=abs)) if known else NOT_TOLD


def median(errors: list[float | None]) -> str:
    known = [abs(error) for error in errors if error is not None]
    return amount(statistics.median(known)) if known else NOT_TOLD


def every_kind(results: Results) -> str:
    """Kind by kind: peaks missed, and the worst error of a peak."""
    rows = []
    for kind in dict.fromkeys(cell.kind for cell, _ in results):
        of_kind = [(cell, answers) for cell, answers in results if cell.kind == kind]
        peaks = sum(cell.peaked > 0 for cell, _ in of_kind)
        row = [kind]
        for name in names():
            said = [(cell, answers[name]) for cell, answers in of_kind]
            if all(answer.error for _, answer in said):
                row.append("failed")
                continue
            missed = sum(answer.missed(cell) for cell, answer in said)
            error = worst([answer.off_peak(cell) for cell, answer in said])
            row.append(f"{missed} of {peaks}, {error}" if peaks else error)
        rows.append(row)
    return markdown(["peaks missed, worst error of a peak", *names()], rows)


def in_all(results: Results) -> str:
    rows = []
    for tool in TRUTH_TOOLS:
        said = [(cell, answers[tool.name]) for cell, answers in results]
        name = f"{tool.name} {tool.version}".strip()
        if all(answer.error for _, answer in said):
            rows.append([name, f"failed: {said[0][1].error}", "", "", ""])
            continue
        uses = [answer.off_use(cell) for cell, answer in said]
        peaks = [answer.off_peak(cell) for cell, answer in said]
        hidden = [(cell, answer) for cell, answer in said if is_hidden(cell, results)]
        open_ = [(c, a) for c, a in said if c.peaked and not is_hidden(c, results)]
        rows.append(
            [
                name,
                f"{median(uses)}, {worst(uses)}",
                f"{median(peaks)}, {worst(peaks)}",
                f"{sum(a.missed(c) for c, a in open_)} of {len(open_)}",
                f"{sum(a.missed(c) for c, a in hidden)} of {len(hidden)}",
            ]
        )
    head = ["", "use: median error, worst", "peak: median error, worst", "peaks missed"]
    return markdown([*head, "of those that may hide"], rows)


def is_hidden(cell: Cell, results: Results) -> bool:
    """Whether its peak is there too briefly to be sampled, and smaller than the bound:
    the kernel's counters may hold all of it back.
    """
    bounds = [answers[MEMWATCH.name].bound or 0 for _, answers in results]
    return "at once" in cell.kind and 0 < cell.peaked <= max(bounds)


# ---- what has to hold ----


def broken(results: Results) -> list[str]:
    """Where memwatch does not keep what it promises."""
    found = []
    for cell, answers in results:
        answer = answers[MEMWATCH.name]
        name = f"{cell.kind}: {cell.name}"
        if answer.error:
            found.append(f"{name}: {answer.error}")
            continue
        off_use, off_peak = answer.off_use(cell), answer.off_peak(cell)
        if abs(off_use) > max(64 * KIB, abs(cell.used) / 100):
            found.append(f"{name}: the use is off by {amount(off_use)}")
        if answer.bound is None:
            found.append(f"{name}: no bound is stated ({answer.method})")
            continue
        if abs(off_peak) > answer.bound:
            found.append(f"{name}: the peak is off by {amount(off_peak)}")
        if answer.missed(cell) and not is_hidden(cell, results):
            found.append(f"{name}: the peak is missed")
    return found


def page(results: Results) -> str:
    """All of it, as Markdown."""
    bounds = {answers[MEMWATCH.name].bound for _, answers in results}
    remarks = [f"- {tool.name}: {tool.remark}" for tool in TRUTH_TOOLS if tool.remark]
    head = (
        f"{made_by('make truth')}; {len(results)} cells, each in a fresh kernel under"
        f" each tool; bound that memwatch states: {', '.join(map(amount, bounds))}."
    )
    return "\n\n".join(
        [
            head,
            "Error of the use / of the peak, cell by cell:",
            every_cell(results),
            "Kind by kind:",
            every_kind(results),
            "In all:",
            in_all(results),
            "\n".join(remarks),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="the cells whose kind has this in it"
    )
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    peers.install(TRUTH_TOOLS)
    results: Results = []
    for cell in all_cells():
        if arguments.only not in cell.kind:
            continue
        answers = {tool.name: ask(tool, cell) for tool in TRUTH_TOOLS}
        results.append((cell, answers))
        print(f"{cell.kind}: {cell.name}", flush=True)
        for name, answer in answers.items():
            print(f"    {name:22} {answer.error or shown(answer, cell)}", flush=True)
    data = [
        {"cell": vars(cell), "said": {name: vars(a) for name, a in answers.items()}}
        for cell, answers in results
    ]
    RESULTS.with_suffix(".json").write_text(json.dumps(data, indent=1))
    text = page(results)
    RESULTS.with_suffix(".md").write_text(text + "\n")
    print(f"\n{text}\n")
    failures = broken(results)
    print(*(f"not kept: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
