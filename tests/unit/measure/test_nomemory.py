"""The modules when Python has no memory left: an exception, and all works again.

CPython's own tests bring what is needed, _testcapi.set_nomemory(): from the Nth
allocation on there is none. Each call is tried with the first, the second, ...
allocation failing until it is through.
"""

import importlib.util
import os

import pytest

from support import run_python

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None,
    reason="this Python was built without _testcapi",
)

WALK = """
import _testcapi, gc

def walk(call, undo=lambda result: None, least=1, prepare=None):
    nth, failed = 0, 0
    gc.disable()
    while True:
        nth += 1
        if prepare is not None:
            call = prepare()
        assert nth < 10000, "does not end"
        try:
            _testcapi.set_nomemory(nth - 1, nth)  # counted from 0, to before the second
            try:
                result = call()
            finally:
                _testcapi.remove_mem_hooks()
        except MemoryError:
            failed += 1
            undo(None)
            continue
        undo(result)
        del result
        # An allocation that failed and was not missed is one that can be done without:
        # the walk is at its end when a few in a row are not reached any more.
        if nth > failed + 20:
            break
    gc.enable()
    assert failed >= least, (call, failed)
    print("walked", failed)
"""


def run(code, walks=1):
    """Run `code`, which has to come to its end with so many walks."""
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}
    shown = run_python(f"{WALK}{code}\nprint('at the end')\n", env=environment)
    *walked, end = shown.splitlines()
    assert len(walked) == walks
    assert all(line.startswith("walked ") for line in walked)
    assert end == "at the end"


def test_windows():
    run(
        """
from memwatch import _core
def idle(_):
    assert _core.sampler()["open_windows"] == 0
walk(_core.Window, lambda _: None)
gc.collect()
idle(None)
def open_window():
    global window
    window = _core.Window()
    return window.close  # itself: to call a function of Python takes memory too
def closed(result):
    if result is not None:
        figures, t_ns, rss_bytes = result
        assert figures["rss_end_bytes"] > 0 and len(t_ns) == len(rss_bytes) >= 16
    # Closed it is in any case: what it cost is lost with the memory to tell it.
    assert window.close() is None
    idle(None)
walk(None, closed, least=10, prepare=open_window)
""",
        walks=2,
    )


def test_functions():
    run(
        """
from memwatch import _core
for call in _core.memory, _core.accuracy, _core.sampler, _core.cgroup:
    before = call().keys()
    walk(call, lambda result: None, least=3)
    assert call().keys() == before
""",
        walks=4,
    )


def test_errors():
    """The memory to say what is wrong may be what is missing."""
    run("""
import resource
from memwatch import _core
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
def fails():
    try:
        _core.cgroup()
    except OSError as error:
        assert error.errno == 24 and "cgroup" in error.strerror, error
        return
    raise AssertionError("there was a descriptor left")
walk(fails, least=3)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
_core.cgroup()
""")


def test_host():
    pytest.importorskip("memwatch._procps")
    run(
        """
from memwatch import _core, _procps
walk(_procps.machine_memory, least=2)
walk(_procps.cpu_reader, least=2)
reader = _procps.cpu_reader()
walk(lambda: _core.set_cpu_reader(reader), least=0)
walk(lambda: _core.set_cpu_reader(None), least=0)
_core.set_cpu_reader(reader)
figures, _, _ = _core.Window().close()
assert "system_mean_cpu_percent" in figures
""",
        walks=4,
    )


def test_children():
    pytest.importorskip("memwatch._procps")
    run(
        """
from memwatch import _procps
walk(_procps.start_children, least=0)
walk(_procps.ChildrenWindow, least=1)
def open_window():
    global window
    window = _procps.ChildrenWindow()
    return window.close
def closed(result):
    assert result is None or result["children_count"] == 0
    assert window.close() is None
walk(None, closed, least=3, prepare=open_window)
""",
        walks=3,
    )


@pytest.mark.parametrize("name", ["_core", "_procps"])
def test_import(name):
    pytest.importorskip(f"memwatch.{name}")
    run(f"""
import _imp, memwatch
from importlib.util import find_spec
spec = find_spec("memwatch.{name}")
def load():
    module = _imp.create_dynamic(spec)
    try:
        _imp.exec_dynamic(module)
    except SystemError as error:
        # Of one failure PyType_FromModuleAndSpec() says nothing, up to 3.11 at least.
        assert "without setting an exception" in str(error), error
        raise MemoryError from error
    return module
walk(load, least=5)
gc.collect()
module = load()
assert module.start_children() if "{name}" == "_procps" else module.memory()
from memwatch import _core
assert _core.sampler()["open_windows"] == 0
""")
