"""What a shell completes: values of ``shell_complete`` for arguments and options.

click has the rest: sub-commands, options, and the scripts for bash, zsh and fish. Files
and folders of any name are completed by the shell itself.
"""

from __future__ import annotations

import signal
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, ZshComplete

from ..paths import complete_path

Items = list[CompletionItem[str]]


class Bash(BashComplete):
    """Quotes file names, and completes folders beside them."""

    def source(self) -> str:
        return f"""{super().source()}
{self.func_name}_of_files() {{
    {self.func_name} "$@"
    if [[ "${{COMPREPLY[*]}}" == *.@(ipynb|box)* ]]; then
        compopt -o filenames -o plusdirs
    fi
}}
complete -o nosort -F {self.func_name}_of_files {self.prog_name}
"""


class Zsh(ZshComplete):
    """Leaves ~ to the shell, which would quote it in what it gets."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        found = super().get_completions(args, incomplete)
        if incomplete.startswith("~") and found:
            return [CompletionItem(incomplete, type="file")]
        return found


def files(ctx: Any, option: Any, typed: str) -> Items:
    """Files and folders."""
    return [CompletionItem(typed, type="file")]


def folders(ctx: Any, option: Any, typed: str) -> Items:
    """Folders."""
    return [CompletionItem(typed, type="dir")]


def notebooks(ctx: Any, option: Any, typed: str) -> Items:
    """Notebooks and folders."""
    return _files(typed, ".ipynb")


def boxes(ctx: Any, option: Any, typed: str) -> Items:
    """PIDs of killed processes, black boxes and folders."""
    from ..blackbox.postmortem import find_dead

    found = find_dead(None, ctx.params.get("record_dir") or "")
    pids = dict.fromkeys(str(box["pid"]) for _, box in found)
    return [*_plain(pids, typed), *_files(typed, ".box")]


def kernels(ctx: Any, option: Any, typed: str) -> Items:
    """Names of the installed kernels."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError:
        return []
    return _plain(sorted(KernelSpecManager().find_kernel_specs()), typed)


def signals(ctx: Any, option: Any, typed: str) -> Items:
    """Names of signals."""
    return _plain(signal.Signals.__members__, typed)


def _plain(values: Any, typed: str) -> Items:
    return [CompletionItem(each) for each in values if each.startswith(typed)]


def _files(typed: str, ending: str) -> Items:
    found = complete_path(typed, (ending,))
    # The shell's own completion of folders adds no space after one.
    return [
        *folders(None, None, typed),
        *(CompletionItem(each) for each in found if not each.endswith("/")),
    ]
