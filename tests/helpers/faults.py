"""Code for processes in which something fails, and what they print."""

from __future__ import annotations

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


def warnings_in(err: str) -> list[str]:
    """The warnings on stderr, which must hold nothing but warnings of memwatch."""
    lines = [line for line in err.splitlines() if line]
    assert all(line.startswith("memwatch:0: MemwatchWarning: ") for line in lines), err
    return [line.partition("Warning: ")[2] for line in lines]
