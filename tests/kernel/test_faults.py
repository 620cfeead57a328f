"""Rare faults of the system, simulated by tests/c/shim.c, and a signal storm.

The same one level down is in tests/c/surroundings/surroundings.h and its tests.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from faults import SHELL, WATCH, warnings_in
from shells import needs_hwm_reset
from support import ROOT, Kernel, run_python, run_python_streams

pytestmark = needs_hwm_reset


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """An environment that preloads tests/c/shim.c."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = ROOT / "tests/c/shim.c"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
    )
    return {**os.environ, "LD_PRELOAD": str(library)}


FAULT = """
import ctypes, os
def fault(name, on):
    ctypes.c_int.in_dll(ctypes.CDLL(os.environ['LD_PRELOAD']), name).value = on
"""


SILENT_NAME = """
import time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from memwatch.stream import keys, publishing

keys.make_keys()
ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
ip.run_line_magic("load_ext", "memwatch")
key = keys.own_keys().public
asked = ctypes.c_int.in_dll(ctypes.CDLL(os.environ["LD_PRELOAD"]), "name_asked")
for hz in (10, 20):  # a change of the endpoint, and the exit
    before = asked.value
    publishing.start(">tcp://silent.example:5555", hz, key)
    while asked.value == before: time.sleep(0.01)
print("asked")
"""


def test_silent_name_server_delays_nothing(shim, tmp_path):
    pytest.importorskip("memwatch._stream", reason="built without libzmq")
    folders = {
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    env = shim | folders
    assert run_python(FAULT + SILENT_NAME, env=env) == "asked\n"
    pytest.importorskip("zmq")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "memwatch", "top", "--once", "--json"),
            *("--connect", "tcp://silent.example:5555"),
            *("--server-key", str(tmp_path / "memwatch/keys/own.key")),
        ],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert '"processes":[]' in done.stdout


def test_high_water_mark_that_cannot_be_read(shim):
    out, err = run_python_streams(
        FAULT + WATCH +
        "for hidden in (0, 1, 1, 0):\n"
        "    with memwatch.watch() as w:\n"
        "        spike(64)\n"
        "        fault('mark_is_hidden', hidden)\n"
        "    fault('mark_is_hidden', 0)\n"
        "    print(w.report.peak_method, w.report.peak_error_bytes is None)\n",
        env=shim,
    )  # fmt: skip
    well, *hidden, again = out.splitlines()
    assert well == again == "kernel False"
    assert hidden == ["sampled True"] * 2
    (warning,) = warnings_in(err)
    assert warning.startswith("this peak is sampled and may be too low: ")


def test_clock_that_stands_still(shim):
    out, err = run_python_streams(
        SHELL + FAULT + WATCH +
        "cell('%load_ext memwatch')\n"
        "fault('clock_stands', 1)\n"
        "cell('spike(64)'); cell('spike(64)')\n"
        "reports = memwatch.history[-2:]\n"
        "fault('clock_stands', 0)\n"
        "cell('spike(64)')\n"
        "for report in *reports, memwatch.history[-1]:\n"
        "    show(report); print(len(report.timeline['t_ns']) > 1)\n",
        env=shim,
    )  # fmt: skip
    *_, first, one, _, two, last, three = out.splitlines()
    assert re.search(r"^In \[2\] used [-.\d]+ MiB RAM in n/a, peaked ", out, re.M)
    assert [one, two, three] == ["False", "False", "True"]
    assert first.endswith(" True")
    assert last.endswith(" False")
    assert first in ("kernel False 63 True", "kernel False 64 True")
    assert last in ("kernel False 63 False", "kernel False 64 False")
    (warning,) = warnings_in(err)
    assert warning.startswith("the monotonic clock does not advance")


@pytest.mark.parametrize("timer", ["REAL", "PROF"])
def test_signal_storm_in_a_kernel(timer):
    """A Python handler that is called every 100 us affects no window."""
    name = {"REAL": "SIGALRM", "PROF": "SIGPROF"}[timer]
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        kernel.run(WATCH)
        kernel.run(
            "import signal\n"
            "calls = 0\n"
            "def handler(*_):\n"
            "    global calls\n"
            "    calls += 1\n"
            f"signal.signal(signal.{name}, handler)\n"
            f"signal.setitimer(signal.ITIMER_{timer}, 1e-4, 1e-4); None"
        )
        found = [
            kernel.line(
                "before = calls\nspike(16)\nwhile calls < before + 20: spike(1)"
            )
            for _ in range(20)
        ]
        kernel.run(f"signal.setitimer(signal.ITIMER_{timer}, 0); None")
        text = kernel.run(
            "print({r.peak_method for r in memwatch.history},"
            " {r.status for r in memwatch.history}, calls > 400)"
        )
    finally:
        kernel.close()
    assert text.splitlines()[0] == "{'kernel'} {'ok'} True"
    assert all(abs(line.peaked - 16) < 1 for line in found), found
