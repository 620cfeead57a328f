"""What is compared: scripts, modules, code, notebooks and commands."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..command.command import NotExecutedError
from ..display.units import printable
from ..warn import cause_of

Kind = Literal["script", "module", "code", "notebook", "command"]

_MOST = 30
"""Characters of a label."""


class VariantError(ValueError):
    """There is no such variant; the message says what is wrong."""


class CommandError(VariantError):
    """A command cannot be executed; the exit code is that of a shell."""

    def __init__(self, option: str, name: str) -> None:
        reason = errno.EACCES if os.path.exists(name) else errno.ENOENT
        cause = NotExecutedError(name, reason)
        super().__init__(f"{option}: {cause}")
        self.exit_code = cause.exit_code


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the programs that are compared."""

    kind: Kind
    text: str
    """The path, the module's name, the code, or the command line."""
    label: str
    arguments: tuple[str, ...] = ()
    interpreter: str | None = None
    """The Python that runs it; None: a command has none."""
    cells: tuple[str, ...] = ()
    """The code cells of a notebook."""

    @property
    def name(self) -> str:
        """The label as a word of a sentence."""
        return f"`{self.label}`" if " " in self.label else self.label


def script_or_notebook(given: str) -> Variant:
    """A variant from a path, or from a path with arguments: ``'slots.py 1000'``."""
    words = [given] if os.path.exists(given) else _split(given)
    path, *arguments = words
    if not path.endswith((".py", ".ipynb")):
        raise VariantError(
            f"'{given}' is neither a .py file nor a notebook; for other programs:"
            f" --cmd {shlex.quote(given)}"
        )
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read() if path.endswith(".ipynb") else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = cause_of(error) if isinstance(error, OSError) else "not UTF-8"
        raise VariantError(f"cannot read '{path}': {reason}") from None
    return Variant(
        kind="notebook" if content else "script",
        text=path,
        label=_label(given),
        arguments=tuple(arguments),
        cells=_cells(path, content) if content else (),
    )


def module(given: str) -> Variant:
    """A variant from a module's name, as ``python -m`` has it, and arguments."""
    name, *arguments = _split(given)
    return Variant(
        kind="module",
        text=name,
        label=_label(f"-m {given}"),
        arguments=tuple(arguments),
    )


def code(text: str, label: str | None = None) -> Variant:
    """A variant from Python code; VariantError if it is none."""
    try:
        compile(text, "<string>", "exec")
    except (SyntaxError, ValueError) as error:
        raise VariantError(
            f"{label or _label(text)}: invalid Python code: {error}"
        ) from None
    return Variant(kind="code", text=text, label=label or _label(text))


def command(text: str) -> Variant:
    """A variant from a command line, which no shell sees."""
    words = _split(text)
    if shutil.which(words[0]) is None:
        raise CommandError("--cmd", words[0])
    return Variant(
        kind="command", text=words[0], label=_label(text), arguments=tuple(words[1:])
    )


def with_interpreters(
    variants: Sequence[Variant], interpreters: Sequence[str]
) -> list[Variant]:
    """Each Python variant with each interpreter; without any, with this one."""
    found = []
    for each in interpreters or [sys.executable]:
        path = shutil.which(each)
        if path is None:
            raise CommandError("--interpreter", each)
        for variant in variants:
            label = f"{variant.label} ({each})" if interpreters else variant.label
            found.append(replace(variant, interpreter=path, label=label))
    commands = [each for each in variants if each.kind == "command"]
    return commands + [each for each in found if each.kind != "command"]


def sections(cell: str) -> tuple[str, list[Variant]]:
    """The setup and the variants of a cell with lines ``# %% NAME``.

    >>> setup, found = sections("# %% setup\\nn = 9\\n# %% a\\n[n]\\n# %% b\\n(n,)\\n")
    >>> setup, [(each.label, each.text) for each in found]
    ('n = 9\\n', [('a', '[n]\\n'), ('b', '(n,)\\n')])
    """
    names: list[str] = []
    texts: list[str] = []
    for line in cell.splitlines(keepends=True):
        if line.startswith("# %%"):
            names.append(line[4:].strip())
            texts.append("")
        elif texts:
            texts[-1] += line
        elif line.strip() and not line.startswith("#"):
            raise VariantError(
                "the code before the first line '# %% NAME' belongs to no variant;"
                " begin it with '# %% setup' or a name"
            )
    found = dict(zip(names, texts, strict=True))
    if len(found) < len(names):
        raise VariantError("two sections have the same name")
    if "" in found:
        raise VariantError("a line '# %%' has no name; write '# %% NAME'")
    setup = found.pop("setup", "")
    variants = [code(text, label=name) for name, text in found.items()]
    if len(variants) < 2:
        raise VariantError(
            "expected at least two variants, each below a line '# %% NAME'"
        )
    return setup, variants


def _split(given: str) -> list[str]:
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise VariantError(f"{given}: {str(error).lower()}") from None
    if not words:
        raise VariantError("a variant is empty")
    return words


def _label(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def _cells(path: str, content: str) -> tuple[str, ...]:
    try:
        cells: list[Any] = json.loads(content)["cells"]
        sources = [each["source"] for each in cells if each["cell_type"] == "code"]
        texts = ["".join(each) for each in sources]
    except (ValueError, KeyError, TypeError):
        raise VariantError(f"'{path}' is not a notebook of format 4") from None
    return tuple(each for each in texts if each.strip())
