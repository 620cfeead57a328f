"""Cell tags and completion, by the messages that JupyterLab sends."""

import pytest

from support import lines_in


def run_tagged(kernel, code, metadata):
    """Execute it with the cell's metadata, as JupyterLab does."""
    return kernel.output_of(kernel.send_request(code, metadata))


def test_cell_tagged_quiet_has_no_line(kernel):
    text = run_tagged(kernel, "print('x')", {"tags": ["a", "memwatch-quiet"]})
    assert text == "x\n"
    text = kernel.run("import memwatch; print(memwatch.history[-1].source)")
    assert "print('x')" in text
    assert len(lines_in(text)) == 1


@pytest.mark.parametrize(
    "metadata",
    [{}, {"tags": []}, {"tags": ["quiet"]}, {"tags": None}, {"tags": "memwatch-quiet"}],
)
def test_other_cells_have_their_line(kernel, metadata):
    assert len(lines_in(run_tagged(kernel, "x = 1", metadata))) == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%memwatch to", {"top"}),
        ("x = 1\n%memwatch style c", {"classic", "cpu"}),
        ("%%memwatch --r", {"--repeat"}),
    ],
)
def test_completion_in_a_notebook(kernel, typed, offered):
    client = kernel.client
    content = kernel.reply_to(client.complete(typed, len(typed)))["content"]
    # In the first line of a cell, jedi also offers Python names.
    assert set(content["matches"]) >= offered
    assert typed[content["cursor_start"] : content["cursor_end"]] == typed.split()[-1]
