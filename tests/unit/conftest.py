"""A shell with memwatch, and what its cells print."""

import re

import pytest

from shells import run_cell
from support import lines_in


@pytest.fixture
def ip(shell):
    """A shell with memwatch loaded."""
    shell.run_line_magic("load_ext", "memwatch")
    return shell


@pytest.fixture
def show(ip, capsys):
    """A function: all that a cell prints except its memwatch line."""

    def show(code):
        capsys.readouterr()
        ip.run_cell(code, store_history=True)
        captured = capsys.readouterr()
        text = captured.out + captured.err
        assert not re.search(r"memwatch/\w+\.py", text)  # no frame of memwatch
        return "\n".join(each for each in text.splitlines() if not lines_in(each))

    return show


@pytest.fixture
def lines(ip, capsys):
    """A function: the memwatch lines that a cell prints."""
    return lambda code: run_cell(ip, code, capsys)
