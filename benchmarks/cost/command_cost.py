"""What memwatch exec and its peers cost: the start, a computation, 5,000 processes.

All tools run each command in turn, in an order that changes from round to round; the
fastest round counts, which other programs disturbed the least. Exits with 1 where
memwatch exec makes a computation, or untraced the shell loop, longer than its limit.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.helpers import command_tools
from benchmarks.helpers.command_tools import (
    EXEC,
    GNU_TIME,
    HYPERFINE,
    NO_TRACE,
    PLAIN,
    PROGRAM,
    CommandTool,
)
from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.tables import made_by, markdown

STARTS = 4
"""In each round, as they are short."""
PROCESSES = 5000
LOOP = f"i=0; while [ $i -lt {PROCESSES} ]; do /bin/true; i=$((i+1)); done"

START = "start and report, of `true`"
COMPUTE = "computation of 2 s"
SHORT = f"{PROCESSES:,} short processes"


def seconds(tool: CommandTool, argv: list[str]) -> float:
    """The wall time of `argv` under a tool, its start and its report included."""
    with tempfile.TemporaryDirectory() as folder:
        command = tool.wrap(argv, Path(folder, "figures"))
        if tool is HYPERFINE:
            command = [*tool.command, subprocess.list2cmdline(argv)]
        before = time.perf_counter()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return time.perf_counter() - before


def steps() -> int:
    """So many that a computation takes two seconds of a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([PROGRAM, "compute", "1000"], check=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return round(2000 / spent)


AGAIN = CommandTool("no tool, again", ())
"""The control: how far it is from 1 is the noise."""

Found = dict[tuple[str, str], list[float]]


def measure(
    tools: list[CommandTool], commands: dict[str, list[str]], rounds: int
) -> Found:
    found: Found = {}
    for number in range(rounds):
        for what, argv in commands.items():
            for i in range(len(tools)):
                tool = tools[(i + number) % len(tools)]
                for _ in range(STARTS if what == START else 1):
                    spent = seconds(tool, argv)
                    found.setdefault((what, tool.name), []).append(spent)
            print(f"round {number + 1}: {what}", file=sys.stderr, flush=True)
    return found


def added(found: Found, tool: CommandTool) -> float:
    """Seconds that it takes for itself."""
    return min(found[START, tool.name]) - min(found[START, PLAIN.name])


def times(found: Found, what: str, tool: CommandTool) -> float:
    """How many times as long a command takes, without the tool's own start."""
    mine = min(found[what, tool.name]) - added(found, tool)
    return mine / min(found[what, PLAIN.name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    command_tools.compile_program()
    tools = [PLAIN, AGAIN, GNU_TIME, NO_TRACE, EXEC]
    if shutil.which(HYPERFINE.command[0]) is not None:
        tools.insert(3, HYPERFINE)
    script = PROGRAM.with_name("short_processes.sh")
    script.write_text(LOOP + "\n")
    commands = {
        COMPUTE: [str(PROGRAM), "compute", str(steps())],
        SHORT: ["/bin/sh", str(script)],
    }
    commands = {name: c for name, c in commands.items() if arguments.only in name}
    found = measure(tools, {START: ["/bin/true"], **commands}, arguments.rounds)
    own = [f"{1e3 * added(found, each):+.0f} ms" for each in tools[1:]]
    rows = [[START, *own]]
    for what in commands:
        ratios = [f"{times(found, what, each):.3f}" for each in tools[1:]]
        rows.append([f"{what}, times as long", *ratios])
    print(
        f"{made_by('make bench-exec')}; the fastest of {arguments.rounds} rounds;",
        end=" ",
    )
    print(f"GNU time {command_tools.version_of_time()},", end=" ")
    print(f"hyperfine {command_tools.version_of(['hyperfine', '--version'])}.")
    for what in commands:
        print(f"{what}: {min(found[what, PLAIN.name]):.2f} s without a tool.")
    print()
    print(markdown(["", *(f"`{tool.name}`" for tool in tools[1:])], rows), "\n")
    for tool, what, most in (
        (EXEC, COMPUTE, 1),
        (NO_TRACE, COMPUTE, 1),
        (NO_TRACE, SHORT, 10),
    ):
        if what in commands:
            more = 100 * (times(found, what, tool) - 1)
            limit(f"{tool.name}, {what}: longer by", more, most, "%")
    print(*(f"not kept: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
