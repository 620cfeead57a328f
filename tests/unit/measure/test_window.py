"""Blocks, in programs that know nothing of IPython."""

import datetime
import errno
import os
import shutil
import tempfile
import threading
import warnings
from pathlib import Path

import pytest

import memwatch
from memwatch import _core, warn
from memwatch.measure import window
from support import MIB, check_python, pages, run_python

needs_mark = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"],
    reason=f"no high-water mark to reset: {_core.accuracy()['hwm_error']}",
)
BOUND = _core.accuracy()["bound_bytes"]


@needs_mark
@pytest.mark.parametrize("size_mib", [1, 16, 400])
def test_transient_is_the_peak(size_mib):
    with memwatch.watch("transient") as w:
        pages(size_mib)
    assert w.report.label == "transient"
    assert w.report.status == "ok"
    assert w.report.peak_method == "kernel"
    truth = size_mib * MIB
    assert abs(w.report.peaked_bytes - truth) <= max(truth / 100, BOUND)
    assert w.report.peak_error_bytes == BOUND
    assert memwatch.history[-1] is w.report


def test_kept_memory_is_use_and_timeline_shows_it():
    with memwatch.watch("kept") as w:
        kept = pages(64)
    assert abs(w.report.used_bytes - len(kept)) < MIB
    assert w.report.used_bytes == w.report.rss_end_bytes - w.report.rss_start_bytes
    series = w.report.timeline
    assert len(series["t_ns"]) == len(series["rss_bytes"]) <= 512
    assert series["t_ns"][0] == 0
    assert series["t_ns"][-1] == w.report.duration_ns
    assert list(series["t_ns"]) == sorted(series["t_ns"])
    assert series["rss_bytes"][0] == w.report.rss_start_bytes
    assert series["rss_bytes"][-1] == w.report.rss_end_bytes
    assert max(series["rss_bytes"]) <= w.report.rss_peak_bytes


def test_giving_back_is_negative():
    kept = pages(64)
    with memwatch.watch() as w:
        del kept
    assert w.report.used_bytes < -60 * MIB
    assert w.report.peaked_bytes == -w.report.used_bytes


@needs_mark
def test_nested_blocks_have_their_own_peaks():
    with memwatch.watch("outer") as outer:
        pages(200)
        with memwatch.watch("inner") as inner:
            pages(40)
    assert abs(inner.report.peaked_bytes - 40 * MIB) <= BOUND
    assert abs(outer.report.peaked_bytes - 200 * MIB) <= 2 * BOUND


@needs_mark
def test_block_in_another_thread_does_not_take_the_peak():
    with memwatch.watch("outer") as outer:
        pages(100)

        def other():
            with memwatch.watch("thread"):
                pass

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert abs(outer.report.peaked_bytes - 100 * MIB) <= max(MIB, BOUND)


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "error"), (KeyboardInterrupt, "interrupted"), (SystemExit, "error")],
)
def test_error_passes_through(error, status):
    w = memwatch.watch("raises")
    with pytest.raises(error), w:
        raise error
    assert w.report.status == status


def test_watch_is_reusable_and_fresh_each_time():
    w = memwatch.watch("twice")
    with w:
        assert w.report is None
    first = w.report
    with w:
        assert w.report is None
    assert w.report is not first


def test_watch_that_is_open_is_not_entered_again():
    w = memwatch.watch("once")
    with w:
        memory = pages(20)
        with pytest.raises(RuntimeError, match=r"'once'\) is already open"), w:
            raise AssertionError("not reached")
        del memory
    assert w.report.status == "ok"
    assert w.report.peaked_bytes >= 20 * MIB - max(MIB, BOUND)
    with w:  # afterwards it is
        pass
    assert w.report.peaked_bytes < 20 * MIB


def test_started_at_is_utc():
    before = datetime.datetime.now(datetime.timezone.utc)
    with memwatch.watch() as w:
        pass
    started = datetime.datetime.fromisoformat(w.report.started_at)
    assert started.utcoffset() == datetime.timedelta(0)
    assert abs((started - before).total_seconds()) < 5


def test_split_adds_up():
    with memwatch.watch() as w:
        pass
    report = w.report
    parts = report.anon_bytes + report.file_bytes + report.shmem_bytes
    assert parts == report.rss_end_bytes


def test_lifetime_peak_survives_resets():
    pages(300)
    before = _core.memory()["lifetime_peak_bytes"]
    for _ in range(3):
        with memwatch.watch():
            pass
    assert _core.memory()["lifetime_peak_bytes"] >= before >= 300 * MIB


def test_forked_child_is_not_measured_as_the_parent():
    """The child tells by its exit status; the parent's peak stays its own."""
    with memwatch.watch("parent") as w:
        pages(100)
        pid = os.fork()
        if pid == 0:
            # The parent's window is not ours; one of our own is.
            child_of_parent = w._window.close(label=None, status="ok")
            with memwatch.watch("child") as own:
                pages(10)
            good = child_of_parent is None and own.report.peaked_bytes < 50 * MIB
            os._exit(0 if good else 1)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    if _core.accuracy()["hwm_resets"]:
        assert abs(w.report.peaked_bytes - 100 * MIB) <= max(MIB, BOUND)


def test_idle_thread_is_stopped_before_a_fork():
    """From 3.12 on Python warns of a fork in a process with threads: not of ours."""
    out = run_python(
        "import os, memwatch\n"
        "for number in range(3):\n"
        "    with memwatch.watch('x') as w: pass\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    print(len(os.listdir('/proc/self/task')), w.report.label)\n",
        "-Werror",
    )
    assert out.splitlines() == ["1 x"] * 3


def test_descriptors_and_threads_do_not_grow():
    # In a process of its own: threads of other tests end at any time.
    check_python(
        "import os, memwatch\n"
        "def count():\n"
        "    names = '/proc/self/fd', '/proc/self/task'\n"
        "    return [len(os.listdir(each)) for each in names]\n"
        "with memwatch.watch(): pass\n"
        "before = count()\n"
        "for _ in range(300):\n"
        "    with memwatch.watch(): pass\n"
        "assert count() == before, (count(), before)\n"
    )


def test_import_without_ipython():
    out = run_python(
        "import memwatch, sys\n"
        "with memwatch.watch('x') as w: pass\n"
        "print(w.report.label, 'IPython' in sys.modules, 'traitlets' in sys.modules)\n"
        "for verb in 'start', 'stop':\n"
        "    try: getattr(memwatch, f'{verb}_watching_memory')()\n"
        "    except RuntimeError as error: print(error)\n"
    )
    first, second, third = out.splitlines()
    assert first == "x False False"
    assert second.startswith("memwatch.start_watching_memory() needs a running IPython")
    assert third.startswith("memwatch.stop_watching_memory() needs a running IPython")


def test_without_the_right_to_reset_it_samples():
    """A process that others may not look into cannot open its own clear_refs."""
    with tempfile.TemporaryDirectory() as folder:
        # Whoever gives up root can no longer read where we are installed.
        os.chmod(folder, 0o755)
        package = Path(memwatch.__file__).parent
        shutil.copytree(package, f"{folder}/memwatch", copy_function=shutil.copyfile)
        out = run_python(
            # All that memwatch imports is in place; of itself a second copy comes.
            "import ctypes, os, sys, memwatch\n"
            "for name in [*sys.modules]:\n"
            "    if name.startswith('memwatch'): del sys.modules[name]\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"  # PR_SET_DUMPABLE
            f"sys.path.insert(0, {folder!r})\n"
            "import memwatch\n"
            "assert not memwatch._core.accuracy()['hwm_resets']\n"
            "print(memwatch._core.accuracy()['hwm_error'])\n"
            "with memwatch.watch() as w:\n"
            "    x = bytearray(b'x') * (256 << 20)\n"
            "    taken = memwatch._core.sampler()['samples']\n"
            "    while memwatch._core.sampler()['samples'] < taken + 3: pass\n"
            "    del x\n"
            "r = w.report\n"
            "print(r.peak_method, r.peak_error_bytes, r.peaked_bytes >> 20)\n"
        )
    why, report = out.splitlines()
    assert why == "Permission denied"
    assert report in ("sampled None 255", "sampled None 256")


def test_failure_to_measure_warns_once_and_does_not_disturb(monkeypatch):
    def fail(*title):
        raise OSError(errno.EMFILE, "cannot open a window: Too many open files")

    monkeypatch.setattr(window, "OpenWindow", fail)
    monkeypatch.setattr(window, "_failure", warn.FailureWarning())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            with memwatch.watch("x") as w:
                ran = True
            assert w.report is None
    assert ran
    assert [each.category for each in told] == [memwatch.MemwatchWarning]
    assert "Too many open files" in str(told[0].message)


def test_warnings_made_errors_do_not_disturb(monkeypatch):
    def fail(*title):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(window, "OpenWindow", fail)
    monkeypatch.setattr(window, "_failure", warn.FailureWarning())
    with memwatch.watch("x") as w:
        pass
    assert w.report is None


def test_out_of_descriptors_in_earnest():
    """A fresh process cannot open what it needs: a warning, and the code runs."""
    out = run_python(
        "import os, resource, warnings\n"
        "import memwatch\n"
        "with memwatch.watch(): pass\n"  # the first window opens its files
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "def take_all():\n"
        "    try:\n"
        "        while True: os.open('/dev/null', os.O_RDONLY)\n"
        "    except OSError: pass\n"
        "take_all()\n"
        "with memwatch.watch('parent') as w: pass\n"  # its files are open
        "print(w.report.label, flush=True)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"  # its files are to be opened anew
        "    take_all()\n"
        "    with warnings.catch_warnings(record=True) as told:\n"
        "        warnings.simplefilter('always')\n"
        "        for _ in range(2):\n"
        "            with memwatch.watch('child') as w: done = 1\n"
        "    for each in told: print(each.message)\n"
        "    print(done, w.report, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    parent, warning, child = out.splitlines()
    assert parent == "parent"
    assert warning.startswith("memwatch stopped measuring: OSError: ")
    assert "Too many open files" in warning
    assert child == "1 None"


def test_sampler_is_one_thread():
    with memwatch.watch():
        pass
    tasks = [
        Path(f"/proc/self/task/{task}/comm").read_text().strip()
        for task in os.listdir("/proc/self/task")
    ]
    assert tasks.count("memwatch") == 1


def test_an_import_changes_nothing_in_the_process():
    # ru_maxrss follows VmHWM once that has been reset, so both stand for the reset.
    run_python(
        """
import mmap, os, resource, sys, threading

def readings():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return {
        "VmHWM": int(status["VmHWM"].split()[0]),
        "maxrss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "threads": sorted(os.listdir("/proc/self/task")),
    }

# A peak that the import's own memory cannot reach.
with mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE) as memory:
    memory.write(b"x" * len(memory))
before = readings()
import memwatch
memwatch.history, memwatch.CellReport, memwatch.watch("never entered")
assert readings() == before, (before, readings())
with memwatch.watch() as w:
    pass
after = readings()
assert w.report.peak_method == "sampled" or after["VmHWM"] < before["VmHWM"]
assert len(after["threads"]) == len(before["threads"]) + 1
"""
    )


def test_threads_that_a_block_leaves_are_counted():
    out = run_python(
        "import threading, memwatch\n"
        "with memwatch.watch() as before: pass\n"
        "stop = threading.Event()\n"
        "with memwatch.watch() as w:\n"
        "    for _ in range(3): threading.Thread(target=stop.wait).start()\n"
        "stop.set()\n"
        "print(w.report.threads - before.report.threads)\n"
    )
    assert out == "3\n"
