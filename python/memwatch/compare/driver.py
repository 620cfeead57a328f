"""Runs one variant in the interpreter that is compared: ``PYTHON driver.py ...``.

Needs no memwatch and no library; Python 3.6 and newer, CPython and PyPy. The arguments
are two descriptors: one to read, first of all a JSON object, and one to write. At each
step it writes a letter and waits for a byte: the one who measures opens its window when
the driver is ready (R), and closes it when the code has run (D: done, E: it raised).
"""

import sys

if __name__ == "__main__":
    # Else the modules of this folder would be found instead of those of the library.
    del sys.path[0]

import ast
import builtins
import json
import os
import types
from typing import Any


def main() -> None:
    reading, writing = int(sys.argv[1]), int(sys.argv[2])
    given = _receive(reading)

    def step(letter: bytes) -> bytes:
        os.write(writing, letter)
        return os.read(reading, 1)

    names = _prepare(given)
    if given["setup"]:
        exec(compile(given["setup"], "<setup>", "exec"), names)
    run = _runner(given, names)
    heap = _heap_reader(given["runs"]) if given["leak"] else None
    state = b"E"
    for _ in range(given["runs"]):
        if not step(b"R"):
            os._exit(1)  # nobody measures any more
        try:
            value = run()
            state = b"D"
        except SystemExit as error:
            value = None
            state = b"D" if error.code in (None, 0) else b"E"
            if state == b"E" and isinstance(error.code, str):
                sys.stderr.write(error.code + "\n")
        except BaseException:
            value = None
            _print_traceback()
            state = b"E"
        step(state)
        if state == b"E":
            break
        if given["with_result"]:
            _send(writing, repr(value))
        del value
        if heap is not None:
            _send(writing, json.dumps(heap.read()))
    if heap is not None and state == b"D":
        _send(writing, json.dumps(heap.grown_types()))
    sys.stderr.flush()
    os._exit(state == b"E")


def _heap_reader(runs: int) -> Any:
    """The only part that needs memwatch."""
    from memwatch.compare.leak import HeapReader

    return HeapReader(runs)


def _print_traceback() -> None:
    """Of the exception, without the frames of this file."""
    import traceback

    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)


def _receive(reading: int) -> Any:
    length = b""
    while length[-1:] != b"\n":
        length += os.read(reading, 1)
    content = b""
    while len(content) < int(length):
        content += os.read(reading, int(length) - len(content))
    return json.loads(content.decode())


def _send(writing: int, text: str) -> None:
    content = text.encode("utf-8", "backslashreplace")
    content = b"%d\n" % len(content) + content
    while content:
        content = content[os.write(writing, content) :]


def _prepare(given: Any) -> Any:
    """The namespace of the code, as the interpreter would have it."""
    module = types.ModuleType("__main__")
    vars(module)["__builtins__"] = builtins
    sys.modules["__main__"] = module
    kind, text = given["kind"], given["text"]
    if kind in ("script", "notebook"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(text)))
        vars(module)["__file__"] = text
    else:
        sys.path.insert(0, os.getcwd() if kind == "module" else "")
    sys.argv = [text if kind != "code" else "-c"] + given["arguments"]
    return vars(module)


def _runner(given: Any, names: Any) -> Any:
    """A function that runs the variant once, and returns its last value."""
    kind, text = given["kind"], given["text"]
    if kind == "module":
        import runpy

        def run_module() -> None:
            # runpy drops the module at its end.
            found = runpy.run_module(text, run_name="__main__", alter_sys=True)
            names["__memwatch_module__"] = found

        return run_module
    if kind == "notebook":
        return _notebook_runner(given["cells"], names)
    name = text if kind == "script" else "<string>"
    if kind == "script":
        import tokenize

        with tokenize.open(text) as file:
            text = file.read()
    return _code_runner(text, name, names)


def _code_runner(text: str, name: str, names: Any) -> Any:
    tree = ast.parse(text, name)
    last = tree.body[-1] if tree.body else None
    value = None
    if isinstance(last, ast.Expr):
        tree.body.pop()
        value = compile(ast.Expression(last.value), name, "eval")
    code = compile(tree, name, "exec")

    def run() -> Any:
        exec(code, names)
        return None if value is None else eval(value, names)

    return run


def _notebook_runner(cells: Any, names: Any) -> Any:
    try:
        from IPython.core.interactiveshell import InteractiveShell
    except ImportError:
        runs = [_code_runner(each, "<cell>", names) for each in cells]

        def run_plain() -> Any:
            value = None
            for each in runs:
                value = each()
            return value

        return run_plain
    shell: Any = InteractiveShell.instance(colors="NoColor")
    shell.history_manager.enabled = False

    def run_cells() -> Any:
        value = None
        for each in cells:
            result = shell.run_cell(each, store_history=True)
            if not result.success:
                sys.stderr.write("the cell that raised:\n" + each + "\n")
                raise SystemExit("a cell of the notebook raised")
            value = result.result
        return value

    return run_cells


if __name__ == "__main__":
    main()
