"""The command `memwatch` and its sub-commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import memwatch
from command import memwatch_command
from support import run_python


def test_version():
    done = memwatch_command("--version")
    assert (done.returncode, done.stdout) == (0, f"memwatch {memwatch.__version__}\n")


def test_help_names_every_sub_command():
    done = memwatch_command("--help")
    assert done.returncode == 0
    assert re.search(r"^  doctor +Report what .*[^.]\.$", done.stdout, re.M)
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert "bug report" in memwatch_command("doctor", "-h").stdout.replace("\n  ", " ")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["doktor"], "unknown command 'doktor': did you mean 'doctor'?"),
        (["xyzzy"], "unknown command 'xyzzy': expected one of: compare, "),
        (["doctor", "--jsn"], "--json"),
        (["doctor", "now"], "now"),
        (["--nothing"], "--nothing"),
    ],
)
def test_wrong_usage(typed, told):
    done = memwatch_command(*typed)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_sub_commands_are_loaded_when_they_are_called():
    out = run_python(
        "import sys, memwatch.cli\nprint('memwatch.cli.doctor' in sys.modules)\n"
    )
    assert out == "False\n"


def test_script_is_installed():
    script = Path(sys.executable).parent / "memwatch"
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"memwatch {memwatch.__version__}\n"


@pytest.mark.parametrize(
    "command", ["doctor", "doctor --json", "postmortem", "top --once", "keygen --help"]
)
def test_a_full_stdout_is_one_line_and_exit_2(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memwatch", *command.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == ("Error: cannot write to stdout: No space left on device\n")
