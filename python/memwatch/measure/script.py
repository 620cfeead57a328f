"""``python -m memwatch SCRIPT``: run a script in a window and print its line."""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
from contextlib import suppress
from types import ModuleType, TracebackType

from ..display.lines import classic_figures
from ..display.units import printable
from ..warn import cause_of
from .window import watch


def run_script(path: str, arguments: list[str]) -> int:
    """Run the Python file `path` as ``python path`` does; return the exit code.

    Its line goes to stderr at its end, however it ends. The window begins when the file
    is compiled and ends with its last statement: what atexit and threads do later is
    not in it. SystemExit is raised again.
    """
    try:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec")
    except OSError as error:
        print(f"memwatch: cannot read '{path}': {cause_of(error)}", file=sys.stderr)
        return 2
    except (SyntaxError, ValueError) as error:
        sys.excepthook(type(error), error, None)
        return 1
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = main
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    block = watch(os.path.basename(path))
    try:
        with block:
            exec(code, vars(main))
    except SystemExit:
        raise
    except BaseException as error:
        trace = _below(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            # As Python does, so that a shell sees how it ended.
            _print_line(path, block)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 1
    finally:
        _print_line(path, block)
    return 0


def _below(trace: TracebackType | None) -> TracebackType | None:
    """The frames of the script, without this module's."""
    return None if trace is None else trace.tb_next


def _print_line(path: str, block: watch) -> None:
    report, block.report = block.report, None  # once
    if report is None:
        return
    with suppress(OSError, ValueError, AttributeError):  # a closed stream
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            line = f"{os.path.basename(path)} {classic_figures(report)}"
            print(printable(line), file=sys.stderr, flush=True)
