"""memwatch, its peers, and no tool: how each is installed, switched on, and read.

Each tool is read by the best data that it gives: memwatch and ipython_memwatcher by
their objects, %memit by its result, ipython_memory_usage, which has none, by the line
that it prints.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = ["numpy>=1.26", "pandas>=2.1"]
KERNEL = (
    "ipykernel>=7.4" if sys.version_info >= (3, 11) else "ipykernel>=6.25,<7"
)  # those between lose requests at times


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the same libraries for all that are in it."""

    name: str
    requirements: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ROOT / "build" / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    def install(self, *requirements: str) -> str | None:
        """None, or the installer's last word on why it could not."""
        command = [self.python, "-m", "pip", "install", "--quiet", *requirements]
        command.append("--disable-pip-version-check")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines or ["pip failed and said nothing"])[-1].strip()

    def make(self) -> None:
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        error = self.install(KERNEL, *BASE, *self.requirements)
        if error:
            raise SystemExit(f"build/{self.name}: {error}")


MAIN = Environment("peers")
# Newer versions no longer call hooks that take no argument, as ipython_memwatcher's.
OLD_IPYTHON = Environment("peers-ipython-8.14", ("ipython>=8.0,<8.15",))


@dataclass
class Tool:
    """A tool, and how a cell is measured by it."""

    name: str
    package: str | None
    """What to install; None: nothing."""
    load: str
    """Switches it on, for good or until `stop`."""
    read: str = ""
    """Prints what it says of the cell before, as JSON: used and peaked in bytes, or
    rise, the peak above the start; and what else it tells."""
    wrap: str = "{code}"
    """How a cell is written to be measured; {quoted} is the code as a literal."""
    start: str = ""
    stop: str = ""
    prints: re.Pattern[str] | None = None
    """What it prints below a cell, where it can be read in no other way: MiB."""
    options: tuple[str, ...] = ()
    """More for the installer."""
    environment: Environment = MAIN
    slow: bool = False
    """A trivial cell under it takes a tenth of a second or more."""
    command: tuple[str, ...] = ()
    """How it runs a script, after python -m; (): it does not."""
    remark: str = ""
    version: str = ""
    error: str | None = None
    """Why it is not here."""

    def install(self) -> None:
        """Into its environment; `error` tells why not."""
        if self.package is not None:
            self.error = self.environment.install(self.package, *self.options)
        if self.error is None and self.package is not None:
            self.version = self._find_version()

    def _find_version(self) -> str:
        name = re.split(r"[=<>\[]", self.package or "")[0]
        if name.endswith(".whl"):
            name = "memwatch"
        code = f"from importlib.metadata import version; print(version({name!r}))"
        command = [self.environment.python, "-c", code]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()

    def cell(self, code: str) -> str:
        """`code` as it is typed to be measured."""
        return self.wrap.format(code=code, quoted=repr(code))

    def read_back(self, printed: str) -> dict[str, float | None]:
        """The figures in what was printed, by the cell or by `read`."""
        if self.prints is None:
            # The tool may add a line of its own to the cell that reads.
            lines = [line for line in printed.splitlines() if line.startswith("{")]
            if not lines:
                raise ValueError(f"{self.name} told nothing: {printed!r}")
            return json.loads(lines[-1])
        found = self.prints.findall(printed)
        if not found:
            raise ValueError(f"{self.name} printed no line: {printed!r}")
        used, peaked = found[-1]
        return {"used": float(used) * 2**20, "peaked": float(peaked) * 2**20}


def wheel() -> str:
    """The wheel that `make wheel` has built."""
    wheels = sorted((ROOT / "dist").glob("memwatch-*.whl"))
    if len(wheels) != 1:
        raise SystemExit("no wheel in dist/: make wheel")
    return str(wheels[0])


NONE = Tool(
    "no tool",
    None,
    load="import reference",
    wrap="result = reference.measure({quoted}, globals())",
    read="print(result)",
    remark="/proc read by hand right around the code: the control",
)
MEMWATCH = Tool(
    "memwatch",
    "memwatch",
    load="%load_ext memwatch",
    read="import json, memwatch\n"
    "r = memwatch.history[-1]\n"
    "print(json.dumps(dict(used=r.used_bytes, peaked=r.peaked_bytes,"
    " bound=r.peak_error_bytes, method=r.peak_method)))",
    # Else a wheel of the same version would be taken for the one that is there.
    options=("--force-reinstall",),
    start="%memwatch on",
    stop="%memwatch off",
)
IMU = Tool(
    "ipython_memory_usage",
    "ipython_memory_usage==1.8.3",
    load="%load_ext ipython_memory_usage\n%imu_start",
    slow=True,
    prints=re.compile(r"used (-?[\d.]+) MiB RAM .* peaked (-?[\d.]+) MiB above"),
    start="%imu_start",
    stop="%imu_stop",
)
MEMWATCHER = Tool(
    "ipython_memwatcher",
    "ipython_memwatcher==0.2.5",
    load="from ipython_memwatcher import MemWatcher\n"
    "watcher = MemWatcher(); watcher.start_watching_memory()",
    read="import json\n"
    "m = watcher.measurements\n"
    "print(json.dumps(dict(used=m.memory_delta * 2**20,"
    " peaked=m.memory_peak * 2**20)))",
    start="watcher.start_watching_memory()",
    stop="watcher.stop_watching_memory()",
    environment=OLD_IPYTHON,
    slow=True,
    remark="with IPython 8.14: newer ones do not call its hooks",
)
MEMIT = Tool(
    "%memit",
    "memory_profiler==0.61.0",
    load="%load_ext memory_profiler",
    wrap="result = get_ipython().run_cell_magic('memit', '-o -q', {quoted})",
    read="import json\n"
    "print(json.dumps(dict(rise=(max(result.mem_usage) - result.baseline) * 2**20)))",
    slow=True,
    remark="tells the rise above the start only; it is granted the true use",
)
MEMRAY = Tool(
    "memray",
    "memray==1.20.0",
    load="%load_ext memray",
    wrap="%%memray_flamegraph\n{code}",
    slow=True,
    command=("memray", "run", "--quiet", "--force", "--output", "memray.bin"),
    remark="records every allocation; a cell by %%memray_flamegraph, a loop as a script"
    " by memray run",
)
SCALENE = Tool(
    "Scalene",
    "scalene==2.4.0",
    load="%load_ext scalene",
    command=("scalene", "run", "--outfile", "scalene.json"),
    remark="tells lines, not cells; a loop as a script by scalene run",
)
FIL = Tool(
    "Fil",
    "filprofiler==2024.11.2",
    load="",
    command=("filprofiler", "--no-browser", "-o", "fil", "run"),
    remark="needs a kernel of its own; a loop as a script by fil-profile run",
)

TRUTH_TOOLS = [NONE, MEMWATCH, IMU, MEMWATCHER, MEMIT]
CELL_TOOLS = [MEMWATCH, IMU, MEMWATCHER, MEMIT]
SCRIPT_TOOLS = [MEMRAY, SCALENE, FIL]


def install(tools: list[Tool]) -> None:
    """All of `tools`, each with what it needs; those that fail say why."""
    for environment in (MAIN, OLD_IPYTHON):
        if any(tool.environment is environment for tool in tools):
            environment.make()
    MEMWATCH.package = wheel()
    for tool in tools:
        tool.install()
        if tool.error:
            print(f"{tool.name} does not install on this Python: {tool.error}")
