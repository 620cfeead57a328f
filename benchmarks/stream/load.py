"""Many kernels that report to one collector, over loopback: is anything lost, and what
does it take? The kernels are simulated (fleet.c), the collector is the command itself.

Before it is measured all send at the full rate for a while: of each connection's queue
libzmq keeps two blocks of 256 frames, and has the second when the first is full, which
at 10 Hz takes 13 s.

usage: load.py FLEET [--kernels=2000] [--hz=10] [--seconds=60] [--warm-seconds=30]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.helpers.process import cpu_ns, descriptors, rss_bytes, threads

FLEETS = 4
"""Processes that share the kernels."""


class Collector:
    """`memwatch top --bind ... --json`, and what it says."""

    def __init__(self, folder: Path, *options: str) -> None:
        environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(folder)}
        self.process = subprocess.Popen(
            [Path(sys.executable).parent / "memwatch", "top", "--json",
             "--bind=tcp://127.0.0.1:*", *options],
            stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        self.pid = self.process.pid
        self.refreshes = 0
        self._newest = b""
        self._there = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._there:
                self._newest = line
                self.refreshes += 1
                self._there.notify_all()

    def look(self, after: int | None = None) -> dict:
        """The next refresh, decoded: only what is asked for costs us anything."""
        with self._there:
            seen = self.refreshes if after is None else after
            if not self._there.wait_for(lambda: self.refreshes > seen, timeout=30):
                raise TimeoutError("the collector says nothing any more")
            line = self._newest
        return json.loads(line)

    def wait_until(self, wanted, timeout_s: float) -> dict:
        """The first refresh that is as `wanted`."""
        until = time.monotonic() + timeout_s
        while not wanted(seen := self.look()):
            if time.monotonic() > until:
                raise TimeoutError(str(seen["stream"]))
        return seen

    def close(self) -> int:
        """As Ctrl-C does."""
        self.process.send_signal(2)
        return self.process.wait(timeout=30)


def run(given: argparse.Namespace, folder: Path) -> bool:
    kernels, hz, seconds = given.kernels, given.hz, given.seconds
    in_all = str(seconds + given.warm_seconds)
    collector = Collector(folder)
    endpoint = collector.look()["stream"]["endpoint"]
    empty_bytes = rss_bytes(collector.pid)
    share = kernels // FLEETS
    fleets = [
        subprocess.Popen(
            [given.fleet, endpoint, str(each * share), str(share), str(hz), in_all],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        for each in range(FLEETS)
    ]  # fmt: skip
    kernels = share * FLEETS
    try:
        collector.wait_until(lambda seen: len(seen["processes"]) == kernels, 60)
        print(f"{kernels} kernels at {hz} Hz for {seconds} s, seen by one collector")
        for each in fleets:
            each.stdin.write("go\n")
        time.sleep(given.warm_seconds)
        print(f"  at its beginning: {rss_bytes(collector.pid) / 2**20:.1f} MiB")
        begin, spent = time.monotonic(), cpu_ns(collector.pid)
        shown, sizes = collector.refreshes, []
        step = seconds / 6
        for part in range(1, 7):
            before, since = cpu_ns(collector.pid), time.monotonic()
            time.sleep(max(0.0, begin + part * step - since))
            share_ns = cpu_ns(collector.pid) - before
            core = share_ns / ((time.monotonic() - since) * 1e9)
            sizes.append(rss_bytes(collector.pid))
            print(
                f"  after {part * step:3.0f} s: {sizes[-1] / 2**20:.1f} MiB,"
                f" {100 * core:.1f} % of a core"
            )
        took = time.monotonic() - begin
        states = threads(collector.pid), descriptors(collector.pid)
        core = (cpu_ns(collector.pid) - spent) / (took * 1e9)
        shown = collector.refreshes - shown
        sent = [int(n) for each in fleets for n in each.stdout.readline().split()]
        seen = collector.wait_until(
            lambda seen: [each["message"] for each in _in_order(seen)] == sent, 20
        )
    finally:
        for each in fleets:
            each.stdin.close()
            each.wait(timeout=30)
    told = seen["stream"]
    lost = sum(each["lost"] for each in seen["processes"])
    ended = collector.close()
    grown = sizes[-1] - sizes[0]
    print(f"sent {sum(sent):,}, received {told['received']:,}")
    print(f"lost {lost}, refused {told['refused']}, restarts {told['restarts']}")
    print(f"{100 * core:.1f} % of a core, {shown / took:.2f} refreshes a second")
    print(
        f"  {empty_bytes / 2**20:.1f} MiB with nobody, then {sizes[0] / 2**20:.1f},"
        f" {grown / 2**10:+.0f} KiB from the first look to the last;"
        f" {states[0]} threads, {states[1]} descriptors"
    )
    return (
        lost == told["refused"] == told["restarts"] == ended == 0
        and core < 0.5
        and abs(grown) < 4 * 2**20
    )


def _in_order(seen: dict) -> list[dict]:
    return sorted(seen["processes"], key=lambda each: each["kernel_id"])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("fleet")
    parser.add_argument("--kernels", type=int, default=2000)
    parser.add_argument("--hz", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--warm-seconds", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fine = run(given, Path(folder))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
