"""The architecture: which folder may use which. ARCHITECTURE.md explains it."""

import ast
import re

from support import ROOT

CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python/memwatch"
# Folders of limited size. The inputs of tests are not limited.
SOURCES = [CSRC, PACKAGE, ROOT / "tests", ROOT / "benchmarks"]
INPUTS = ROOT / "tests/data"

# A folder uses the folders before it only. "": the files beside the folders.
C_FOLDERS = [
    "base",
    "linux",
    "window",
    "blackbox",
    "sampler",
    "stream",
    "command",
    "heap",
    "python",
]
PYTHON_FOLDERS = [
    "", "display", "measure", "blackbox", "stream", "run", "command", "compare",
    "holders", "statements", "ipython", "top", "cli",
]  # fmt: skip

# Files that do no I/O, start no threads and read no clock.
PURE_C = {
    "base/date.h", "base/date.c", "base/sample.h", "linux/parse.h", "linux/parse.c",
    "blackbox/layout.h", "blackbox/layout.c",
    "stream/message_json.h", "stream/message_json.c",
    "stream/follower.h", "stream/follower.c",
}  # fmt: skip
IO_HEADERS = {"fcntl.h", "unistd.h", "pthread.h", "stdio.h", "sys/mman.h", "time.h"}


# A report displays itself, as its repr().
DISPLAYS_ITSELF = ("report", "display/tables")


def c_files():
    return sorted([*CSRC.rglob("*.[ch]")])


def python_files(pattern="*.py"):
    return sorted(each for each in PACKAGE.rglob(pattern) if each.suffix != ".pyc")


def c_name(path):
    return path.relative_to(CSRC).as_posix()


def module_of(path):
    """`display/lines` for python/memwatch/display/lines.py."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def folder_of(name):
    return name.partition("/")[0] if "/" in name else ""


def imports(path):
    """The memwatch modules that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            inside = folder / (node.module or "").replace(".", "/")
            for name in [each.name for each in node.names]:
                # The package's version is its own, not a module's.
                if name == "__version__":
                    continue
                if inside.is_dir() and list(inside.glob(f"{name}.py*")):
                    yield module_of(inside / name)
                elif inside.is_dir():
                    yield module_of(inside / "__init__")
                else:
                    yield module_of(inside)


def includes(path):
    return re.findall(r'^#include [<"]([^>"]+)[>"]', path.read_text(), re.M)


def test_every_file_is_in_a_folder_of_the_plan():
    assert {folder_of(c_name(path)) for path in c_files()} == set(C_FOLDERS)
    folders = {folder_of(module_of(path)) for path in python_files()}
    assert folders == set(PYTHON_FOLDERS)


def test_every_file_is_built_or_installed_by_its_folder():
    for path in [*CSRC.rglob("*.c"), *PACKAGE.rglob("*")]:
        if path.suffix in {".c", ".py", ".pyi", ".css", ".html", ".js"}:
            assert f"'{path.name}'" in (path.parent / "meson.build").read_text(), path


def source_folders():
    for top in SOURCES:
        for folder in [top, *(each for each in top.rglob("*") if each.is_dir())]:
            if folder.name != "__pycache__" and INPUTS not in [folder, *folder.parents]:
                yield folder


def test_folders_are_small_enough_to_read():
    for folder in source_folders():
        files = [each for each in folder.iterdir() if each.is_file()]
        assert len(files) <= 15, folder


def test_c_depends_one_way():
    for path in c_files():
        allowed = C_FOLDERS[: C_FOLDERS.index(folder_of(c_name(path))) + 1]
        for name in includes(path):
            if (CSRC / name).exists():
                assert folder_of(name) in allowed, f"{c_name(path)} includes {name}"


def test_each_library_has_its_folder():
    for path in c_files():
        name = c_name(path)
        for header in includes(path):
            if header == "Python.h":
                assert name.startswith("python/"), name
            if header == "zmq.h":
                assert name.startswith("stream/"), name
            if header.startswith("libproc2/"):
                assert name.startswith("linux/procps/"), name


def test_pure_files_are_pure():
    pure = {c_name(path) for path in c_files() if c_name(path).startswith("window/")}
    for name in PURE_C | pure:
        assert not IO_HEADERS & set(includes(CSRC / name)), name


def test_no_file_is_too_long():
    for folder in source_folders():
        for path in [*folder.glob("*.[ch]"), *folder.glob("*.py")]:
            assert len(path.read_text().splitlines()) <= 400, path


def test_python_depends_one_way():
    seen = set()
    for path in python_files():
        module = module_of(path)
        last = PYTHON_FOLDERS.index(folder_of(module))
        for name in imports(path):
            seen.add((module, name))
            if (module, name) == DISPLAYS_ITSELF:
                continue
            # The package itself loads the extension, on demand.
            if module not in ("__init__", "__main__"):
                assert folder_of(name) in PYTHON_FOLDERS[: last + 1], (module, name)
    assert ("cli/doctor", "measure/capabilities") in seen
    assert ("measure/window", "_core") in seen


def test_no_module_imports_itself_by_way_of_others():
    uses = {module_of(path): set(imports(path)) for path in python_files()}

    def reached(module, path):
        for name in uses.get(module, ()):
            if (module, name) == DISPLAYS_ITSELF:
                continue
            assert name not in path, f"{' -> '.join([*path, name])}"
            reached(name, [*path, name])

    for module in uses:
        reached(module, [module])


def test_heavy_modules_are_loaded_on_demand():
    """libproc2 weighs 1.1 MiB; textual takes 100 ms to import."""
    users = {
        name: {module_of(path) for path in python_files() if name in imports(path)}
        for name in ("_procps", "_stream")
    }
    assert users == {
        "_procps": {
            "ipython/configuration",
            "measure/capabilities",
            "measure/children",
        },
        "_stream": {"stream/keys", "stream/publishing"},
    }
    heavy = {*users, "figures", "app", "collector"}
    for path in python_files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                named = {each.name for each in node.names} | {node.module}
                assert not named & heavy, path


def packages_at_import(path):
    """The packages of others that a module imports as soon as it is imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (each.name.split(".")[0] for each in node.names)


def packages(path):
    """The packages of others that a module imports at any time."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (each.name.split(".")[0] for each in node.names)


def test_each_package_has_its_place():
    for path in python_files():
        module, at_import = module_of(path), set(packages_at_import(path))
        if module not in ("ipython/magics", "ipython/configuration"):
            assert not {"IPython", "traitlets"} & at_import, module
        if module != "display/figures":
            assert "matplotlib" not in at_import, module
        if module not in ("top/app", "top/widgets"):
            assert not {"textual", "rich"} & at_import, module
        if not module.startswith("top/"):
            assert "zmq" not in set(packages(path)), module
        assert ("click" in at_import) == module.startswith("cli/"), module


def test_only_one_module_writes_files():
    """What is to be whole or not at all is decided once."""
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or module_of(path) == "files":
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in {"write_text", "write_bytes", "mkstemp"}, path.name
            if name == "open":
                given = [*node.args[1:], *(each.value for each in node.keywords)]
                modes = [each.value for each in given if isinstance(each, ast.Constant)]
                assert not {"w", "a", "x", "r+"} & {str(mode) for mode in modes}


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
