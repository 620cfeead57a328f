"""List the texts that users see: errors, warnings, help.

    python tools/user_texts.py [FILE...]

tests/unit/test_messages.py checks them by the rules in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent.parent / "python/memwatch"
# Functions whose arguments are printed, and the keywords of help texts.
SHOWN = {"echo", "warn_once", "notify", "UsageError", "BadParameter", "fail", "_refuse"}
HELP = {"help", "short_help"}


class Text(NamedTuple):
    """One text; `{}` stands for what is put into it."""

    path: Path
    line: int
    kind: str
    """``error``, ``message`` or ``help``."""
    text: str


def text_of(node: ast.expr) -> str | None:
    """The text of a literal, an f-string, or a sum of them; None: something else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    return None


def texts_in(path: Path) -> Iterator[Text]:
    """All of one module, in the order of its lines."""
    raised = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            raised.add(node.exc)
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        shown = node in raised or name in SHOWN or name.endswith("Error")
        for argument in node.args if shown else ():
            text = text_of(argument)
            if text is not None and " " in text:
                kind = "message" if name in {"echo", "warn_once"} else "error"
                yield Text(path, argument.lineno, kind, text)
        for keyword in node.keywords:
            text = text_of(keyword.value) if keyword.arg in HELP else None
            if text is not None:
                yield Text(path, keyword.value.lineno, "help", text)


def all_texts() -> list[Text]:
    """All of the package."""
    return [text for path in sorted(PACKAGE.rglob("*.py")) for text in texts_in(path)]


def main(paths: list[str]) -> None:
    wanted = [Path(each).resolve() for each in paths]
    for text in all_texts():
        if not wanted or text.path.resolve() in wanted:
            place = f"{text.path.relative_to(PACKAGE)}:{text.line}"
            print(f"{place}: {text.kind}: {text.text}")


if __name__ == "__main__":
    main(sys.argv[1:])
