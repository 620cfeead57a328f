"""IPython's results of the cells that this thread is running, found on its stack.

IPython does not announce how cells nest, and silent cells have no events at all.
"""

from __future__ import annotations

import sys
from typing import Any


def is_inside_cell(shell: Any) -> bool:
    """Whether this thread is running a cell of `shell`; False in a startup file."""
    return bool(results_around(shell))


def results_around(shell: Any) -> list[Any]:
    """IPython's results of the running cells of `shell`, the innermost first.

    Silent cells are left out: IPython announces neither their start nor their end.
    """
    results = []
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run_cell_async" and "IPython" in code.co_filename:
            variables = frame.f_locals
            if variables.get("self") is shell and not variables.get("silent"):
                result = variables.get("result")
                if result is not None:
                    results.append(result)
        frame = frame.f_back  # type: ignore[assignment]
    return results


def result_of_failed_cell() -> Any:
    """IPython's result of the cell whose error the caller is about to show.

    None if no cell has ended: code may show a traceback and continue.
    """
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if "IPython" in code.co_filename:
            match code.co_name:
                case "run_code":  # sets the error when the code has ended
                    result = frame.f_locals.get("result")
                    failed = getattr(result, "error_in_exec", None) is not None
                    return result if failed else None
                case "run_ast_nodes" | "run_cell_async" | "_run_cell":
                    return frame.f_locals.get("result")
                case "trigger":  # another extension's callback failed
                    return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def error_of(result: Any) -> BaseException | None:
    """The error that ended the cell; without a result it was interrupted."""
    if result is None:
        return KeyboardInterrupt()
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return error
