"""MIGRATION.md: what it says to type can be typed."""

import re
from pathlib import Path

import pytest

import memwatch

TEXT = (Path(__file__).parent.parent / "MIGRATION.md").read_text()


def rows():
    for section in TEXT.split("\n## ")[1:]:
        tool = section.partition("\n")[0]
        for line in section.splitlines():
            if line.startswith("| ") and not line.startswith("| typed there"):
                there, here = line.strip("| ").split(" | ")
                code = "\n".join(re.findall(r"`([^`]+)`", here))
                yield pytest.param(tool, code, id=f"{tool}: {there}")


ROWS = list(rows())


def test_all_three_tools_have_their_rows():
    tools = [row.values[0] for row in ROWS]
    assert {tool: tools.count(tool) >= 5 for tool in tools} == {
        "ipython_memory_usage": True,
        "ipython_memwatcher": True,
        "memory_profiler": True,
    }


@pytest.mark.parametrize(("tool", "code"), ROWS)
def test_what_is_to_be_typed_works(shell, capsys, tool, code):
    """In a session that has loaded memwatch, imported it, and run a cell."""
    if "style cpu" in code:
        pytest.importorskip("memwatch._host", reason="built without libproc2")
    if "children" in code:
        pytest.importorskip("memwatch._children", reason="built without libproc2")
    loads = "load" in code or "start" in code
    if not loads:
        shell.run_cell("%load_ext memwatch", store_history=True)
    shell.run_cell("import memwatch", store_history=True)
    shell.run_cell("x = pages(1)", store_history=True)
    capsys.readouterr()
    before = len(memwatch.history)
    result = shell.run_cell(code, store_history=True)
    captured = capsys.readouterr()
    assert result.success, captured.out + captured.err
    assert "UsageError" not in captured.out + captured.err
    if "2**20" in code or "1e9" in code:
        assert isinstance(result.result, float)
    if not any(word in code for word in ("off", "stop", "quiet")):
        assert "MiB RAM in" in captured.out
        assert len(memwatch.history) > before


def test_the_four_measurements_agree_with_the_line(shell, capsys):
    """ipython_memwatcher's, by the code of the table."""
    shell.run_cell("%load_ext memwatch\nimport memwatch", store_history=True)
    capsys.readouterr()
    shell.run_cell("kept = pages(16)", store_history=True)
    line = capsys.readouterr().out
    codes = [row.values[1] for row in ROWS if row.values[0] == "ipython_memwatcher"]
    delta, seconds, peak, usage = (
        eval(code, {"memwatch": memwatch})
        for code in codes
        if re.fullmatch(r"memwatch\.history\[-1\]\.\w+ / \S+", code)
    )
    assert line == (
        f"In [2] used {delta:.4f} MiB RAM in {seconds:.2f}s,"
        f" peaked {peak:.2f} MiB above current, total RAM usage {usage:.2f} MiB\n"
    )
