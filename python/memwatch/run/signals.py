"""Signals that interrupt a run: SIGINT, SIGTERM, SIGHUP."""

from __future__ import annotations

import signal as signals
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """A request to interrupt notebooks; only the first one counts."""

    def __init__(self) -> None:
        self.requested = False
        self._then: Callable[[], None] | None = None

    def request(self) -> None:
        """Request it. Signal handlers may call this."""
        self.requested = True
        self._call()

    def at_request(self, then: Callable[[], None] | None) -> None:
        """Call `then` once at a request, or now if it was made before."""
        self._then = then
        if self.requested:
            self._call()

    def _call(self) -> None:
        # Once: a second SIGHUP, from the shell, would cancel the kernels' shutdown.
        then, self._then = self._then, None
        if then is not None:
            then()


@contextmanager
def interrupting(request: Callable[[], None]) -> Iterator[None]:
    """In the main thread: Ctrl-C, SIGTERM and SIGHUP call `request`.

    SIGHUP stays ignored under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signals.SIGINT, signals.SIGTERM]
    if signals.getsignal(signals.SIGHUP) is not signals.SIG_IGN:
        caught.append(signals.SIGHUP)
    before = [signals.signal(each, lambda *_: request()) for each in caught]
    try:
        yield
    finally:
        for signal, handler in zip(caught, before, strict=True):
            signals.signal(signal, handler)


def ignore_all() -> None:
    """Ignore the three signals, until the process has ended."""
    for each in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP):
        signals.signal(each, signals.SIG_IGN)
