"""Which peak memwatch exec and its peers report of commands of known peak.

Each program runs three times under each tool, and the figure that is farthest from the
truth counts. The truth is an interval: what the program touches, and that with all that
it holds without. Exits with 1 where memwatch exec is off by more than the error that it
states.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.helpers import command_tools
from benchmarks.helpers.command_tools import (
    EXEC,
    GNU_TIME,
    MEMRAY_RUN,
    MPROF,
    NO_TRACE,
    PROGRAM,
    WAIT4,
    CommandTool,
)
from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.peers import MEMIT, MEMRAY
from benchmarks.helpers.tables import NOT_TOLD, made_by, markdown

TOOLS = [EXEC, NO_TRACE, GNU_TIME, WAIT4, MPROF, MEMRAY_RUN]
RUNS = 3

TOUCH = "x = bytearray(64 * 2**20)\ndel x\n"
CHILD = """
import multiprocessing

def work():
    x = bytearray(64 * 2**20)

if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
"""
BASE = """
import multiprocessing.popen_fork, sys
with open("/proc/self/status") as file:
    sys.stderr.writelines(each for each in file if each.startswith("VmHWM"))
"""


@dataclass(frozen=True)
class Program:
    """A command whose peak is known."""

    name: str
    argv: tuple[str, ...]
    mib: int
    """What it touches."""
    before: tuple[str, ...] = ()
    """What starts the tool."""
    python: bool = False


PROGRAMS = [
    Program("1 MiB", ("touch", "1"), 1),
    Program("64 MiB", ("touch", "64"), 64),
    Program("1024 MiB", ("touch", "1024"), 1024),
    Program("64 MiB for 1 ms", ("transient", "64"), 64),
    Program("the same in a forked child", ("fork", "64"), 64),
    Program("in a child by vfork and exec", ("vfork", "64"), 64),
    Program("64 MiB, then exec of a small program", ("exec", "64"), 64),
    Program("64 MiB when the first thread has ended", ("threads", "64"), 64),
    Program(
        "1 MiB, the tool started by a parent of 256 MiB",
        ("touch", "1"),
        1,
        (str(PROGRAM), "spawn", "256"),
    ),
    Program("Python: `bytearray` of 64 MiB, freed", (TOUCH,), 64, python=True),
    Program("Python: the same in a forked child", (CHILD,), 64, python=True),
]


@dataclass
class Answer:
    """What a tool said; MiB."""

    peak: float | None = None
    error: float = 0.0
    """How far it is from the truth."""
    bound: float | None = None
    """What memwatch states as its error."""

    def shown(self, program: Program) -> str:
        if self.peak is None:
            return NOT_TOLD
        text = f"{self.peak:.1f}"
        if self.error < -program.mib / 2:
            return f"**{text}, missed**"
        return f"**{text}, too much**" if self.error > program.mib / 2 else text


def base_mib(command: list[str]) -> float:
    """What a program holds that touches nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[1]) / 1024


def ask(tool: CommandTool, program: Program, base: float) -> Answer:
    """Run it, and take the figure that is farthest from the truth."""
    if tool.read is None or (tool.python_only and not program.python):
        return Answer()
    answer = Answer()
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "figures")
            argv = [str(PROGRAM), *program.argv]
            if program.python:
                script = Path(folder, "script.py")
                script.write_text(program.argv[0])
                argv = [str(script)]
                if not tool.python_only:
                    argv = [sys.executable, *argv]
            # wait4 itself is what a parent of that size would see.
            before = list(program.before)
            command = argv if before and tool is WAIT4 else tool.wrap(argv, file)
            done = subprocess.run(
                before + command, capture_output=True, text=True, check=True
            )
            peak = tool.read(file, done.stderr)
            bound = answer.bound
            if tool is EXEC:
                stated = json.loads(file.read_text())["peak_error_bytes"]
                bound = (stated or 0) / command_tools.MIB
        error = min(0.0, peak - program.mib) or max(0.0, peak - program.mib - base)
        if answer.peak is None or abs(error) > abs(answer.error):
            answer = Answer(peak, error, bound)
    return answer


def main() -> int:
    command_tools.compile_program()
    command_tools.install_peers()
    base_c = base_mib([str(PROGRAM), "base", "0"])
    base_python = base_mib([sys.executable, "-c", BASE])
    rows = []
    for program in PROGRAMS:
        base = base_python if program.python else base_c
        answers = [ask(tool, program, base) for tool in TOOLS]
        told = [each.shown(program) for each in answers]
        truth = f"{program.mib} to {program.mib + base:.1f}"
        rows.append([program.name, truth, *told])
        print(f"{program.name}, {truth}: {', '.join(told)}", flush=True)
        stated = answers[0]
        assert stated.bound is not None
        limit("memwatch exec is off by", abs(stated.error), stated.bound, "MiB")
    head = ["MiB", "true peak", *(f"`{tool.name}`" for tool in TOOLS)]
    print(f"\n{made_by('make bench-exec')};", end=" ")
    print(f"GNU time {command_tools.version_of_time()},", end=" ")
    print(f"memory_profiler {MEMIT.version}, memray {MEMRAY.version}.\n")
    print(markdown(head, rows), "\n")
    print(*(f"not kept: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
