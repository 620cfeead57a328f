"""The rules of the house: which room may use which. ARCHITECTURE.md has the plan."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python/memwatch"

# Each room uses rooms above it only.
C_ROOMS = [
    "mw_sample", "mw_cpu_capsule", "mw_clock", "mw_parse", "mw_proc", "mw_trial",
    "mw_group", "mw_cgroup", "mw_host", "mw_accuracy", "mw_subject", "mw_window",
    "mw_timeline", "mw_roster", "mw_box", "mw_place", "mw_copier", "mw_recorder",
    "mw_reader", "mw_scribe", "mw_ticker", "mw_pace", "mw_sampler", "mw_recording",
    "mw_self", "mw_heap", "mw_tree", "mw_family", "mw_wire", "mw_tail", "mw_aside",
    "mw_rescue", "mw_ipcfile", "mw_outlet", "mw_publisher",
    "support_module", "core_state_module", "window_module", "process_module",
    "core_module", "host_module", "trial_module", "heap_module", "children_module",
    "boxes_module", "stream_module",
]  # fmt: skip
PYTHON_ROOMS = [
    "_core", "_host", "_trial", "_heap", "_children", "_boxes", "_stream", "report",
    "lines", "pictures", "plotting", "tables", "kept", "trouble", "files", "optional",
    "machine", "history", "children", "runtime", "boxes", "recording", "endpoints",
    "ipcfile", "keys", "publishing", "postmortem", "watching", "extension", "repeating",
    "commands", "completion", "magics", "__init__", "messages", "processes",
    "columns", "admission", "collector", "overview", "screen", "headless/__init__",
    "headless/results", "headless/extras", "headless/inputs", "headless/parameters",
    "headless/metadata", "headless/excesses", "headless/budgets",
    "headless/baseline", "headless/exports", "headless/curve", "headless/page",
    "headless/summary", "headless/kernels", "headless/progress", "headless/runner",
    "headless/batch", "headless/session", "headless/papermill_engine",
    "headless/attempts", "headless/remote", "headless/cluster", "cli/doctor",
    "cli/keygen", "cli/postmortem", "cli/run", "cli/top", "cli/__init__",
    "__main__",
]  # fmt: skip

# Rooms that touch neither files nor threads nor the clock.
PURE_C = {
    "mw_sample", "mw_parse", "mw_window", "mw_timeline", "mw_roster", "mw_box",
    "mw_wire", "mw_tail",
}  # fmt: skip
IO_HEADERS = {"fcntl.h", "unistd.h", "pthread.h", "stdio.h", "sys/mman.h", "time.h"}


def python_files(pattern="*.py"):
    return [each for each in PACKAGE.rglob(pattern) if each.suffix != ".pyc"]


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(path):
    """The rooms that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            inside = folder / (node.module or "").replace(".", "/")
            for name in [each.name for each in node.names]:
                # The package's version is its own, not a room's.
                if name == "__version__":
                    continue
                if inside.is_dir() and list(inside.glob(f"{name}.py*")):
                    yield room_of(inside / name)
                elif inside.is_dir():
                    yield room_of(inside / "__init__")
                else:
                    yield room_of(inside)


def includes(path):
    return re.findall(r'^#include [<"]([^>"]+)[>"]', path.read_text(), re.M)


def test_every_room_is_on_the_plan():
    assert {path.stem for path in CSRC.glob("*.[ch]")} == set(C_ROOMS)
    assert {room_of(path) for path in python_files("*.py*")} == set(PYTHON_ROOMS)


def test_every_room_is_installed():
    text = (ROOT / "python/meson.build").read_text()
    # Those of a page, too, which are no rooms.
    for path in [*python_files("*.py*"), *PACKAGE.rglob("page.*")]:
        if path.suffix != ".pyc":
            assert f"'memwatch/{path.relative_to(PACKAGE)}'" in text


def test_c_depends_one_way():
    for path in CSRC.glob("*.[ch]"):
        above = C_ROOMS[: C_ROOMS.index(path.stem)]
        for name in includes(path):
            room = name.removesuffix(".h")
            if (CSRC / name).exists() and room != path.stem:
                assert room in above, f"{path.name} includes {name}"


def test_each_library_has_its_room():
    for path in CSRC.glob("*.[ch]"):
        for name in includes(path):
            if name == "Python.h":
                assert path.stem.endswith("_module"), path.name
            if name == "zmq.h":
                assert path.stem == "mw_outlet", path.name
            if name.startswith("libproc2/"):
                assert path.stem in ("mw_host", "mw_tree"), path.name


def test_modules_are_used_by_nobody_and_core_is_free_of_python():
    for path in CSRC.glob("mw_*.[ch]"):
        assert not [name for name in includes(path) if "module" in name], path.name


def test_pure_rooms_are_pure():
    for path in CSRC.glob("*.[ch]"):
        if path.stem in PURE_C:
            assert not IO_HEADERS & set(includes(path)), path.name


def test_no_room_is_too_large():
    for path in [*CSRC.glob("*.[ch]"), *python_files()]:
        assert len(path.read_text().splitlines()) <= 500, path.name


def test_python_depends_one_way():
    seen = set()
    for path in python_files():
        room = room_of(path)
        above = PYTHON_ROOMS[: PYTHON_ROOMS.index(room)]
        for name in imports(path):
            assert name in above, f"{room} imports {name}"
            seen.add((room, name))
    assert ("cli/doctor", "machine") in seen
    assert ("watching", "_core") in seen
    assert ("__main__", "cli/__init__") in seen


def test_heavy_rooms_are_loaded_on_demand():
    """libproc2 weighs 1.1 MiB; few ask what malloc holds, or try things on children."""
    users = {
        name: {room_of(path) for path in python_files() if name in imports(path)}
        for name in ("_host", "_trial", "_heap", "_children", "_stream")
    }
    assert users == {
        "_host": {"magics", "machine"},
        "_trial": {"machine"},
        "_heap": {"commands"},
        "_children": {"children"},
        "_stream": {"keys", "publishing"},
    }
    for path in python_files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert not {each.name for each in node.names} & set(users), path.name


def at_import(path):
    """The packages of others that a room imports as soon as it is imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (each.name.split(".")[0] for each in node.names)


def test_only_the_magics_need_ipython():
    for path in python_files():
        if room_of(path) != "magics":
            assert not {"IPython", "traitlets"} & set(at_import(path)), path.name


def test_only_one_room_writes_files():
    """What is to be whole or not at all is decided once."""
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or room_of(path) == "files":
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in {"write_text", "write_bytes", "mkstemp"}, path.name
            if name == "open":
                given = [*node.args[1:], *(each.value for each in node.keywords)]
                modes = [each.value for each in given if isinstance(each, ast.Constant)]
                assert not {"w", "a", "x", "r+"} & {str(mode) for mode in modes}


def test_only_a_plot_needs_matplotlib():
    for path in python_files():
        if room_of(path) != "plotting":
            assert "matplotlib" not in at_import(path), path.name
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert node.module != "plotting", path.name


def test_only_the_command_needs_click():
    for path in python_files():
        uses = "click" in at_import(path)
        assert uses == room_of(path).startswith("cli/"), path.name


def test_the_screen_and_the_receiving_end_are_loaded_on_demand():
    """textual takes 100 ms; --once needs neither."""
    for path in python_files():
        packages, room = set(at_import(path)), room_of(path)
        assert not {"textual", "rich"} & packages or room == "screen", path.name
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {each.name.split(".")[0] for each in node.names}
                assert "zmq" not in names or room == "collector", path.name
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("screen", "collector"), path.name


def test_click_is_all_that_is_needed():
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^dependencies = \["click>=8.1"\]$', text, re.M)


def test_versions_agree():
    pattern = r'version(?:__)?(?: =|:) [\'"]([\d.]+)[\'"]'
    versions = {
        re.search(pattern, (ROOT / name).read_text())[1]
        for name in ("pyproject.toml", "meson.build", "python/memwatch/__init__.py")
    }
    assert len(versions) == 1
