"""Running `memwatch doctor`."""

import subprocess
import sys


def memwatch_command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", *arguments],
        capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip


def doctor(*arguments, **options):
    done = memwatch_command("doctor", *arguments, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
