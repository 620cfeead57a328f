"""Without permission: one warning with the cause, sampled peaks, running code."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from faults import SHELL, SPIKE, WATCH, warnings_in
from shells import needs_hwm_reset
from support import BECOME_NOBODY, lines_in, readable_copy, run_python_streams

pytestmark = needs_hwm_reset


DENIED = (
    "peaks are sampled and may be too low: the kernel's high-water mark cannot be reset"
    " (Permission denied); see `memwatch doctor`"
)


@pytest.fixture
def copy():
    """A copy of memwatch that the user nobody can read."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(readable_copy(Path(folder)))


def test_loading_without_permission_warns_once(copy):
    out, err = run_python_streams(
        BECOME_NOBODY + SHELL + SPIKE +
        # IPython must import its modules while it can read them.
        "for magic in 'load_ext memwatch', 'memwatch status', 'unload_ext memwatch':\n"
        "    cell('%' + magic)\n"
        "forget_memwatch(); become_nobody(dumpable=0)\n"
        f"sys.path.insert(0, {copy!r})\n"
        "print('---', flush=True)\n"
        "sys.stderr.write('---\\n')\n"
        "cell('%load_ext memwatch')\n"
        "sys.stderr.write('loaded\\n')\n"
        "cell('x = 1')\n"
        "cell('%unload_ext memwatch'); cell('%load_ext memwatch')\n"
        "import memwatch\n"
        "with memwatch.watch('block') as w: spike(1)\n"
        "print(*[(r.peak_method, r.peak_error_bytes) for r in memwatch.history])\n",
    )  # fmt: skip
    shown = out.partition("---\n")[2]
    assert [line.n for line in lines_in(shown)] == [4, 5, 7]
    assert shown.splitlines()[-1] == " ".join(["('sampled', None)"] * 4)
    at_load, after = err.partition("---\n")[2].split("loaded\n")
    assert warnings_in(at_load) == [DENIED]
    assert after == ""


def test_first_block_without_permission_warns_once(copy):
    out, err = run_python_streams(
        BECOME_NOBODY + WATCH +
        "with memwatch.watch(): pass\n"
        "forget_memwatch(); become_nobody(dumpable=0)\n"
        f"sys.path.insert(0, {copy!r})\n"
        "import memwatch\n"
        "for _ in range(3):\n"
        "    with memwatch.watch() as w: spike(1)\n"
        "    assert w.report.peak_method == 'sampled'\n"
        "    assert w.report.peak_error_bytes is None\n"
        "print(w.report.status)\n",
    )  # fmt: skip
    assert out == "ok\n"
    assert warnings_in(err) == [DENIED]


def test_permission_dropped_after_loading(copy):
    """Open files stay open. A forked child cannot open its own, and warns."""
    out, err = run_python_streams(
        BECOME_NOBODY + WATCH +
        "with memwatch.watch(): pass\n"
        "become_nobody(dumpable=0)\n"
        "try: open('/proc/self/clear_refs', 'w')\n"
        "except PermissionError: print('denied')\n"
        "with memwatch.watch() as w: spike(64)\n"
        "show(w.report)\n"
        "if (pid := os.fork()) == 0:\n"
        "    for _ in range(2):\n"
        "        with memwatch.watch() as w: pass\n"
        "        show(w.report)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "with memwatch.watch() as w: spike(64)\n"
        "show(w.report)\n"
    )  # fmt: skip
    denied, parent, *child, again = out.splitlines()
    assert denied == "denied"
    assert parent in ("kernel False 63 False", "kernel False 64 False")
    assert again in ("kernel False 63 False", "kernel False 64 False")
    assert child == ["sampled True 0 False"] * 2
    assert warnings_in(err) == [DENIED]


def test_loading_succeeds_if_warnings_are_errors(copy):
    out, err = run_python_streams(
        BECOME_NOBODY + SHELL +
        "cell('%load_ext memwatch'); cell('%unload_ext memwatch')\n"
        "forget_memwatch(); become_nobody(dumpable=0)\n"
        f"sys.path.insert(0, {copy!r})\n"
        "print('---', flush=True)\n"
        "import memwatch, warnings\n"
        "warnings.simplefilter('error')\n"
        "cell('%load_ext memwatch')\n"
    )  # fmt: skip
    assert [line.n for line in lines_in(out.partition("---\n")[2])] == [3]
    assert err == ""


def test_own_process_is_measured_with_hidepid():
    """/proc with hidepid=2, in new namespaces."""
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    mount = "mount --make-rprivate / && mount -t proc -o hidepid=2 proc /proc"
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    probe = subprocess.run(
        [*enter, "sh", "-c", mount], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"cannot mount /proc in a namespace: {probe.stderr.strip()}")
    code = (
        BECOME_NOBODY + WATCH +
        "if os.getpid() == 1 and (pid := os.fork()):\n"  # root's process, hidden
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "become_nobody(dumpable=1)\n"
        "print(os.path.exists('/proc/1'), os.path.exists('/proc/self'))\n"
        "with memwatch.watch() as w: spike(64)\n"
        "show(w.report)\n"
        "print(w.report.used_bytes is None, w.report.rss_end_bytes > 0)\n"
    )  # fmt: skip
    done = subprocess.run(
        [*enter, "sh", "-c", mount + ' && exec "$0" -c "$1"', sys.executable, code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    hidden, peak, figures = done.stdout.splitlines()
    assert hidden == "False True"
    assert figures == "False True"
    assert peak in ("kernel False 63 False", "kernel False 64 False")
