"""Connect to a Dask scheduler, and check the memwatch version of its workers."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys
from contextlib import suppress
from typing import Any

from ... import __version__
from ...optional import install_command

_CONNECT_S = 10
CHECK_S = 10
"""Maximum time for the workers to report their version: one may hang."""


class ClusterError(Exception):
    """The cluster cannot run notebooks; one line says what to do."""


def connect(distributed: Any, address: str) -> Any:
    try:
        # Try first: a client that cannot connect takes 20 s to end.
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
    """Check that all workers have this memwatch; later workers are checked by tasks."""
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
    """Its pickle, when loaded, becomes the result of execute(task).

    So a worker without memwatch can receive the task and fail it; with a task that it
    cannot unpickle it would hang.
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def __reduce__(self) -> tuple[Any, ...]:
        from .remote import execute

        return execute, (self._task,)
