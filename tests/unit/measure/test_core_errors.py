"""What the modules say when the kernel says no: OSError, with the errno and the call.

Each test is an interpreter of its own: they take descriptors away from it.
"""

import pytest

from support import check_python

LIMIT = """
import errno, os, resource
from contextlib import contextmanager

@contextmanager
def no_descriptors():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)

def expect(code, words, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == code and words in error.strerror, error
        assert os.strerror(code) in error.strerror, error
    else:
        raise AssertionError(f"{call} raises nothing")
"""


def run(code):
    check_python(LIMIT + code)


def test_errors_have_the_class_of_their_errno():
    """Also where they are caught first: Python 3.10 took them all for OSError."""
    run("""
from memwatch import _core
for call in (lambda: _core.read_blackbox("/nowhere"), lambda: _core.Process(999999999)):
    try:
        call()
    except FileNotFoundError:
        pass
""")


def test_proc_that_cannot_be_read_when_loading():
    """It is the first call's error, not the import's; and not for ever."""
    run("""
import _imp
from importlib.machinery import PathFinder
from importlib.util import find_spec

package = find_spec("memwatch").submodule_search_locations
spec = PathFinder.find_spec("memwatch._core", package)
core = _imp.create_dynamic(spec)
with no_descriptors():
    _imp.exec_dynamic(core)
    words = "cannot read this process's memory in /proc/self"
    for call in core.Window, core.accuracy, core.memory, core.sampler:
        expect(errno.EMFILE, words, call)
    expect(errno.EMFILE, words, core.set_cpu_reader, None)
assert core.memory()["rss_bytes"] > 0
assert core.Window().close()[0]["rss_end_bytes"] > 0
""")


def test_no_descriptors_after_fork():
    run("""
from memwatch import _core

def check():
    with no_descriptors():
        expect(errno.EMFILE, "cannot open a window on the process", _core.Window)
        expect(errno.EMFILE, "cannot read /proc/self/status", _core.memory)
        expect(errno.EMFILE, "cannot read /proc/self/cgroup", _core.cgroup)
    assert _core.Window().close()[0]["rss_end_bytes"] > 0

_core.Window().close()
child = os.fork()
if child == 0:
    try:
        check()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert _core.Window().close() is not None
""")


def test_descriptors_closed_by_others():
    """As daemons do with all that they find open: the next window opens them anew."""
    run("""
from memwatch import _core

window = _core.Window()
inside = f"/proc/{os.getpid()}/"
for fd in map(int, os.listdir("/proc/self/fd")):
    try:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(inside):
            os.close(fd)
    except OSError:
        pass  # the listing's own
expect(errno.EBADF, "cannot close a window on the process in /proc", window.close)
assert window.close() is None
assert _core.Window().close() is not None
assert _core.memory()["rss_bytes"] > 0
assert _core.sampler()["open_windows"] == 0
""")


def test_host_that_cannot_be_read():
    pytest.importorskip("memwatch._procps")
    run("""
from memwatch import _procps

with no_descriptors():
    expect(errno.EMFILE, "libproc2 cannot read /proc/meminfo", _procps.machine_memory)
    expect(errno.EMFILE, "libproc2 cannot read /proc/stat", _procps.cpu_reader)
assert _procps.machine_memory()["total_bytes"] > 0
""")


def test_window_that_is_cancelled():
    from memwatch import _core

    before = _core.sampler()["open_windows"]
    window = _core.Window()
    assert _core.sampler()["open_windows"] == before + 1
    window.cancel()
    window.cancel()
    assert _core.sampler()["open_windows"] == before
    assert window.close() is None


def test_wrong_arguments():
    from memwatch import _core

    with pytest.raises(TypeError, match="keyword argument"):
        _core.Window(name="x")
    with pytest.raises(OverflowError):
        _core.Window("x", 1 << 64)
    window = _core.Window("x", 1, None, "x = 1")
    with pytest.raises(TypeError):
        window.close("ok", "x")
    window.cancel()
    with pytest.raises(ValueError, match="PyCapsule"):
        _core.set_cpu_reader("not a capsule")


@pytest.mark.parametrize("opened", ["nothing", "window", "closed"])
def test_processes_in_a_forked_child(opened):
    """Another process's sampler has a thread, which a child has not: nothing hangs."""
    run(f"""
import signal, subprocess, sys, time
from memwatch import _core

signal.alarm(60)
other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
process = _core.Process(other.pid)
window = process.window() if {opened!r} != "nothing" else None
if {opened!r} == "closed":
    window.close()
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        assert window is None or window.close() is None  # it is the parent's
        memory = process.memory()["rss_bytes"]
        mine = process.window().close()[0]
        assert mine["rss_end_bytes"] > 0 and memory > 0
        del window, process
        _core.Process(other.pid).window()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
if {opened!r} == "window":
    assert window.close()[0]["rss_end_bytes"] > 0
assert process.window().close()[0]["rss_end_bytes"] > 0
other.communicate()
""")


def test_all_that_has_a_thread_in_a_forked_child():
    """It is freed, and the interpreter ends as it always does."""
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    run("""
import signal, sys
from memwatch import _procps, _core

signal.alarm(60)
_procps.start_children()
windows = [_procps.ChildrenWindow(), _core.Window()]
process = _core.Process(os.getppid())
windows.append(process.window())
child = os.fork()
if child == 0:
    signal.alarm(30)
    for each in windows:
        assert each.close() is None
    del each, process
    windows.clear()
    fresh = _procps.ChildrenWindow()
    assert fresh.close()["children_count"] == 0
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert all(each.close() for each in windows)
""")
