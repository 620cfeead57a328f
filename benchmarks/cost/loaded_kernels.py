"""Kernels with and without each tool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.helpers.kernels import Kernel, kernel
from benchmarks.helpers.peers import ROOT, Tool

RESULTS = ROOT / "build/cost"
"""The folder for what the tools write, and for the tables."""


def present(tools: list[Tool]) -> list[Tool]:
    return [tool for tool in tools if not tool.error]


@contextlib.contextmanager
def loaded_kernels(tools: list[Tool]) -> Iterator[dict[str, Kernel]]:
    """A kernel for each, with the tool on, and each tool's kernel without any: "bare"
    and, for those with libraries of their own, "bare of NAME".
    """
    with contextlib.ExitStack() as stack:
        kernels = {}
        for tool in tools:
            running = stack.enter_context(kernel(tool.environment.python))
            running.run(tool.load or "None")
            kernels[tool.name] = running
            bare = bare_name(tool)
            if bare not in kernels:
                kernels[bare] = stack.enter_context(kernel(tool.environment.python))
        yield kernels


def bare_name(tool: Tool) -> str:
    """The kernel that `tool` is compared with: the same libraries, no tool."""
    return f"bare, {tool.environment.name}"
