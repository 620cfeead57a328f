"""What importing and loading memwatch brings into a process: no more than is listed."""

import json
import os
import tempfile

from support import run_python

# Of the standard library, with what they import themselves.
STANDARD = {
    "__future__", "array", "collections", "dataclasses", "datetime", "errno",
    "importlib", "os", "pathlib", "stat", "sys", "threading", "time", "types",
    "typing", "warnings",
}  # fmt: skip
STANDARD_AT_LOAD = STANDARD | {
    "atexit", "contextlib", "functools", "getopt", "math", "pwd", "re", "shlex",
    "shutil", "socket", "weakref",
}  # fmt: skip
OWN = {
    "_core", "files", "measure", "measure.children", "measure.history",
    "measure.window", "report", "state", "warn",
}  # fmt: skip
OWN_AT_LOAD = OWN | {
    "blackbox", "blackbox.folders", "blackbox.reader", "blackbox.recording",
    "display", "display.lines", "display.units", "ipython", "ipython.arguments",
    "ipython.awaiting",
    "ipython.cell_watcher", "ipython.command_line", "ipython.commands",
    "ipython.configuration", "ipython.extension",
    "ipython.magics", "ipython.running_cells",
    "ipython.stdout_position", "ipython.traceback_hooks", "measure.capabilities",
    "measure.limit_warning",
    "statements", "statements.current_line", "stream", "stream.publishing",
}  # fmt: skip
UNWANTED = {"ast", "asyncio", "difflib", "hashlib", "html", "inspect", "ssl"}
"""Named by themselves: they are dear, or nothing at load needs them."""

SHELL = (
    "from traitlets.config import Config\n"
    "from IPython.core.interactiveshell import InteractiveShell\n"
    "config = Config({'HistoryManager': {'enabled': False}})\n"
    "ip = InteractiveShell.instance(config=config)\n"
    "ip.run_cell('x = 1')\n"
)


def brought(first, what, *, standard):
    """The modules that `what` imports after `first` and the modules in `standard`."""
    imports = "".join(f"import {name}\n" for name in sorted(standard))
    # A folder of its own: a black box that another test's kernel left is reported at
    # the load, which takes more modules.
    with tempfile.TemporaryDirectory() as folder:
        out = run_python(
            f"{first}{imports}import encodings.ascii, json, sys\n"
            f"before = set(sys.modules)\n{what}\n"
            "print(json.dumps(sorted(set(sys.modules) - before)))\n",
            env=os.environ | {"JUPYTER_RUNTIME_DIR": folder, "XDG_RUNTIME_DIR": folder},
        )
    return set(json.loads(out.splitlines()[-1]))


def own(names):
    return {"memwatch", *(f"memwatch.{name}" for name in names)}


def test_import_loads_the_listed_modules():
    assert brought("", "import memwatch", standard=STANDARD) == own(OWN)


def test_import_loads_no_unwanted_modules():
    found = brought("", "import memwatch", standard=set())
    # Old dataclasses need inspect, which needs ast.
    by_dataclasses = brought("", "import dataclasses", standard=set())
    assert not found & UNWANTED - by_dataclasses


def test_loading_imports_the_listed_modules():
    found = brought(
        SHELL, "ip.run_cell('%load_ext memwatch')", standard=STANDARD_AT_LOAD
    )
    of_ipython = {name for name in found if name.partition(".")[0] == "IPython"}
    assert found - of_ipython == own(OWN_AT_LOAD)


def test_loading_imports_no_unwanted_modules():
    found = brought(SHELL, "ip.run_cell('%load_ext memwatch')", standard=set())
    assert not found & UNWANTED


def test_cancellation_is_recognized_without_asyncio():
    out = run_python(
        "import sys, memwatch\n"
        "def status(error):\n"
        "    try:\n"
        "        with memwatch.watch() as w: raise error\n"
        "    except BaseException: pass\n"
        "    return w.report.status\n"
        "print(status(ValueError()), status(KeyboardInterrupt()))\n"
        "print('asyncio' in sys.modules)\n"
        "import asyncio\n"
        "print(status(asyncio.CancelledError()))\n"
    )
    assert out == "error interrupted\nFalse\ninterrupted\n"
