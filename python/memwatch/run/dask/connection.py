"""Connecting to a Dask scheduler, and what its workers have installed."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys
from contextlib import suppress
from typing import Any

from ... import __version__
from ...optional import install_command

__all__ = ["CHECK_S", "Call", "ClusterError", "check", "connect", "no_memwatch"]

_CONNECT_S = 10
CHECK_S = 10
"""How long the workers may take to name their version: one of them may hang."""


class ClusterError(Exception):
    """The cluster cannot run notebooks; one line, which says what to do."""


def connect(distributed: Any, address: str) -> Any:
    try:
        # A client that could not even begin would take 20 s to end, so try first.
        asyncio.run(_knock(address))
        return distributed.Client(
            address, timeout=_CONNECT_S, set_as_default=False, name="memwatch"
        )
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"no Dask scheduler responds at {address} ({reason}); use the address that"
            " `dask scheduler` prints"
        ) from None


async def _knock(address: str) -> None:
    comm: Any = importlib.import_module("distributed.comm")
    security: Any = importlib.import_module("distributed.security")
    options = security.Security().get_connection_args("client")
    opened = await comm.connect(address, timeout=_CONNECT_S, **options)
    await opened.close()


def check(client: Any, address: str) -> None:
    """Every worker that is there is to have this memwatch. What comes later is told
    apart by its task.
    """
    found = client.run(importlib.metadata.version, "memwatch", on_error="return")
    for worker, version in sorted(found.items()):
        if isinstance(version, importlib.metadata.PackageNotFoundError):
            raise ClusterError(no_memwatch(worker))
        if isinstance(version, str) and version != __version__:
            raise ClusterError(
                f"the worker {worker} has memwatch {version}, not {__version__};"
                " install the same version on both"
            )
    if not found and sys.stderr is not None:
        with suppress(OSError):
            print(
                f"memwatch: {address} has no worker yet; waiting for one"
                " (Ctrl-C ends it)",
                file=sys.stderr,
            )


def no_memwatch(where: str) -> str:
    return (
        f"the worker {where} has no memwatch: install memwatch {__version__} there,"
        f" and {install_command('dask')}"
    )


class Call:
    """What its pickle becomes, where it is read, is the result of execute(task).

    So that the task itself is read by every worker: one that cannot read what it is
    given, for want of memwatch, would not fail the task, but hang.
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def __reduce__(self) -> tuple[Any, ...]:
        from .remote import execute

        return execute, (self._task,)
