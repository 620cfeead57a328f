"""What the stream carries and what it costs.

One writer that records and publishes at 1 kHz for a minute: are all samples received?
And a pure-Python loop in a kernel with recorder and stream on, in turn with both off.
Exits with 1 where a limit is not kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import zmq

from benchmarks.helpers.bootstrap import quotient
from benchmarks.helpers.kernels import kernel, seconds_in
from benchmarks.helpers.limits import failures, limit
from benchmarks.helpers.tables import made_by, markdown

SECONDS = 60
TURNS = 90
LOOP = "print('seconds', workloads.timed('loop'))"


def subscriber(context: zmq.Context, endpoint: str) -> zmq.Socket:
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = 0
    socket.rcvtimeo = 30_000
    socket.subscribe(b"")
    socket.connect(endpoint)
    return socket


def every_sample(writer: str) -> str:
    """One publisher at 1 kHz, one subscriber: the counts."""
    context = zmq.Context()
    with tempfile.TemporaryDirectory() as folder:
        endpoint = f"ipc://{folder}/socket"
        process = subprocess.Popen(
            [writer, f"{folder}/1-1.box", endpoint, str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        socket = subscriber(context, endpoint)
        first = last = json.loads(socket.recv_multipart()[1])["message"]
        process.stdin.write("\n")
        process.stdin.flush()
        received, samples = 1, 0
        while True:
            message = json.loads(socket.recv_multipart()[1])
            received += 1
            last = message["message"]
            if message["kind"] == "sample" and message["cell"] is not None:
                samples += 1
            if message["kind"] == "close":
                break
        told, _ = process.communicate("\n", timeout=30)
        recorded, _, dropped, cpu_ns = map(int, told.split())
    context.destroy(linger=0)
    share = cpu_ns / 1e9 / SECONDS * 100
    limit("samples recorded and not received", recorded - samples, 0, "")
    limit("messages numbered and not received", last - first + 1 - received, 0, "")
    limit("messages counted as dropped", dropped, 0, "")
    print(f"  writer, publisher and libzmq: {share:.1f} % of a core")
    rows = [
        ["samples recorded", str(recorded)],
        ["samples received", str(samples)],
        ["messages counted as dropped", str(dropped)],
        ["writer, publisher and libzmq, share of a core", f"{share:.1f} %"],
    ]
    return markdown([f"one publisher at 1 kHz, {SECONDS} s", ""], rows)


def drain(endpoint: str) -> None:
    """Read what comes, for as long as we live."""
    context = zmq.Context()
    socket = subscriber(context, endpoint)
    socket.rcvtimeo = -1

    def read() -> None:
        while True:
            socket.recv_multipart()

    threading.Thread(target=read, daemon=True).start()


def the_loop() -> str:
    """With recorder and stream on against both off; and off against off."""
    times: dict[str, list[float]] = {"on": [], "off": [], "again": []}
    switch = {
        "on": "%config MemWatch.record = True\n%memwatch publish on",
        "off": "%memwatch publish off\n%config MemWatch.record = False",
    }
    with kernel(Path(sys.executable)) as running:
        running.run("import workloads\n%load_ext memwatch")
        told = running.run("%memwatch publish on")
        drain(told.split("@")[1].split(": ")[0])
        for turn in range(TURNS + 1):
            order = ["on", "off", "again"]
            # Who goes first changes, lest a drifting machine favour one of them.
            order = order[turn % 3 :] + order[: turn % 3]
            for which in order:
                running.run(switch["on" if which == "on" else "off"])
                printed = running.run(LOOP)
                if turn:  # the first makes what the others find
                    times[which].append(seconds_in(printed))
    ours = quotient(times["on"], times["off"])
    noise = quotient(times["again"], times["off"])
    print(f"  off against itself: {noise:.4f}")
    print(f"  recorder and stream on: {ours:.4f}")
    # Within the noise: the intervals overlap.
    most = max(1.005, noise.high + ours.value - ours.low)
    limit("pure-Python loop", ours.value, most, "x")
    rows = [["off against itself", f"{noise:.4f}"], ["on", f"{ours:.4f}"]]
    return markdown(["recorder and stream, a pure-Python loop", "times as long"], rows)


def main() -> int:
    print("every sample ...", flush=True)
    tables = [every_sample(sys.argv[1])]
    print("a loop ...", flush=True)
    tables.append(the_loop())
    text = "\n\n".join([made_by("make bench-stream") + ".", *tables])
    print(f"\n{text}\n")
    print(*(f"not kept: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
