"""Loading, unloading and reloading, with one shell or two in a process."""

import os

import pytest
from IPython.core.interactiveshell import InteractiveShell

import memwatch
from memwatch.blackbox import recording
from memwatch.stream import publishing
from shells import open_windows, run_cell
from support import check_python, readable_copy, run_python_streams


def test_loading_and_starting_are_idempotent(ip, capsys):
    ip.run_line_magic("load_ext", "memwatch")
    memwatch.load_ipython_extension(ip)
    memwatch.start_watching_memory()
    ip.run_line_magic("memwatch", "on")
    assert len(run_cell(ip, "pass", capsys)) == 1


def test_reload_ext(ip, capsys):
    (line,) = run_cell(ip, "%reload_ext memwatch", capsys)
    assert line.n == 1
    assert len(run_cell(ip, "pass", capsys)) == 1


def test_stop_and_unload_without_load(shell, capsys):
    memwatch.stop_watching_memory()
    memwatch.unload_ipython_extension(shell)
    assert run_cell(shell, "pass", capsys) == []


def test_stop_and_start(ip, capsys):
    assert run_cell(ip, "memwatch = __import__('memwatch')", capsys)
    assert run_cell(ip, "memwatch.stop_watching_memory()", capsys) == []
    assert run_cell(ip, "pass", capsys) == []
    assert open_windows() == 0
    assert len(run_cell(ip, "memwatch.start_watching_memory()", capsys)) == 1


def test_unloading_removes_everything(ip, capsys):
    assert run_cell(ip, "%unload_ext memwatch", capsys) == []
    assert run_cell(ip, "pass", capsys) == []
    assert open_windows() == 0
    assert "memwatch" not in ip.magics_manager.magics["line"]
    assert "MemWatch" not in [type(each).__name__ for each in ip.configurables]
    assert len(run_cell(ip, "%load_ext memwatch", capsys)) == 1


def test_off_and_on(ip, capsys):
    ip.run_cell("%memwatch off", store_history=True)
    answer = "not watching; to watch again: %memwatch on\n"
    assert capsys.readouterr().out == answer
    assert run_cell(ip, "pass", capsys) == []
    ip.run_cell("%memwatch on", store_history=True)
    assert capsys.readouterr().out == "watching every cell\n"
    assert len(run_cell(ip, "pass", capsys)) == 1


def test_reloaded_modules_continue():
    # In another process: other tests here keep references to the old classes.
    check_python("""
import importlib, sys
from importlib.machinery import SourceFileLoader
from IPython.core.interactiveshell import InteractiveShell
import memwatch
from memwatch.stream import publishing; from memwatch.blackbox import recording
ip = InteractiveShell.instance()
def run(code):
    assert ip.run_cell(code, store_history=True).success, code
run("%load_ext memwatch")
run("%memwatch publish on")
run("pass")
kept, box = memwatch.history, recording.box_path()
count = len(kept)
names = [name for name in sys.modules if name.startswith("memwatch.")]
for name in sorted(names, key=lambda name: not name.startswith("memwatch._")):
    if isinstance(sys.modules[name].__spec__.loader, SourceFileLoader):
        importlib.reload(sys.modules[name])
importlib.reload(memwatch)
assert memwatch.history is kept
assert recording.box_path() == box
run("pass")
assert len(kept) == count + 1
assert "messages" in publishing.describe()
run("%unload_ext memwatch")
assert recording.box_path() is None
assert not box.exists()
assert publishing.status() is None
run("pass")
assert len(kept) == count + 1
""")


def test_autoreload_of_changed_files(open_folder):
    folder = readable_copy(open_folder)
    script = """
import os, sys, glob
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
def run(code):
    assert ip.run_cell(code, store_history=True).success, code
run("%load_ext autoreload")
run("%autoreload 2")
run("%load_ext memwatch")
run("import memwatch")
from memwatch.blackbox import recording
box = recording.box_path()
assert box.exists()
package = os.path.dirname(sys.modules["memwatch"].__file__)
for path in glob.glob(package + "/**/*.py", recursive=True):
    with open(path, "a") as file:
        file.write("\\nfor changed in range(3): pass\\n")
    os.utime(path, (2e9, 2e9))
before = len(sys.modules["memwatch"].history)
run("pass")
run("pass")
assert sys.modules["memwatch.measure.window"].changed
assert len(sys.modules["memwatch"].history) == before + 2, "lost"
assert sys.modules["memwatch.blackbox.recording"].box_path() == box
run("%unload_ext memwatch")
assert not box.exists()
run("%load_ext memwatch")
run("%reload_ext memwatch")
assert len(sys.modules["memwatch"].history) > before
run("%unload_ext memwatch")
"""
    out, err = run_python_streams(
        script,
        env={**os.environ, "PYTHONPATH": str(folder), "IPYTHONDIR": str(folder)},
    )
    assert "Traceback" not in out + err
    assert "reload" not in err


def test_services_stop_with_the_last_shell(ip, capsys):
    """An inner shell, as embed() makes it, loads and unloads memwatch."""
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    ip.magics_manager.registry["MemWatch"].children = True
    ip.run_line_magic("memwatch", "style cpu")
    run_cell(ip, "%memwatch publish on", capsys)
    box = recording.box_path()
    inner = InteractiveShell(config=ip.config)
    run_cell(inner, "%load_ext memwatch", capsys)
    run_cell(inner, "%memwatch style cpu", capsys)
    run_cell(inner, "%memwatch style classic", capsys)
    assert len(run_cell(inner, "pass", capsys)) == 1
    run_cell(inner, "%unload_ext memwatch", capsys)
    assert run_cell(inner, "pass", capsys) == []
    assert recording.box_path() == box
    assert box.exists()
    assert publishing.status()["alive"]
    ip.run_cell("import time; time.sleep(0.2)", store_history=True)
    report = memwatch.history[-1]
    assert report.system_mean_cpu_percent is not None
    assert report.children_count is not None
    run_cell(ip, "%unload_ext memwatch", capsys)
    assert recording.box_path() is None
    assert not box.exists()
    assert publishing.status() is None
    memwatch.load_ipython_extension(ip)
    run_cell(ip, "pass", capsys)
    assert memwatch.history[-1].children_count is None


def test_cell_of_an_inner_shell_has_a_report(ip, capsys):
    inner = InteractiveShell(config=ip.config)
    memwatch.load_ipython_extension(inner)
    ip.user_ns["inner"] = inner
    lines = run_cell(ip, "_ = inner.run_cell('y = 1', store_history=True)", capsys)
    memwatch.unload_ipython_extension(inner)
    assert [line.n for line in lines] == [1, 1]
    assert [report.source for report in memwatch.history][-2] == "y = 1"
