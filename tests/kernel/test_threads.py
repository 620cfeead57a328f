"""Without threads or memory: one warning with the cause, and running code."""

import pytest

from faults import SHELL, WATCH, warnings_in
from shells import needs_hwm_reset
from support import (
    NO_THREADS,
    THREAD_FAILURES,
    lines_in,
    run_python,
    run_python_streams,
)

pytestmark = needs_hwm_reset


@pytest.mark.parametrize("how", ["RLIMIT_NPROC", "EAGAIN", "EPERM"])
def test_cells_are_measured_without_a_thread(how):
    """By the kernel's high-water mark; one warning names pthread_create, not /proc."""
    out, err = run_python_streams(
        NO_THREADS + SHELL + WATCH +
        "cell('1')\n"  # IPython starts its threads
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


def test_thread_is_created_once_it_is_possible():
    """After a limit is lifted, the next window has samples."""
    out, err = run_python_streams(
        "import resource, time, os\n" + WATCH +
        "memwatch._core.accuracy()\n"  # before the limit: the probe needs memory
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


def test_probe_is_repeated_once_it_has_memory():
    """After a limit is lifted, the next window has the kernel's high-water mark."""
    out, err = run_python_streams(
        "import resource\n" + WATCH +
        "with open('/proc/self/statm') as file:\n"
        "    size = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 10), -1))\n"
        "with memwatch.watch() as w: pass\n"
        "before = w.report and w.report.peak_method\n"
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "with memwatch.watch() as w: pass\n"
        "print(before, w.report.peak_method)\n"
    )  # fmt: skip
    before, after = out.split()
    # None: the allocator of this Python left no memory for the window either.
    assert before in ("sampled", "None")
    assert after == "kernel"
    assert "high-water mark cannot be reset (Cannot allocate memory)" in err


@pytest.mark.parametrize("how", THREAD_FAILURES)
def test_publishing_without_a_thread(how):
    """One error instead of libzmq's abort(); the session continues."""
    pytest.importorskip("memwatch._stream", reason="built without libzmq")
    out, err = run_python_streams(
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
    assert [line.n for line in lines_in(out)] == [1, 3]


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
