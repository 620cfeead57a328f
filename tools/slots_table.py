"""What objects of two attributes take, with and without slots, on each Python here.

Each program runs 5 times in a fresh process of each CPython from 3.10 on that pyenv
has, or of this one if there is no pyenv, and of PyPy. Its kept memory is compared with
what the interpreter has allocated for one object. Exits with 1 if the two differ by
more than 3 %.

    python tools/slots_table.py [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace

from slots_programs import (
    ARRAY,
    ASK,
    COUNT,
    FILE_PAGES,
    FILL_NURSERY,
    NO_SLOTS,
    OTHERS,
    ROOT,
    SLOTS,
    Program,
)
from slots_text import ENDING, EXPLAINED, SOURCES, WHY

from memwatch.compare import statistics, trials, variants
from memwatch.files import write_whole

CELL_ID = "slots-13"

PART = re.compile(r"(?<=<!-- slots table -->\n).*(?=<!-- end of slots table -->)", re.S)
OBJECTS = 1024 * 256
RUNS = 5
MIB = 2**20
MOST = 0.03
"""The deviation that needs an explanation."""

SESSION = (9.30, 22.67)
"""MiB in the session that the slots example comes from."""


@dataclass(frozen=True)
class Interpreter:
    path: str
    name: str
    numpy: str | None
    version: list[int]


def asked(path: str) -> Interpreter | None:
    """What a Python says of itself; None if it is none."""
    try:
        done = subprocess.run([path, "-c", ASK], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Interpreter(path, *json.loads(done.stdout))


def cpythons() -> list[Interpreter]:
    """Each CPython from 3.10 on that pyenv has; without pyenv this one."""
    if shutil.which("pyenv") is None:
        paths = [sys.executable]
    else:
        listed = pyenv("versions", "--bare", "--skip-aliases").split()
        paths = [f"{pyenv('prefix', each).strip()}/bin/python" for each in listed]
    found = [each for each in map(asked, paths) if each is not None]
    usable = [
        each
        for each in found
        if each.name.startswith("CPython") and each.version >= [3, 10]
    ]
    return sorted(usable, key=lambda each: each.version)


def pyenv(*arguments: str) -> str:
    command = ["pyenv", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Figures:
    """Of one program in one interpreter; bytes per object, unless named else."""

    interpreter: str
    program: str
    kept_bytes: float
    """Of the whole program: the median of the runs."""
    spread: float
    """Between its least and its most, as a share."""
    seen: float | None
    """By sys.getsizeof(), and 8 bytes of the list; None: PyPy has none."""
    held: float
    """In blocks of the allocator or arenas of the collector, and 8 bytes."""
    own: float
    """What the interpreter itself took meanwhile; see own_bytes()."""

    @property
    def measured(self) -> float:
        return self.kept_bytes / OBJECTS

    @property
    def rest(self) -> float:
        """What is not explained, as a share."""
        return self.measured / (self.held + self.own) - 1


def measure(program: Program, interpreter: Interpreter) -> Figures:
    print(f"{interpreter.name}: {program.name}", file=sys.stderr, flush=True)
    if program.path is not None:
        variant = variants.script_or_notebook(program.path)
    else:
        variant = variants.code(program.text)
    [variant] = variants.with_interpreters([variant], [interpreter.path])
    kept = [trials.run(variant, setup=program.setup).kept_bytes for _ in range(RUNS)]
    middle = statistics.median(kept).value
    count = subprocess.run(
        [interpreter.path, "-c", COUNT],
        input=json.dumps([program.setup, program.text]),
        capture_output=True,
        text=True,
        check=True,
    )
    seen, held = json.loads(count.stdout)
    own = own_bytes(variant, program, middle)
    spread = (max(kept) - min(kept)) / middle
    return Figures(
        interpreter.name, program.name, middle, spread, seen, held, own / OBJECTS
    )


def own_bytes(variant: variants.Variant, program: Program, kept: float) -> float:
    """What the interpreter itself took while the program ran.

    It is the pages of files that became resident, such as those of its code, and on
    PyPy what less is kept where the nursery was filled before.
    """
    is_pypy = "pypy" in str(variant.interpreter)
    setup = program.setup + (FILL_NURSERY if is_pypy else "")
    filled = trials.run(variant, setup=setup).kept_bytes if is_pypy else kept
    counting = replace(
        variants.code(f"{program.text}\n_pages_of_files() - _before"),
        interpreter=variant.interpreter,
    )
    trial = trials.run(counting, setup=setup + FILE_PAGES, with_result=True)
    return kept - filled + int(trial.result or 0) * os.sysconf("SC_PAGESIZE")


# ---- what is printed ----


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mib(size: float) -> str:
    return f"{size / MIB:.2f} MiB"


def saving(less: float, more: float) -> str:
    return f"{abs(round(100 * (1 - less / more)))} %"


def deviation(share: float) -> str:
    return f"{share:+.1%}".replace("%", " %")


def row_of_pair(name: str, less: float, more: float) -> list[str]:
    per_object = [f"{each / OBJECTS:.1f}" for each in (less, more)]
    return [name, mib(less), mib(more), *per_object, saving(less, more)]


def pairs(found: list[tuple[Figures, Figures]]) -> str:
    rows = [
        row_of_pair(less.interpreter, less.kept_bytes, more.kept_bytes)
        for less, more in found
    ]
    session = [each * MIB for each in SESSION]
    rows.append(row_of_pair("the session in the text", *session))
    rows.append(["the text's claim", "", "", "", "", "40 to 50 %"])
    head = ["", "slots.py", "noslots.py", "bytes per object", "without", "saving"]
    return table(head, rows)


def others(found: list[Figures]) -> str:
    most = max(each.kept_bytes for each in found)
    rows = [
        [
            each.program,
            mib(each.kept_bytes),
            f"{each.measured:.1f}",
            f"{each.kept_bytes / most:.2f}",
        ]
        for each in sorted(found, key=lambda each: each.kept_bytes)
    ]
    return table(["", "kept", "bytes per object", "of the most"], rows)


def truth(found: list[Figures]) -> str:
    rows = [
        [
            each.program
            if each.program.startswith(ARRAY.name)
            else f"{each.interpreter}, {each.program}",
            f"{each.measured:.1f}",
            "n/a" if each.seen is None else f"{each.seen:.0f}",
            "n/a" if each.seen is None else deviation(each.measured / each.seen - 1),
            f"{each.held:.1f}",
            f"{each.own:.1f}",
            deviation(each.rest),
        ]
        for each in found
    ]
    head = ["bytes per object", "measured", "`getsizeof` + 8", "deviation"]
    return table([*head, "allocated + 8", "its own", "deviation"], rows)


def filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 92, break_on_hyphens=False)


def verdict(found: list[tuple[Figures, Figures]]) -> str:
    """The claim of the text beside what was measured."""
    shares = [
        (less.interpreter, 1 - less.kept_bytes / more.kept_bytes)
        for less, more in found
        if less.interpreter.startswith("CPython")
    ]
    said = [
        f"{name} saves {'as much' if share < 0.505 else 'more'}"
        if share >= 0.395
        else f"{name} saves less"
        for name, share in shares
    ]
    return f"Beside the claim of 40 to 50 %: {', '.join(said)}."


def of_pypy(found: list[tuple[Figures, Figures]]) -> str:
    for less, more in found:
        if less.interpreter.startswith("PyPy"):
            apart = abs(less.kept_bytes - more.kept_bytes) / more.kept_bytes
            holds = "holds" if apart < 0.01 else "does not hold"
            return (
                f"With and without slots PyPy differs by {100 * apart:.1f} %: the"
                f" text's sentence that it has this optimisation built in {holds}."
            )
    return "No pypy3 here: PyPy is left out."


def page(pairs_found: list[tuple[Figures, Figures]], rest: list[Figures]) -> str:
    every = [each for pair in pairs_found for each in pair]
    spread = max(each.spread for each in every + rest)
    release = platform.release().split("-")[0]
    machine = f"Linux {release}, {platform.machine()}"
    head = (
        f"`make slots-table`, {time.strftime('%Y-%m-%d')}, {machine}: kept memory of"
        f" {OBJECTS:,} objects of two attributes; medians of {RUNS} runs that differ by"
        f" {100 * spread:.1f} % at most. All objects share the value 1, as in the"
        " original programs: values of their own would come on top, with slots and"
        " without."
    )
    session = (
        "The session's 9.30 MiB are less than such objects and their list take on any"
        " Python here, so only its saving can be compared."
    )
    newest = [
        each.interpreter for each, _ in pairs_found if "CPython" in each.interpreter
    ]
    other_head = f"Other forms of the same, on {newest[-1]}:"
    at_numpy = [each for each in rest if each.program.startswith(ARRAY.name)]
    note = "" if at_numpy else "\n\nNo NumPy here: its structured array is left out."
    first = [
        filled(head),
        pairs(pairs_found),
        filled(f"{verdict(pairs_found)} {of_pypy(pairs_found)} {session}"),
    ]
    return "\n\n".join(
        [
            *first,
            other_head,
            others(rest) + note,
            WHY.rstrip(),
            EXPLAINED + truth(every + rest[2:]) + "\n" + ENDING + SOURCES.rstrip(),
        ]
    )


def write_into_notebook(text: str) -> None:
    """Write `text` into the last cell of the demo notebook."""
    path = ROOT / "notebooks/slots_vs_noslots.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    lines = f"## On every Python of one machine\n\n{text}".splitlines(keepends=True)
    cell = {"cell_type": "markdown", "id": CELL_ID, "metadata": {}, "source": lines}
    others = [each for each in notebook["cells"] if each["id"] != CELL_ID]
    notebook["cells"] = [*others, cell]
    content = json.dumps(notebook, indent=1, ensure_ascii=False)
    write_whole(path, [f"{content}\n"])


def measure_others(newest: Interpreter) -> list[Figures]:
    found = [measure(each, newest) for each in OTHERS]
    python = newest if newest.numpy else asked(sys.executable)
    if python is not None and python.numpy:
        name = f"{ARRAY.name} (NumPy {python.numpy}, {python.name})"
        found.append(measure(replace(ARRAY, name=name), python))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="into README.md and the notebook, too"
    )
    arguments = parser.parse_args()
    found = cpythons()
    newest = found[-1]
    pypy = asked(shutil.which("pypy3") or "")
    every = [*found, pypy] if pypy is not None else found
    both = [(measure(SLOTS, each), measure(NO_SLOTS, each)) for each in every]
    rest = measure_others(newest)
    text = page(both, rest)
    print(text)
    if arguments.write:
        readme = ROOT / "README.md"
        write_whole(readme, [PART.sub(lambda _: f"\n{text}\n", readme.read_text())])
        # Its first table: what each Python saves.
        write_into_notebook(text.partition("\n\nOther forms")[0])
    status = 0
    for each in [*(figures for pair in both for figures in pair), *rest]:
        if abs(each.rest) > MOST:
            print(
                f"not explained: {each.interpreter}, {each.program}:"
                f" {deviation(each.rest)}",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
