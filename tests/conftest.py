"""Real shells and real kernels."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import chromium
from support import MIB, Kernel, pages, wait_for

# Tests must not write black boxes to the user's own runtime folder.
_runtime = tempfile.TemporaryDirectory(prefix="memwatch-runtime-")
os.environ["JUPYTER_RUNTIME_DIR"] = _runtime.name
os.environ["XDG_RUNTIME_DIR"] = _runtime.name

# nohup ignores SIGHUP, and `&` in a script SIGINT; child processes inherit that, but
# not a handler.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shell() -> Iterator[Any]:
    """A fresh shell without memwatch."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    import memwatch

    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
    ip = InteractiveShell.instance(config=config)
    ip.user_ns["pages"] = pages
    memwatch.history.clear()
    yield ip
    memwatch.unload_ipython_extension(ip)
    InteractiveShell.clear_instance()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter.

    Not in pytest's own, which each start of pytest closes to other users.
    """
    with tempfile.TemporaryDirectory(prefix="memwatch-open-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def bare_kernel() -> Iterator[Kernel]:
    """A kernel without memwatch."""
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel with memwatch loaded by its first cell."""
    kernel = Kernel()
    kernel.run("%load_ext memwatch")
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; without it the test is skipped."""
    with chromium() as started:
        yield started


_GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory cgroup with a limit of 300 MiB."""
    v2 = Path("/sys/fs/cgroup/cgroup.controllers")
    root = v2.parent if v2.exists() else _GROUPS
    folder = root / f"memwatch-test-{os.getpid()}"
    limit, size = ("memory.max" if v2.exists() else "memory.limit_in_bytes"), 300 * MIB
    try:
        folder.mkdir()
        (folder / limit).write_text(str(size))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"cannot create a memory cgroup: {error}")
    swap = folder / ("memory.swap.max" if v2.exists() else "memory.swappiness")
    with contextlib.suppress(OSError):
        swap.write_text("0")
    yield folder

    def removed() -> bool:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    wait_for(removed)
