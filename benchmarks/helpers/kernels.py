"""Real Jupyter kernels on a Python of one's choice."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

IN_KERNEL = Path(__file__).parents[1] / "in_kernel"
"""Modules that the kernels can import."""


class CellError(Exception):
    """The cell raised; the message is its error."""


class Kernel:
    """A kernel and what its process looks like from outside."""

    def __init__(self, python: Path) -> None:
        # Of its own: what killed kernels have left is looked at when memwatch loads.
        self._runtime = tempfile.TemporaryDirectory(prefix="memwatch-bench-")
        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[
                str(python),
                "-m",
                "ipykernel_launcher",
                "--log-level=ERROR",
                # A history in a file is written by a thread of its own, at times.
                "--HistoryManager.enabled=False",
                "-f",
                "{connection_file}",
            ]
        )
        environment = os.environ | {
            "JUPYTER_RUNTIME_DIR": self._runtime.name,
            "PYTHONPATH": str(IN_KERNEL),
            "PYTHONWARNINGS": "ignore",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        self._manager.start_kernel(env=environment)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self.pid: int = self._manager.provisioner.pid

    def run(self, code: str) -> str:
        """What the cell prints. CellError where it raises."""
        shown: list[str] = []

        def keep(message: dict) -> None:
            if message["msg_type"] == "stream":
                shown.append(message["content"]["text"])

        reply = self._client.execute_interactive(code, output_hook=keep, timeout=300)
        content = reply["content"]
        if content["status"] != "ok":
            raise CellError(f"{content.get('ename')}: {content.get('evalue')}")
        return "".join(shown)

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._runtime.cleanup()


@contextlib.contextmanager
def kernel(python: Path) -> Iterator[Kernel]:
    """A fresh one, gone at the end."""
    running = Kernel(python)
    try:
        yield running
    finally:
        running.close()


def seconds_in(printed: str) -> float:
    """What a cell printed by ``print('seconds', ...)``."""
    return float(re.search(r"^seconds ([\d.e-]+)", printed, re.M)[1])
