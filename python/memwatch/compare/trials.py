"""One run of a variant in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .. import _core
from ..command import command
from ..warn import cause_of
from .leak import NO_CACHE, LeakVerdict, judge
from .variants import Variant

_DRIVER = str(Path(__file__).with_name("driver.py"))
_SHOWN_LINES = 12


class TrialError(Exception):
    """A variant failed; the message says how, and what it wrote to stderr."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one run took. Bytes and nanoseconds."""

    kept_bytes: int
    """What the program held at its end, above what its interpreter held before."""
    peak_bytes: int
    """Its highest RSS, above the same."""
    duration_ns: int
    is_exact: bool
    """Whether the peak is the kernel's high-water mark; otherwise it is sampled."""
    result: str | None = None
    """The repr() of its last expression, if it was asked for."""


def run(
    variant: Variant, *, setup: str = "", gross: bool = False, with_result: bool = False
) -> Trial:
    """Run it once. `gross`: with the interpreter's own footprint. TrialError."""
    if variant.kind == "command":
        return _run_command(variant)
    with _driven(variant, setup=setup, with_result=with_result) as driver:
        figures = driver.measure()
        result = driver.receive() if with_result else None
    start = 0 if gross else figures["rss_start_bytes"]
    return Trial(
        kept_bytes=figures["rss_end_bytes"] - start,
        peak_bytes=figures["rss_peak_bytes"] - start,
        duration_ns=figures["duration_ns"],
        is_exact=figures["peak_method"] == "kernel",
        result=result,
    )


def find_leak(
    variant: Variant, runs: int, *, setup: str = "", tell: Callable[[str], None]
) -> LeakVerdict:
    """Run it `runs` times in one process. `tell` gets the progress. TrialError."""
    readings: list[dict[str, int | None]] = []
    with _driven(variant, setup=setup, runs=runs, leak=True) as driver:
        for number in range(1, runs + 1):
            tell(f"run {number} of {runs}: {variant.label}")
            figures = driver.measure()
            heap = json.loads(driver.receive())
            readings.append({**heap, "rss_bytes": figures["rss_end_bytes"]})
        types: dict[str, int] = json.loads(driver.receive())
    return judge(readings, types)


def _run_command(variant: Variant) -> Trial:
    with tempfile.TemporaryFile() as said, open(os.devnull, "r+b") as null:
        streams = (null.fileno(), null.fileno(), said.fileno())
        argv = [variant.text, *variant.arguments]
        try:
            report = command.run(argv, own_group=False, streams=streams)
        except command.NotExecutedError as error:
            failure = TrialError(str(error))
            failure.exit_code = error.exit_code
            raise failure from None
        except OSError as error:
            raise TrialError(f"{variant.label}: {cause_of(error)}") from None
        if report.signal == "SIGINT":
            raise KeyboardInterrupt
        if report.exit_code:
            how = report.signal or f"exit code {report.exit_code}"
            raise TrialError(f"{variant.label} failed: {how}{_end_of(said)}")
    peaks = [report.rss_peak_bytes, report.largest_peak_bytes]
    known = [each for each in peaks if each is not None]
    if report.rss_end_bytes is None or not known:
        raise TrialError(f"{variant.label} ended before it could be measured")
    return Trial(
        kept_bytes=report.rss_end_bytes,
        peak_bytes=max(known),
        duration_ns=report.duration_ns,
        is_exact=report.peak_method == "kernel",
    )


# ---- the driver's process ----


class _Driver:
    """A process that runs driver.py; see there."""

    def __init__(
        self,
        variant: Variant,
        process: Any,
        reading: int,
        writing: int,
        said: IO[bytes],
    ) -> None:
        self._variant = variant
        self._process = process
        self._reading = reading
        self._writing = writing
        self._said = said
        try:
            self._memory = _core.Process(process.pid)
        except OSError as error:
            raise TrialError(f"{variant.label}: {cause_of(error)}") from None

    def measure(self) -> dict[str, Any]:
        """The figures of a window on its next run."""
        self._expect(b"R")
        try:
            window = self._memory.window()
            self._go_on()
            self._expect(b"D")
            closed = window.close()
        except OSError as error:
            raise TrialError(f"{self._variant.label}: {cause_of(error)}") from None
        assert closed is not None  # only a forked child has none
        self._go_on()
        return closed[0]

    def _go_on(self) -> None:
        os.write(self._writing, b".")

    def _expect(self, letter: bytes) -> None:
        got = os.read(self._reading, 1)
        if got == letter:
            return
        if got:
            self._go_on()  # it raised, and ends
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = _end_of(self._said)
        failed = f"{self._variant.label} failed{'' if text else f': {how}'}"
        raise TrialError(failed + text)

    def receive(self) -> str:
        """A text: its length, a newline, and so many bytes."""
        length = b""
        while not length.endswith(b"\n"):
            length += self._read(1)
        content = b""
        while len(content) < int(length):
            content += self._read(int(length) - len(content))
        return content.decode()

    def _read(self, most: int) -> bytes:
        got = os.read(self._reading, most)
        if not got:
            raise TrialError(f"{self._variant.label} ended early{_end_of(self._said)}")
        return got


@contextmanager
def _driven(
    variant: Variant,
    *,
    setup: str,
    runs: int = 1,
    with_result: bool = False,
    leak: bool = False,
) -> Iterator[_Driver]:
    given = {
        "kind": variant.kind,
        "text": variant.text,
        "arguments": variant.arguments,
        "cells": variant.cells,
        "setup": setup,
        "runs": runs,
        "with_result": with_result,
        "leak": leak,
    }
    reading, their_writing = os.pipe()
    their_reading, writing = os.pipe()
    theirs = (their_reading, their_writing)
    argv = [str(variant.interpreter), _DRIVER, *map(str, theirs)]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                argv, pass_fds=theirs, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said,
                # Ctrl-C is for us: we end it.
                start_new_session=True,
                env=os.environ | NO_CACHE if leak else None,
            )  # fmt: skip
        except OSError as error:
            os.close(reading)
            os.close(writing)
            raise TrialError(f"{variant.label}: {cause_of(error)}") from None
        finally:
            os.close(their_reading)
            os.close(their_writing)
        try:
            content = json.dumps(given).encode()
            with open(writing, "wb", closefd=False) as file:
                file.write(b"%d\n%s" % (len(content), content))
            yield _Driver(variant, process, reading, writing, said)
        except BrokenPipeError:
            raise TrialError(f"{variant.label} ended early{_end_of(said)}") from None
        finally:
            os.close(writing)
            process.kill()
            process.wait()
            os.close(reading)


def _end_of(said: IO[bytes]) -> str:
    """What a process wrote to stderr, its end, below the message."""
    said.seek(0)
    lines = said.read().decode(errors="replace").rstrip().splitlines()
    if not lines:
        return ""
    return ":\n" + "\n".join(f"    {each}" for each in lines[-_SHOWN_LINES:])
