"""Tools that measure a command, and the program of known peaks that they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.helpers.peers import MAIN, MEMIT, MEMRAY, ROOT

MIB = 2**20
PROGRAM = ROOT / "build/known_peaks"
TIME = "/usr/bin/time"

Read = Callable[[Path, str], float]


@dataclass(frozen=True)
class CommandTool:
    """A tool, the command before a command, and how it is read."""

    name: str
    command: tuple[str, ...]
    """With {file} for what it writes."""
    read: Read | None = None
    """MiB, from the file and from what was written to stderr; None: no memory."""
    python_only: bool = False

    def wrap(self, argv: list[str], file: Path) -> list[str]:
        return [*(each.format(file=file) for each in self.command), *argv]


def compile_program() -> None:
    """The program of known peaks, into build/."""
    PROGRAM.parent.mkdir(exist_ok=True)
    source = ROOT / "benchmarks/accuracy/known_peaks.c"
    options = ["-O1", "-D_GNU_SOURCE", "-pthread"]
    subprocess.run(["cc", *options, "-o", PROGRAM, source], check=True)


def install_peers() -> None:
    """memory_profiler and memray, into the peers' environment."""
    MAIN.make()
    for tool in (MEMIT, MEMRAY):
        tool.install()
        if tool.error:
            raise SystemExit(f"{tool.name}: {tool.error}")


def version_of(command: list[str]) -> str:
    """The first number with dots in what a tool says of itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "of unknown version"
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


def version_of_time() -> str:
    """That of its package: Debian's does not know its own."""
    return version_of(["dpkg-query", "--show", "time"])


def _read_memwatch(file: Path, said: str) -> float:
    report = json.loads(file.read_text())
    peaks = [report["rss_peak_bytes"], report["largest_peak_bytes"]]
    return max((each for each in peaks if each is not None), default=0) / MIB


def _read_time(file: Path, said: str) -> float:
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", file.read_text())
    assert found is not None
    return int(found[1]) / 1024


def _read_wait4(file: Path, said: str) -> float:
    return int(re.findall(r"^ru_maxrss (\d+)$", said, re.M)[-1]) / 1024


def _read_mprof(file: Path, said: str) -> float:
    lines = [each.split() for each in file.read_text().splitlines()]
    figures = [float(each[1]) for each in lines if each[0] == "MEM"]
    figures += [float(each[2]) for each in lines if each[0] == "CHLD"]
    return max(figures, default=0.0)


def _read_memray(file: Path, said: str) -> float:
    """The highest of the process and of those that it forked."""
    peaks = []
    for each in file.parent.glob(f"{file.name}*"):
        result = file.with_name("stats.json")
        command = [MAIN.python, "-m", "memray", "stats", "--json", "--force"]
        subprocess.run(
            [*command, "--output", result, each], check=True, capture_output=True
        )
        peaks.append(json.loads(result.read_text())["metadata"]["peak_memory"] / MIB)
    return max(peaks)


_MEMWATCH = (sys.executable, "-m", "memwatch", "exec", "--json", "{file}")
EXEC = CommandTool("memwatch exec", (*_MEMWATCH, "--"), _read_memwatch)
NO_TRACE = CommandTool(
    "memwatch exec --no-trace", (*_MEMWATCH, "--no-trace", "--"), _read_memwatch
)
GNU_TIME = CommandTool("time -v", (TIME, "-v", "-o", "{file}"), _read_time)
WAIT4 = CommandTool("wait4", (str(PROGRAM), "spawn", "0"), _read_wait4)
MPROF = CommandTool(
    "mprof run -C",
    (str(MAIN.folder / "bin/mprof"), "run", "-C", "--nopython", "-o", "{file}"),
    _read_mprof,
)
_MEMRAY = ("-m", "memray", "run", "--quiet", "--force", "--follow-fork")
MEMRAY_RUN = CommandTool(
    "memray run",
    (
        str(MAIN.python),
        *(["-m", "memray", "run", "-q", "-f", "--follow-fork", "-o", "{file}"]),
    ),
    _read_memray,
    python_only=True,
)
PLAIN = CommandTool("no tool", ())
HYPERFINE = CommandTool(
    "hyperfine", ("hyperfine", "-N", "-w0", "-r1", "--style", "none")
)
