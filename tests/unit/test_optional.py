"""What memwatch does without the libraries of its optional parts."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import memwatch
from memwatch import optional
from support import ROOT, lines_in, run_python, run_python_streams

BIN = Path(sys.executable).parent
BUILT = {"children": "libproc2", "cpu style": "libproc2", "publishing": "libzmq"}
NAMES = list(optional.PARTS)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """memwatch as pip installs it without libproc2 and libzmq: folder and log."""
    needed = ("mesonpy", "ninja", "pip")
    if not (ROOT / "meson.build").exists() or not all(
        importlib.util.find_spec(name) for name in needed
    ):
        pytest.skip("the package cannot be built here")
    folder = tmp_path_factory.mktemp("bare")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-v", "--no-deps", "--no-index",
         "--no-build-isolation", f"--target={folder / 'site'}",
         f"-Cbuild-dir={folder / 'build'}", "-Csetup-args=-Dprocps=disabled",
         "-Csetup-args=-Dstream=disabled", str(ROOT)],
        capture_output=True, text=True, timeout=600, check=False, cwd=folder,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site", done.stdout + done.stderr


@pytest.fixture
def alone(build, tmp_path):
    """The environment of a process that has that memwatch and click, nothing else."""
    import click

    site, _ = build
    shutil.copytree(Path(click.__file__).parent, tmp_path / "click")
    return {
        **{name: value for name, value in os.environ.items() if name != "MEM_LIMIT"},
        "PYTHONPATH": f"{site}:{tmp_path}",
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }


def command(*arguments, env, options=("-S",)):
    return subprocess.run(
        [sys.executable, *options, "-m", "memwatch", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=env,
    )  # fmt: skip


def test_build_reports_missing_parts(build):
    _, log = build
    for name, option in (("children", "procps"), ("cpu style", "procps"),
                         ("publishing", "stream")):  # fmt: skip
        assert re.search(
            rf'^ *{name} *: no: the option "{option}" is disabled$', log, re.M
        ), log


def test_build_names_the_missing_package(tmp_path):
    """As where libproc2 and libzmq are installed, and pkg-config is not."""
    meson = shutil.which("meson", path=str(BIN))
    if meson is None:
        pytest.skip("no meson")
    (tmp_path / "native.ini").write_text("[binaries]\npkg-config = '/bin/false'\n")
    done = subprocess.run(
        [meson, "setup", f"--native-file={tmp_path / 'native.ini'}", "-Dpython=false",
         tmp_path / "build", ROOT],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    log = done.stdout
    assert done.returncode == 0, log + done.stderr
    for name, library, package in (
        ("children", "libproc2", "libproc2-dev"),
        ("cpu style", "libproc2", "libproc2-dev"),
        ("publishing", "libzmq", "libzmq3-dev"),
    ):
        told = rf"no: {library} was not found \(apt-get install {package} pkg-config\)"
        assert re.search(rf"^ *{name} *: {told}$", log, re.M), log


def test_doctor_lists_every_part_that_is_missing(alone):
    done = command("doctor", env=alone)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-len(NAMES) :]
    told = {line[:11].strip(): line[12:] for line in lines}
    assert list(told) == NAMES
    for name, library in BUILT.items():
        package = {"libproc2": "libproc2-dev", "libzmq": "libzmq3-dev"}[library]
        option = {"libproc2": "procps", "libzmq": "stream"}[library]
        assert told[name] == (
            f"no: memwatch was built without {library}; install:"
            f" apt-get install {package} pkg-config && pip install --force-reinstall"
            f" --no-deps -Csetup-args=-D{option}=enabled . (in the source folder of"
            " memwatch)"
        )
    assert told["run"] == (
        "no: jinja2, msgspec, nbclient, nbformat, rich not installed; install:"
        " pip install jinja2 msgspec nbclient nbformat rich"
    )
    assert told["data frames"] == (
        "no: pandas, polars not installed; install:"
        " pip install pandas or pip install polars"
    )
    assert all(each.startswith("no: ") for each in told.values())


def test_doctor_has_the_same_as_data(alone):
    found = json.loads(command("doctor", "--json", env=alone).stdout)["optional"]
    assert list(found) == NAMES
    for part in found.values():
        assert part["available"] is False
        assert part["why"]
        assert part["install"].startswith(("apt-get install ", "pip install "))
    assert found["children"]["libraries"] == ["libproc2"]
    assert found["top"]["libraries"] == ["textual", "pyzmq"]
    assert found["top"]["install"] == "pip install textual pyzmq"


def test_parts_are_available_with_their_libraries():
    out = run_python(
        "from memwatch.cli import main\nmain(['doctor', '--json'])\n",
    )
    found = json.loads(out)["optional"]
    for name, part in found.items():
        modules = getattr(optional.PARTS[name], "modules", ())
        if name in BUILT:
            there = importlib.util.find_spec(
                f"memwatch.{optional.PARTS[name].extension}"
            )
        elif name == "data frames":
            there = any(map(importlib.util.find_spec, modules))
        else:
            there = all(map(importlib.util.find_spec, modules))
        assert part["available"] == bool(there), name
        assert (part["why"] is None) == part["available"], name


def test_machine_memory_is_known_without_libproc2(alone):
    found = json.loads(command("doctor", "--json", env=alone).stdout)
    text = Path("/proc/meminfo").read_text()
    (total,) = re.findall(r"^MemTotal: +(\d+) kB", text, re.M)
    assert found["memory"]["total_bytes"] == int(total) * 1024
    assert 0 < found["memory"]["available_bytes"] <= int(total) * 1024
    assert not [name for name in found["why"] if name.startswith("memory.")]


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("%memwatch style cpu", "cpu style"),
        ("%config MemWatch.style = 'cpu'", "cpu style"),
        ("%config MemWatch.children = True", "children"),
        ("%memwatch publish on", "publishing"),
        ("%config MemWatch.publish = 'on'", "publishing"),
    ],
)
def test_missing_extension_names_the_install_command(build, tmp_path, typed, part):
    site, _ = build
    out, err = run_python_streams(
        "from traitlets.config import Config\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "config = Config({'HistoryManager': {'enabled': False}})\n"
        "ip = InteractiveShell.instance(config=config)\n"
        "ip.run_cell('%load_ext memwatch')\n"
        "import memwatch; print(memwatch.__file__)\n"
        f"ip.run_cell({typed!r})\n"
        "ip.run_cell('x = 1', store_history=True)\n",
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "JUPYTER_RUNTIME_DIR": str(tmp_path),
        },
    )
    assert str(site) in out
    told = f"memwatch was built without {BUILT[part]}: apt-get install lib"
    assert told in out + err
    assert "cannot import name" not in out + err
    assert "Traceback" not in out + err
    # Measured all the same, in the style that was set before.
    assert lines_in(out.splitlines()[-1])


def test_commands_without_their_libraries_name_the_install_command(alone, tmp_path):
    notebook = tmp_path / "a.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
    for arguments, told in (
        (["run", str(notebook)], "pip install jinja2 msgspec nbclient nbformat rich"),
        (["top", "--once", "--bind", "tcp://127.0.0.1:0"], "pip install textual pyzmq"),
        (["keygen", "own"], "memwatch was built without libzmq: apt"),
    ):
        done = command(*arguments, env=alone)
        assert done.returncode != 0
        assert told in done.stderr, arguments
        assert "Traceback" not in done.stderr
        assert "memwatch[" not in done.stderr


def test_library_removed_after_the_build(build, tmp_path):
    """The wheel of another machine: the module is there, libproc2.so is not."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    site, _ = build
    shutil.copytree(site / "memwatch", tmp_path / "memwatch")
    gone = tmp_path / "libgone.so"
    source = tmp_path / "a.c"
    source.write_text("int gone(void) { return 0; }\n")
    subprocess.run(["cc", "-shared", "-o", gone, source], check=True, timeout=60)
    source.write_text("int gone(void); int uses(void) { return gone(); }\n")
    suffix = next((site / "memwatch").glob("_core.*so")).name.removeprefix("_core")
    module = tmp_path / "memwatch" / f"_procps{suffix}"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", module, source, gone], check=True, timeout=60
    )
    gone.unlink()
    out = run_python(
        "from memwatch.optional import describe_missing\n"
        "print(describe_missing('cpu style'))\n",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert "libgone.so: cannot open shared object file" in out
    assert out.endswith(": apt-get install libproc2-0\n")


def test_commands_name_the_libraries_that_the_extras_name():
    """pyproject.toml says which versions, and has nothing else."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def libraries(extra):
        for each in extras[extra]:
            name = re.match(r"[\w-]+(?:\[(\w+)\])?", each)
            yield from libraries(name[1]) if name[1] else [name[0]]

    for name, part in optional.PARTS.items():
        if name == "data frames":
            assert set(part.libraries) <= set(extras)
        elif name not in BUILT:
            assert set(part.libraries) == set(libraries(name)), name


def test_no_message_and_no_page_names_an_extra():
    """The distribution is not registered: what is in brackets cannot be had."""
    package = Path(memwatch.__file__).parent
    pages = [ROOT / "README.md", ROOT / "MIGRATION.md", *(ROOT / "docs").glob("*.md")]
    for path in [*package.rglob("*.py"), *pages]:
        assert not re.search(r"memwatch\[[a-z]", path.read_text()), path.name
