"""Who can hold memory in a session: each root by the name that a user would type."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ..shell import running_shell
from .types import home_of, is_module

_RESULTS = ("_", "__", "___")
_SESSION = {
    "In", "Out", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "exit", "quit", "open",
    "get_ipython",
}  # fmt: skip


class Root(NamedTuple):
    """Something that holds objects."""

    names: tuple[str, ...]
    """What it is called, the best name first."""
    objects: list[object]
    kind: str
    """``"variable"``, ``"output"``, ``"exception"``, ``"figure"``, ``"module"``,
    ``"thread"``, ``"frame"``, ``"task"`` or ``"history"``."""
    command: str
    """What frees it; "": nothing that could be typed."""


class Session(NamedTuple):
    """The namespaces in which names are looked for."""

    user: dict[str, Any]
    hidden: dict[str, Any]
    outputs: dict[Any, Any]
    shell: Any
    """IPython's shell; None: there is none."""


def session_of(shell: Any = None, namespace: dict[str, Any] | None = None) -> Session:
    """The session of an IPython shell or of a namespace.

    Default: the running shell; where there is none, the namespace of ``__main__``.
    """
    if shell is None and namespace is None:
        shell = running_shell()
    if shell is None:
        if namespace is None:
            namespace = vars(sys.modules["__main__"])
        return Session(namespace, {}, {}, None)
    outputs = shell.user_ns.get("Out")
    return Session(
        shell.user_ns,
        shell.user_ns_hidden,
        outputs if type(outputs) is dict else {},
        shell,
    )


def find_roots(session: Session, walls: list[object]) -> list[Root]:
    """All roots, first those that libraries hold by design: count_expected().

    `walls` is the result of find_walls(): none of them is a root.
    """
    expected = [
        *_exceptions(session), *_figures(), *_user_modules(), *_threads(session),
        *_tasks(), *_frames(), *_history(session),
    ]  # fmt: skip
    # A variable can be a namespace, such as globals().
    excluded = {id(each) for each in walls}
    return [
        root
        for root in (*expected, *_names(session))
        if excluded.isdisjoint(map(id, root.objects))
    ]


def count_expected(roots: list[Root]) -> int:
    """How many of them, at the beginning, modules of libraries hold by design."""
    kinds = ("variable", "output")
    return next((i for i, root in enumerate(roots) if root.kind in kinds), len(roots))


def find_walls(session: Session) -> list[object]:
    """Objects that lead to every root and to the library: they are not entered."""
    walls: list[object] = [session.user, session.hidden, session.outputs]
    walls += [vars(module) for module in _modules_of_the_user()]
    if session.shell is not None:
        shell = session.shell
        walls += [
            each
            for name in ("displayhook", "last_execution_result", "InteractiveTB")
            if (each := getattr(shell, name, None)) is not None
        ]
    return walls


# ---- names: variables and results ----


def is_session_name(name: str) -> bool:
    """Whether IPython made the name, such as ``_``, ``_3`` or ``In``.

    >>> is_session_name("_3"), is_session_name("frame")
    (True, False)
    """
    return (
        name in _SESSION
        or name in _RESULTS
        or (name.startswith("_i") and name[2:].isdecimal())
        or (name.startswith("_") and name[1:].isdecimal())
        or (name.startswith("__") and name.endswith("__"))
    )


def is_user_value(value: object) -> bool:
    """Whether a variable with it can hold memory of the user's.

    Modules cannot, nor can classes and functions of libraries.
    """
    home = home_of(value)
    if value is None or is_module(value):
        return False
    return home is None or _is_user_home(home)


def _is_user_home(name: str) -> bool:
    return name in ("", "__main__") or _is_user_module(sys.modules.get(name))


def _names(session: Session) -> list[Root]:
    """Variables and results. Names of the same object are one root."""
    names: dict[int, list[str]] = {}
    values: dict[int, object] = {}

    def add(name: str, value: object) -> None:
        values[id(value)] = value
        names.setdefault(id(value), []).append(name)

    for name, value in list(session.user.items()):
        if (
            type(name) is str
            and not is_session_name(name)
            and is_user_value(value)
            # Those of a startup file are not shown by %who either.
            and session.hidden.get(name) is not value
        ):
            add(name, value)
    for number, value in list(session.outputs.items()):
        if is_user_value(value):
            add(f"Out[{number}]", value)
    for name, value in list(session.user.items()):
        # Without a result they are "".
        if _is_result(name) and is_user_value(value) and not _is_no_result(value):
            add(name, value)
    for name, value in list(session.hidden.items()):
        if (
            _is_result(name)
            and session.user.get(name) is not value
            and is_user_value(value)
            and not _is_no_result(value)
        ):
            add(f"get_ipython().user_ns_hidden['{name}']", value)
    return [
        Root(tuple(each), [values[key]], _kind_of(each), _free(each, values[key]))
        for key, each in names.items()
    ]


def _is_result(name: object) -> bool:
    return type(name) is str and (
        name in _RESULTS or (name.startswith("_") and name[1:].isdecimal())
    )


def _is_no_result(value: object) -> bool:
    return type(value) is str and not value


def _kind_of(names: list[str]) -> str:
    first = names[0]
    is_output = first.startswith(("Out[", "get_ipython()")) or _is_result(first)
    return "output" if is_output else "variable"


def _free(names: list[str], value: object) -> str:
    """The command that deletes all these names of the value."""
    typed = [each for each in names if not each.startswith(("Out[", "get_ipython()"))]
    if not typed:
        if names[0].startswith("Out["):
            return f"del {names[0]}"
        return f"{names[0]} = None"
    if len(names) == 1:
        return f"del {names[0]}"
    # IPython's own: it knows Out, _ and the hidden copies. _ will be another value.
    lasting = [each for each in typed if each not in _RESULTS]
    return f"%xdel {(lasting or typed)[0]}"


def _history(session: Session) -> Iterator[Root]:
    manager = getattr(session.shell, "history_manager", None)
    sources = [
        getattr(manager, name, None) for name in ("input_hist_raw", "input_hist_parsed")
    ]
    if any(sources):
        yield Root(
            ("In",), [each for each in sources if each], "history", "%reset -f in"
        )


# ---- exceptions ----


def _exceptions(session: Session) -> Iterator[Root]:
    """The last exception, with the variables of its frames."""
    names = ["last_value", "last_exc", "last_traceback"]
    held = {f"sys.{name}": getattr(sys, name, None) for name in names}
    formatter = getattr(session.shell, "InteractiveTB", None)
    for name in ("tb", "evalue"):
        held[f"get_ipython().InteractiveTB.{name}"] = getattr(formatter, name, None)
    found = {name: value for name, value in held.items() if value is not None}
    if found:
        targets = " = ".join(found)
        yield Root(
            tuple(found),
            list(found.values()),
            "exception",
            f"import sys; {targets} = None",
        )


# ---- figures ----


def _figures() -> Iterator[Root]:
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    figures = getattr(getattr(pylab, "Gcf", None), "figs", {})
    for number, manager in list(figures.items()):
        name = f"plt.figure({number})"
        yield Root((name,), [manager], "figure", f"plt.close({number})")


# ---- modules of the user's ----


def _modules_of_the_user() -> list[Any]:
    """Imported modules that are neither installed nor of the standard library."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name not in ("__main__", "__mp_main__") and _is_user_module(module)
    ]


def _is_user_module(module: Any) -> bool:
    if not is_module(module):
        return False
    file = vars(module).get("__file__")
    return type(file) is str and _is_user_file(file)


def _is_user_file(file: str) -> bool:
    cached = _user_files.get(file)
    if cached is None:
        path = Path(file)
        cached = _user_files[file] = not any(
            place in path.parents for place in _places_of_libraries()
        ) and not {"site-packages", "dist-packages"} & set(path.parts)
    return cached


_user_files: dict[str, bool] = {}
_libraries: list[Path] = []


def _places_of_libraries() -> list[Path]:
    if not _libraries:
        import sysconfig

        paths = {*sysconfig.get_paths().values(), str(Path(__file__).parents[1])}
        data = {sysconfig.get_path("data"), sysconfig.get_path("scripts")}
        _libraries.extend(Path(each) for each in paths - data)
    return _libraries


def _user_modules() -> Iterator[Root]:
    for module in _modules_of_the_user():
        name = module.__name__
        for attribute, value in list(vars(module).items()):
            home = home_of(value)
            if attribute.startswith("__") or is_module(value):
                continue
            if home is None or home == name:
                full = f"{name}.{attribute}"
                yield Root((full,), [value], "module", f"del {full}")


# ---- frames ----


def _is_user_code(code: CodeType) -> bool:
    """Whether it is of a cell, or of a module of the user's."""
    file = code.co_filename
    if file.startswith("<"):
        return file.startswith(("<ipython-input", "<stdin", "<string"))
    return "ipykernel_" in file or _is_user_file(file)


def locals_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a function's frame, without a trace of having looked.

    Up to Python 3.12 frame.f_locals leaves a copy in the frame, which would hold what
    the function deletes: it is emptied, unless somebody else may look at it.
    """
    if not frame.f_code.co_flags & 1:  # CO_OPTIMIZED; else it is a namespace itself
        return {}
    seen = frame.f_locals
    found = dict(seen)
    # Held by the frame, `seen`, and the call.
    if type(seen) is dict and sys.getrefcount(seen) <= 3 and frame.f_trace is None:
        seen.clear()
    return found


def _roots_in(
    frame: FrameType, place: str, kind: str, command: str = ""
) -> Iterator[Root]:
    for name, value in locals_of(frame).items():
        if is_user_value(value):
            where = f"{place}{frame.f_code.co_name}(): {name}"
            yield Root((where,), [value], kind, command)


def _threads(session: Session) -> Iterator[Root]:
    """Variables of the user's functions that other threads are running."""
    threads = {each.ident: each for each in threading.enumerate()}
    frames = sys._current_frames()
    # Its own frame would hold itself.
    frames.pop(threading.get_ident(), None)
    for ident, top in frames.items():
        thread = threads.get(ident)
        frame: FrameType | None = top
        while frame is not None:
            if _is_user_code(frame.f_code):
                name = ident if thread is None else thread.name
                command = _name_of_thread(session, thread)
                yield from _roots_in(frame, f"thread {name}, ", "thread", command)
            frame = frame.f_back


def _name_of_thread(session: Session, thread: threading.Thread | None) -> str:
    """What waits for the thread's end, which frees its variables."""
    for name, value in list(session.user.items()):
        if value is thread and thread is not None and not is_session_name(name):
            return f"{name}.join()"
    return ""


def _tasks() -> Iterator[Root]:
    """Asyncio's tasks that run the user's coroutines."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no loop runs in this thread
        return
    for task in tasks:
        coroutine = task.get_coro()
        code = getattr(coroutine, "cr_code", None)
        if code is not None and _is_user_code(code) and not coroutine.cr_running:
            name = f"task {task.get_name()}, {code.co_name}()"
            yield Root((name,), [coroutine], "task", "")


def _frames() -> Iterator[Root]:
    """Variables of the user's functions that have called memwatch."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_user_code(frame.f_code):
            yield from _roots_in(frame, "", "frame")
        frame = frame.f_back
