"""What goes wrong around memwatch: one warning with the cause, no wrong figure, and the
user's code goes on. The same one level down is in tests/c/test_surroundings.c."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from memwatch import _core
from support import (
    BECOME_NOBODY,
    HELPERS,
    HOW_THREADS_ARE_REFUSED,
    NO_THREADS,
    ROOT,
    Kernel,
    lines_in,
    readable_copy,
    run_python,
    run_python_told,
)

pytestmark = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"],
    reason="no high-water mark to reset, which every process here says at once",
)

SPIKE = """
import mmap
def spike(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[::4096] = b'x' * (mib << 8)
    m.close()
def show(report):
    if report is None: return print(None, flush=True)
    size = report.peaked_bytes
    print(report.peak_method, report.peak_error_bytes is None,
          None if size is None else size >> 20, report.duration_ns is None, flush=True)
"""
WATCH = "import memwatch\n" + SPIKE
SHELL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
ip = InteractiveShell.instance(user_ns=globals(), config=Config(
    {'HistoryManager': {'enabled': False, 'hist_file': ':memory:'}}))
cell = lambda code: ip.run_cell(code, store_history=True)
"""
TAKE_DESCRIPTORS = """
import os, resource
taken = []
def take_descriptors(but=0):
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    try:
        while True: taken.append(os.open('/dev/null', os.O_RDONLY))
    except OSError: pass
    free_descriptors(but)
def free_descriptors(count=None):
    for _ in range(len(taken) if count is None else count): os.close(taken.pop())
"""


def warnings_in(err):
    """All that was said on stderr, which is warnings of memwatch alone."""
    said = [line for line in err.splitlines() if line]
    assert all(line.startswith("memwatch:0: MemwatchWarning: ") for line in said), err
    return [line.partition("Warning: ")[2] for line in said]


# ---- no permission ----

DENIED = (
    "peaks are sampled and may be too low: the kernel's high-water mark cannot be reset"
    " (Permission denied); see `memwatch doctor`"
)


@pytest.fixture
def copy():
    """memwatch where nobody can read it."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(readable_copy(Path(folder)))


def test_without_permission_loading_tells_it_once(copy):
    out, err = run_python_told(
        BECOME_NOBODY + SHELL + SPIKE +
        # What IPython imports on the way has to be there already.
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


def test_without_permission_the_first_block_tells_it_once(copy):
    out, err = run_python_told(
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


def test_permission_given_up_after_loading(copy):
    """What is open stays open. A child has to open its own, and says that it cannot."""
    out, err = run_python_told(
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


def test_warning_made_an_error_does_not_keep_it_from_loading(copy):
    out, err = run_python_told(
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


# ---- hidden processes ----


def test_own_process_is_measured_where_others_are_hidden():
    """/proc with hidepid=2, in namespaces of their own."""
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    mount = "mount --make-rprivate / && mount -t proc -o hidepid=2 proc /proc"
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    tried = subprocess.run(
        [*enter, "sh", "-c", mount], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"no namespace to mount /proc in: {tried.stderr.strip()}")
    code = (
        BECOME_NOBODY + WATCH +
        "if os.getpid() == 1 and (pid := os.fork()):\n"  # it is root's and hidden
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


# ---- out of descriptors ----


@pytest.mark.parametrize("free", [1, 2])
def test_loading_without_descriptors(free):
    """One is enough to import; three are needed to measure. None is left half open:
    when there are some again everything is as it should be."""
    out, err = run_python_told(
        SHELL + TAKE_DESCRIPTORS + SPIKE +
        f"take_descriptors(but={free})\n"
        "cell('%load_ext memwatch')\n"
        "cell('x = 1')\n"
        "cell('free_descriptors()')\n"
        "cell('spike(64)')\n"
        "import memwatch\n"
        "show(memwatch.history[-1])\n"
    )  # fmt: skip
    assert [line.n for line in lines_in(out)] == [4]
    assert out.splitlines()[-1] in (
        "kernel False 63 False",
        "kernel False 64 False",
    )
    box, told = warnings_in(err)
    assert box.startswith("cannot create the black box")
    assert "Too many open files" in box
    assert "Too many open files" in told
    assert told.startswith(
        "memwatch stopped measuring: OSError: cannot read this process"
    )


def test_descriptors_that_run_out_while_it_is_loaded():
    out, err = run_python_told(
        SHELL + TAKE_DESCRIPTORS + WATCH +
        "cell('%load_ext memwatch')\n"
        "cell('take_descriptors()')\n"
        "cell('spike(16)')\n"
        "cell('%memwatch status')\n"
        "cell('spike(16); free_descriptors()')\n"
    )  # fmt: skip
    assert err == ""
    found = lines_in(out)
    assert [line.n for line in found] == [1, 2, 3, 4, 5]
    assert all(15 <= line.peaked <= 17 for line in (found[2], found[4]))
    assert "limit: unknown: " in out
    assert "Too many open files" in out


def test_child_without_descriptors_measures_when_it_has_some():
    out, err = run_python_told(
        TAKE_DESCRIPTORS + WATCH +
        "with memwatch.watch(): pass\n"
        "if (pid := os.fork()) == 0:\n"
        # Its files are to be opened anew; the parent's are closed, which makes three.
        "    take_descriptors()\n"
        "    for _ in range(2):\n"
        "        with memwatch.watch() as w: ran = True\n"
        "        show(w.report)\n"
        "    free_descriptors(2)\n"  # one less than it takes
        "    with memwatch.watch() as w: spike(16)\n"
        "    show(w.report)\n"
        "    free_descriptors()\n"
        "    with memwatch.watch() as w: spike(16)\n"
        "    show(w.report)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )  # fmt: skip
    *none, last = out.splitlines()
    assert none == ["None"] * 3
    assert last in ("kernel False 15 False", "kernel False 16 False")
    (told,) = warnings_in(err)
    assert "Too many open files" in told


# ---- what the kernel hardly ever does ----


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The environment that preloads tests/c/shim.c."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to build the shim with")
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
for hz in (10, 20):  # a change, and the exit
    before = asked.value
    publishing.start(">tcp://silent.example:5555", hz, key)
    while asked.value == before: time.sleep(0.01)
print("asked")
"""


def test_nobody_waits_for_a_names_server_that_is_silent(shim, tmp_path):
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


def test_mark_that_is_not_told(shim):
    out, err = run_python_told(
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
    (told,) = warnings_in(err)
    assert told.startswith("this peak is sampled and may be too low: ")


def test_clock_that_stands(shim):
    out, err = run_python_told(
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
    (told,) = warnings_in(err)
    assert told.startswith("the monotonic clock does not advance")


# ---- a signal storm ----


@pytest.mark.parametrize("timer", ["REAL", "PROF"])
def test_signal_storm_in_a_kernel(timer):
    """A handler in Python, called every 100 us: no window is the worse for it."""
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


def test_descriptors_that_somebody_closed_and_uses_now(tmp_path):
    """A program that makes itself a daemon closes all it finds, ours too."""
    shown = run_python(
        "import os, memwatch\n"
        "from support import pages\n"
        "with memwatch.watch(): pass\n"
        "ours = [fd for fd in map(int, os.listdir('/proc/self/fd')) if fd > 2]\n"
        "os.closerange(3, max(ours) + 1)\n"
        f"theirs = [os.open({str(tmp_path)!r} + f'/{{n}}', os.O_RDWR | os.O_CREAT)\n"
        "          for n in range(8)]\n"
        "for fd in theirs: os.write(fd, b'theirs')\n"
        "with memwatch.watch() as w: pages(64)\n"
        "print({os.pread(fd, 10, 0) for fd in theirs},\n"
        "      w.report.peak_method, round(w.report.peaked_bytes / 2**20),\n"
        "      memwatch._core.memory()['lifetime_peak_bytes'] >= 64 * 2**20)",
        env=os.environ | {"PYTHONPATH": str(HELPERS)},
    )
    assert shown == "{b'theirs'} kernel 64 True\n"


# ---- no thread can be created ----


@pytest.mark.parametrize("how", ["RLIMIT_NPROC", "EAGAIN", "EPERM"])
def test_cells_are_measured_without_a_thread(how):
    """By the kernel's mark; one warning names pthread_create, and none names /proc."""
    out, err = run_python_told(
        NO_THREADS + SHELL + WATCH +
        "cell('1')\n"  # what IPython needs threads for
        f"refuse_threads({how!r})\n"
        "cell('%load_ext memwatch')\n"
        "cell('spike(3)')\n"
        "cell('spike(2); import time; time.sleep(0.05)')\n"
        "for report in memwatch.history:\n"
        "    print(report.peak_method, len(report.timeline['t_ns']), report.status)\n"
        "print(memwatch._core.sampler())\n"
    )  # fmt: skip
    found = lines_in(out)
    assert [line.n for line in found] == [2, 3, 4]
    assert abs(found[1].peaked - 3) <= 1
    assert abs(found[2].peaked - 2) <= 1
    assert out.splitlines()[-4:-1] == ["kernel 2 ok"] * 3
    assert "'running': False" in out
    warned = [each for each in warnings_in(err) if "black box" not in each]
    assert len(warned) == 1
    assert warned[0].startswith("cannot create the sampler's thread (pthread_create: ")


def test_a_thread_is_tried_again():
    """A limit that is lifted: the next window has its samples."""
    out, err = run_python_told(
        "import resource, time, os\n" + WATCH +
        "memwatch._core.accuracy()\n"  # the probe needs memory, too
        "with open('/proc/self/statm') as file:\n"
        "    size = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 10), -1))\n"
        "with memwatch.watch(): pass\n"
        "running = memwatch._core.sampler()['running']\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "with memwatch.watch() as w: time.sleep(0.2)\n"
        "print(running, memwatch._core.sampler()['running'])\n"
        "print(len(w.report.timeline['t_ns']) > 2)\n"
    )  # fmt: skip
    assert out.split() == ["False", "True", "True"]
    assert len(warnings_in(err)) == 1


def test_a_probe_without_memory_is_tried_again():
    """A limit that is lifted: the next window has the kernel's mark."""
    out, err = run_python_told(
        "import resource\n" + WATCH +
        "with open('/proc/self/statm') as file:\n"
        "    size = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 10), -1))\n"
        "with memwatch.watch() as w: pass\n"
        "before = w.report.peak_method\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "with memwatch.watch() as w: pass\n"
        "print(before, w.report.peak_method)\n"
    )  # fmt: skip
    assert out.split() == ["sampled", "kernel"]
    assert "Cannot allocate memory" in err


@pytest.mark.parametrize("how", HOW_THREADS_ARE_REFUSED)
def test_publishing_without_a_thread(how):
    """libzmq would end the process: one line, nothing is published, and it goes on."""
    pytest.importorskip("memwatch._stream", reason="built without libzmq")
    out, err = run_python_told(
        NO_THREADS + SHELL +
        "import memwatch._stream\n"
        "cell('%load_ext memwatch')\n"
        "data = 'still there'\n"
        f"refuse_threads({how!r})\n"
        "cell('%memwatch publish @tcp://127.0.0.1:*')\n"
        "cell('print(data)')\n"
        "cell('%memwatch publish')\n"
    )  # fmt: skip
    assert err.startswith("UsageError: nothing is published: the threads for")
    assert "(pthread_create): " in err
    assert err.count("\n") == 1
    assert "published: nothing" in out
    assert "still there" in out
    assert [line.n for line in lines_in(out)][-3:] == [2, 3, 4]


@pytest.mark.parametrize("how", ["RLIMIT_NPROC", "EAGAIN", "EPERM"])
def test_top_without_a_thread(how):
    pytest.importorskip("zmq")
    out = run_python(
        NO_THREADS +
        "import zmq.auth.thread\n"
        "from memwatch.top.collector import Collector, CollectorError\n"
        f"refuse_threads({how!r})\n"
        "try: Collector([], 'tcp://127.0.0.1:*')\n"
        "except CollectorError as error: print(error)\n"
    )  # fmt: skip
    assert "cannot be created (pthread_create)" in out


@pytest.mark.parametrize("how", ["RLIMIT_NPROC", "EAGAIN", "EPERM"])
def test_children_without_a_thread(how):
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    out = run_python(
        NO_THREADS +
        "from memwatch import _procps\n"
        f"refuse_threads({how!r})\n"
        "try: _procps.start_children()\n"
        "except OSError as error: print(error)\n"
    )  # fmt: skip
    assert "(pthread_create): " in out
