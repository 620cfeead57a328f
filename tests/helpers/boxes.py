"""Black boxes of killed processes."""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import datetime

from click.testing import CliRunner

from memwatch.blackbox.folders import runtime_folder
from memwatch.cli import main
from support import (
    Kernel,
)


@contextlib.contextmanager
def new_kernel():
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["postmortem", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def report(*arguments):
    return json.loads(run("--json", *arguments))


def gone(pid):
    found = report(pid)
    return found if found["alive"] is False else None


def put_dead_box(content, name="999999999-1.box", **patched):
    # struct mw_box_head: its figures of 8 bytes; the identity begins with the pid.
    names = ["boot_ahead_ns", "real_ahead_ns", "t_ended_ns", "pid", "start_ticks",
             "pid_namespace", "time_namespace", "parent_pid", "session_id", "uid",
             "t_mono_ns", "t_real_ns"]  # fmt: skip
    start = content.index(os.getpid().to_bytes(8, "little"), 40)
    for field, value in patched.items():
        place = start + 8 * (names.index(field) - names.index("pid"))
        content[place : place + 8] = value.to_bytes(8, "little", signed=True)
    runtime_folder().mkdir(exist_ok=True)
    gone = runtime_folder() / name
    gone.write_bytes(content)
    return gone


def seconds_since(date):
    moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    return time.time_ns() / 1e9 - moment.timestamp()
