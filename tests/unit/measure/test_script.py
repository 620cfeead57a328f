"""`python -m memwatch script.py`."""

import os
import re
import signal
import subprocess
import sys

import pytest

from support import UNTIL_INTERRUPTED

LINE = re.compile(
    r"^script\.py used (-?\d+\.\d{4}) MiB RAM in \d+\.\d\ds, peaked \d+\.\d\d MiB above"
    r" current, total RAM usage \d+\.\d\d MiB$",
    re.M,
)


@pytest.fixture
def run_script(tmp_path):
    def run(text, *arguments, code=0):
        path = tmp_path / "script.py"
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "memwatch", str(path), *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    return run


def test_script_is_measured_and_keeps_its_streams(run_script):
    done = run_script("x = b'x' * (64 << 20)\nprint('out')", code=0)
    assert done.stdout == "out\n"
    (line,) = done.stderr.splitlines()
    assert abs(float(LINE.match(line)[1]) - 64) < 1


def test_script_runs_as_python_runs_it(run_script, tmp_path):
    (tmp_path / "beside.py").write_text("here = 1")
    done = run_script(
        "import sys, beside\n"
        "import multiprocessing, pickle\n"
        "class A: pass\n"
        "def work(x): return x + 1\n"
        "if __name__ == '__main__':\n"  # a spawned worker imports it by another name
        "    assert sys.modules['__main__'].beside is beside\n"
        "    assert __file__ == sys.argv[0] and __spec__ is None\n"
        "    assert 'click' not in sys.modules and 'IPython' not in sys.modules\n"
        "    pickle.loads(pickle.dumps(A()))\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(work, [1]), sys.argv[1:])\n",
        "-v", "x y",
    )  # fmt: skip
    assert done.stdout == "[2] ['-v', 'x y']\n"


@pytest.mark.parametrize(
    ("text", "code", "shown"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("raise SystemExit('stop')", 1, "stop"),
        ("def f(): 1 / 0\nf()", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_script_that_fails_has_a_line(run_script, text, code, shown):
    done = run_script(text, code=code)
    assert LINE.search(done.stderr)
    assert shown in done.stderr
    assert "memwatch/" not in done.stderr  # no frame of ours


def test_script_that_cannot_run(run_script, tmp_path):
    done = run_script("x = (", code=1)
    assert "SyntaxError" in done.stderr
    assert not LINE.search(done.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "memwatch", "missing.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    expected = "memwatch: cannot read 'missing.py': No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_interrupted_script_ends_by_the_signal(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(f"print('ready', flush=True)\n{UNTIL_INTERRUPTED}")
    with subprocess.Popen(
        [sys.executable, "-m", "memwatch", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert len(LINE.findall(err)) == 1
