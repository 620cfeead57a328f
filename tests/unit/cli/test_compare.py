"""`memwatch compare`: its options, files and exit codes."""

import csv
import json
import signal
import subprocess

import pytest

from command import MEMWATCH
from support import wait_for

LESS, MORE = "x = bytearray(8 << 20)", "x = bytearray(16 << 20)"


def compare(*arguments, **options):
    return subprocess.run(
        [MEMWATCH, "compare", *map(str, arguments)],
        capture_output=True, text=True, timeout=100, **options,
    )  # fmt: skip


def test_table_and_sentence():
    done = compare("--runs", 3, "-c", MORE, "-c", LESS)
    assert done.returncode == 0, done.stderr
    table, sentence = done.stdout.rstrip().rsplit("\n\n", 1)
    assert sentence.startswith(f"`{LESS}` keeps 50 % less than `{MORE}` (8.0")
    lines = table.splitlines()
    titles = " ".join(lines[0].split())
    assert titles == "median range 95 % interval ratio (95 %)"
    assert lines[1] == "kept at the end (MiB)"
    assert max(map(len, lines)) < 100


def test_order_of_variants(tmp_path):
    (tmp_path / "a.py").write_text("pass")
    done = compare(
        "-r2", "-c", "1", "a.py", "--cmd", "true", "--cmd=true", "-m", "this",
        "--warmup=0", "--json", "-", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(done.stdout)
    labels = [each["label"] for each in found["variants"]]
    assert labels == ["true", "true", "1", "a.py", "-m this"]


def test_files(tmp_path):
    names = {"--export-json": "a.json", "--csv": "new/a.csv", "--markdown": "a.md"}
    options = [word for pair in names.items() for word in pair]
    done = compare("--runs", 2, "-c", LESS, "-c", MORE, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["complete"] is True
    assert len(found["variants"][1]["kept_bytes"]["runs"]) == 2
    assert 1.9 < found["variants"][1]["kept_bytes"]["ratio"]["value"] < 2.1
    with open(tmp_path / "new/a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [each["run"] for each in rows] == ["1", "2", "1", "2"]
    assert int(rows[0]["kept_bytes"]) > 7 << 20
    assert "| variant | kept | peak | time |" in (tmp_path / "a.md").read_text()


def test_chart(tmp_path):
    pytest.importorskip("matplotlib")
    target = tmp_path / "a.svg"
    done = compare("-r2", "-c", LESS, "-c", MORE, "--plot", target)
    assert done.returncode == 0, done.stderr
    assert "svg" in target.read_text()


@pytest.mark.parametrize(
    ("variants", "options", "code"),
    [
        ([LESS, MORE], [], 3),
        ([MORE, LESS], [], 0),
        ([LESS, MORE], ["--tolerance", "memory=95%,peak=0.99"], 3),
        ([LESS, LESS], [], 0),
    ],
)
def test_fail_if_more(variants, options, code):
    words = [word for text in variants for word in ("-c", text)]
    assert compare("-r3", "--fail-if-more", *words, *options).returncode == code


@pytest.mark.parametrize(
    ("words", "text", "code"),
    [
        ([], "no variant given; try: memwatch compare A.py B.py", 2),
        (["-c", "1"], "expected at least two variants", 2),
        (["-c"], "option '-c' needs a value", 2),
        (["-c", "1", "nowhere.py"], "cannot read 'nowhere.py'", 2),
        (["-c", "1", "--cmd", "nonesuch-command"], "command not found", 127),
        (["-c", "1", "--cmd", "/etc/passwd"], "permission denied", 126),
        (["-c1", "-c", "1"], "no such option", 2),
        (
            ["-c", "1", "-c", "2", "--setup", "x ="],
            "--setup: invalid Python code",
            2,
        ),
        (["-c", "1", "-c", "2", "--tolerance", "memory=x"], "invalid 'memory=x'", 2),
        (["-c", "1", "-c", "2", "--tolerance", "size=1%"], "the metrics are", 2),
        (["-c", "1", "-c", "2", "--json", "/proc/x/y"], "--json: cannot write", 2),
        (["-c", "1", "-c", "2", "--plot", "a.gif"], "use .svg, .png or .pdf", 2),
        (["-c", "1", "-c", "2", "--runs", "1"], "1 is not in the range", 2),
        (["--leak", "-c", "1", "-c", "2"], "--leak: expected one Python variant", 2),
        (["--leak", "-c", "1", "-r", "3"], "--leak: expected at least 8 runs", 2),
        (["-r2", "-c", "1 / 0", "-c", "2"], "ZeroDivisionError", 1),
    ],
)
def test_errors(words, text, code):
    done = compare(*words)
    assert done.returncode == code, done.stderr
    assert text.lower() in done.stderr.lower()
    assert done.stderr.count("Traceback") == (code == 1)


def test_full_disk_for_the_figures():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [MEMWATCH, "compare", "-r2", "-c", "1", "-c", "2", "--json", "-"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write stdout: No space left on device" in done.stderr
    assert "kept at the end" in done.stderr


def test_ctrl_c_keeps_the_figures_so_far(tmp_path):
    counter = tmp_path / "count"
    text = f"open({str(counter)!r}, 'a').write('x')\nimport time; time.sleep(0.02)"
    running = subprocess.Popen(
        [MEMWATCH, "compare", "-r", "1000", "-c", text, "-c", "2", "--json", "a.json"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with running:
        try:
            wait_for(lambda: counter.exists() and counter.stat().st_size > 4)
            running.send_signal(signal.SIGINT)
            out, told = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert "memwatch compare: interrupted\nThe figures are partial: of" in told
    assert "Traceback" not in told
    assert "kept at the end" in out
    assert json.loads((tmp_path / "a.json").read_text())["complete"] is False


def test_leak():
    done = compare(
        "--leak",
        "--setup",
        "held = []",
        "-c",
        "held.append(bytes(5000))",
        "--json",
        "-",
    )
    assert done.returncode == 1, done.stderr
    words = done.stderr.split()
    assert words[:2] == ["held.append(bytes(5000)):", "leaks"]
    assert 4.8 < float(words[2]) < 5.3
    assert json.loads(done.stdout)["state"] == "leaks"
    assert compare("--leak", "-c", "x = bytearray(1000)").returncode == 0
