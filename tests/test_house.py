"""The rules of the house: which room may use which. ARCHITECTURE.md has the plan."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python/memwatch"

# Each room uses rooms above it only.
C_ROOMS = [
    "mw_sample", "mw_cpu_capsule", "mw_clock", "mw_parse", "mw_proc", "mw_cgroup",
    "mw_host", "mw_accuracy", "mw_window", "mw_timeline", "mw_roster", "mw_ticker",
    "mw_sampler", "mw_self", "support_module", "core_module", "host_module",
]  # fmt: skip
PYTHON_ROOMS = [
    "_core", "_host", "report", "lines", "trouble", "watching", "extension", "magics",
    "__init__",
]  # fmt: skip

# Rooms that touch neither files nor threads nor the clock.
PURE_C = {"mw_sample", "mw_parse", "mw_window", "mw_timeline", "mw_roster"}
IO_HEADERS = {"fcntl.h", "unistd.h", "pthread.h", "stdio.h", "sys/mman.h", "time.h"}


def includes(path):
    return re.findall(r'^#include [<"]([^>"]+)[>"]', path.read_text(), re.M)


def test_every_room_is_on_the_plan():
    assert {path.stem for path in CSRC.glob("*.[ch]")} == set(C_ROOMS)
    assert {path.stem for path in PACKAGE.glob("*.py*")} == set(PYTHON_ROOMS)


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
                assert path.stem == "mw_publisher", path.name
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
    for path in [*CSRC.glob("*.[ch]"), *PACKAGE.glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 500, path.name


def test_python_depends_one_way():
    for path in PACKAGE.glob("*.py"):
        above = PYTHON_ROOMS[: PYTHON_ROOMS.index(path.stem)]
        # The package's version is its own, not a room's.
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [a.name for a in node.names]
                for name in names:
                    if name != "__version__":
                        assert name in above, f"{path.name} imports {name}"


def test_only_the_magics_need_ipython():
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text())
        at_import = {
            (node.module or "").split(".")[0]
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
        }
        if path.stem != "magics":
            assert not at_import & {"IPython", "traitlets"}, path.name


def test_nothing_is_needed_to_install():
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r"^dependencies = \[\]$", text, re.M)


def test_versions_agree():
    pattern = r'version(?:__)?(?: =|:) [\'"]([\d.]+)[\'"]'
    versions = {
        re.search(pattern, (ROOT / name).read_text())[1]
        for name in ("pyproject.toml", "meson.build", "python/memwatch/__init__.py")
    }
    assert len(versions) == 1
