"""`memwatch exec`: streams, exit codes, files, signals, terminals."""

import json
import os
import signal
import subprocess

import pexpect
import pytest

from command import MEMWATCH
from support import MIB, wait_for


def execute(*arguments, **options):
    return subprocess.run(
        [MEMWATCH, "exec", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, **options,
    )  # fmt: skip


def test_streams_and_report():
    done = execute("cat", input="hello\n")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    title, *rows = done.stderr.splitlines()
    assert title == "memwatch exec: cat"
    names = [each[2:14].strip() for each in rows]
    assert names == ["peak", "at the end", "time"]


def test_options_of_the_command_are_its_own():
    done = execute("sh", "-c", "echo $0 $1", "--json", "-x")
    assert done.stdout == "--json -x\n"
    assert execute("--", "echo", "--plot").stdout == "--plot\n"


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["sh", "-c", "exit 3"], 3, "exit code 3"),
        (["sh", "-c", "kill -9 $$"], 137, "ended by SIGKILL"),
        (["nonesuch-command"], 127, "'nonesuch-command': command not found"),
        (["/etc/passwd"], 126, "cannot execute '/etc/passwd': permission denied"),
        ([], 2, "no command given; try: memwatch exec -- COMMAND"),
        (["--nonesuch"], 127, "cannot execute '--nonesuch': command not found"),
    ],
)
def test_exit_codes(argv, code, text):
    done = execute(*argv)
    assert done.returncode == code
    assert text in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_json(tmp_path):
    target = tmp_path / "new/report.json"
    done = execute("--json", target, "sh", "-c", "exit 4")
    assert done.returncode == 4
    report = json.loads(target.read_text())
    assert report["command"] == ["sh", "-c", "exit 4"]
    assert report["exit_code"] == 4
    assert 0 < report["rss_end_bytes"] <= report["rss_peak_bytes"] < 64 * MIB
    assert report["timeline"]["t_ns"]


def test_chart(tmp_path):
    pytest.importorskip("matplotlib")
    done = execute("--plot", tmp_path / "a.svg", "true")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--json", "/proc/nowhere/a.json"], "--json: cannot write"),
        (["--plot", "a.gif"], "use .svg, .png or .pdf"),
        (["--plot", "/proc/nowhere/a.svg"], "--plot: cannot write"),
    ],
)
def test_files_are_checked_before_the_command_runs(tmp_path, options, text):
    done = execute(*options, "touch", "ran", cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert not (tmp_path / "ran").exists()


def test_process_that_goes_on():
    done = execute("sh", "-c", "sleep 60 <&- >&- 2>&- & echo $!")
    left = int(done.stdout)
    try:
        assert "still running" in done.stderr
        os.kill(left, 0)
    finally:
        os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("options", [[], ["--no-trace"]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(tmp_path, options, number):
    script = (
        f"trap 'echo got; exit 9' {number.name[3:]}; echo > ready;"
        " while :; do sleep 0.02; done"
    )
    running = subprocess.Popen(
        [MEMWATCH, "exec", *options, "sh", "-c", script], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with running:
        try:
            wait_for(lambda: (tmp_path / "ready").exists())
            running.send_signal(number)
            out, told = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (out, running.returncode) == ("got\n", 9), told


def test_ctrl_c_reaches_the_command_once():
    script = "trap 'echo got' INT; echo ready; sleep 5; sleep 0.1; exit 6"
    shown = pexpect.spawn(
        MEMWATCH, ["exec", "sh", "-c", script], encoding="utf-8", timeout=60
    )
    shown.expect("ready")
    shown.sendintr()
    text = shown.read()
    shown.close()
    assert shown.exitstatus == 6
    assert text.count("got\r\n") == 1
    assert "exit code" in text


def test_job_control():
    """Ctrl-Z stops the job, and fg continues it."""
    shell = pexpect.spawn("bash", ["--norc", "-i"], encoding="utf-8", timeout=60)
    shell.sendline("PS1='P''> '")
    shell.expect("P> ")
    shell.sendline(f'{MEMWATCH} exec sh -c \'echo rea""dy; read x; echo do""ne\'')
    shell.expect("ready")
    shell.sendcontrol("z")
    shell.expect("Stopped")
    shell.expect("P> ")
    shell.sendline("fg")
    shell.expect("exec")
    shell.sendline("")
    shell.expect("done")
    shell.expect("at the end")
    shell.expect("P> ")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
