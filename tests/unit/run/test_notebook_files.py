"""Reading and repairing notebook files."""

import json
import os
import random
from contextlib import suppress

import nbformat
import pytest

from memwatch.run import notebook_files, parameters
from memwatch.run.budgets.budgets import BudgetError, read_budgets
from memwatch.run.execution import not_begun
from memwatch.run.notebook_files import InputError
from memwatch.run.output import metadata
from notebook_data import KERNEL, V4, names, write
from support import MIB


def test_a_notebook(folder):
    read = notebook_files.read_notebook(write(folder / "a.ipynb", "a = 1\nb = 2", "c"))
    assert [cell.source for cell in read.cells] == ["a = 1\nb = 2", "c"]
    assert read.nbformat == 4


def cell(**values):
    empty = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    return {**empty, "source": "x", **values}


def raw(cells=None, **values):
    cells = [cell()] if cells is None else cells
    book = {
        "nbformat": 4,
        "nbformat_minor": 4,
        "metadata": {},
        "cells": cells,
        **values,
    }
    return json.dumps(book).encode()


@pytest.mark.filterwarnings("error")
def test_ids_are_repaired_without_a_warning():
    both = raw([cell(id="same"), cell(id="same"), cell()], nbformat_minor=5)
    ids = [each.id for each in notebook_files.parse_notebook(both, "a").cells]
    assert len(set(ids)) == 3
    assert ids[0] == "same"
    assert "id" not in notebook_files.parse_notebook(raw(), "a").cells[0]


def test_bytes_before_and_lines_apart():
    read = notebook_files.parse_notebook(
        b"\xef\xbb\xbf" + raw([cell(source=["a\n", "b"])]), "a"
    )
    assert read.cells[0].source == "a\nb"
    # One that has text alone is a notebook, too.
    text = {"cell_type": "markdown", "metadata": {}, "source": "# x"}
    assert len(notebook_files.parse_notebook(raw([text]), "a").cells) == 1


DEEP = b'{"nbformat": 4, "cells": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


MALFORMED = {
    "empty": (b"", "the file is empty"),
    "white": (b" \n", "the file is empty"),
    "text": (
        b"# Title\n",
        "not a notebook: invalid JSON (Expecting value: line 1 column 1",
    ),
    "half": (raw()[:-20], "not a notebook: invalid JSON ("),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\xff", "not a notebook: invalid UTF-8 at byte 0"),
    "list": (b"[]", "not a notebook: its JSON is not an object"),
    "number": (b"3", "not a notebook: its JSON is not an object"),
    "other JSON": (b'{"a": 1}', "not a notebook: its JSON has no number 'nbformat'"),
    "true": (
        b'{"nbformat": true}',
        "not a notebook: its JSON has no number 'nbformat'",
    ),
    "deep": (DEEP, "the JSON is nested too deeply"),
    "digits": (b'{"nbformat": ' + b"9" * 5000 + b"}", "not a notebook: invalid JSON ("),
    "merge": (
        b'{"cells": [\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> other\n]}',
        "contains git conflict markers",
    ),
    "v5": (b'{"nbformat": 5}', "unsupported notebook format 5: expected 4 or lower"),
    "no cells": (raw([]), "the notebook has no cells"),
    "cells gone": (
        b'{"nbformat": 4, "nbformat_minor": 4, "metadata": {}}',
        "invalid notebook",
    ),
    "cells number": (raw(0), "invalid notebook ("),
    "cells text": (raw("abc"), "invalid notebook ("),
    "cell text": (raw(["x"]), "invalid notebook ("),
    "source": (raw([cell(source=7)]), "invalid notebook: "),
    "nulls": (raw([None]), "invalid notebook ("),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_ones_are_one_clear_line(folder, name):
    data, told = MALFORMED[name]
    path = folder / f"x/{name}.ipynb"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(InputError) as raised:
        notebook_files.read_notebook(f"x/{name}.ipynb")
    line = str(raised.value)
    assert line.startswith(f"x/{name}.ipynb: {told}")
    assert "\n" not in line
    assert len(line) < 300


def places(value, path=()):
    yield path
    inside = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for key, each in inside:
        yield from places(each, (*path, key))


def test_other_errors_are_one_line():
    """Parts taken away or replaced, at random and the same each time."""
    outputs = [
        V4.new_output("stream", text="x"),
        V4.new_output("display_data", data={"text/plain": "x", "application/json": {}}),
        V4.new_output("error", ename="a", evalue="b", traceback=["x"]),
    ]
    cells = [V4.new_markdown_cell("x"), V4.new_code_cell("y", outputs=outputs)]
    whole = nbformat.writes(V4.new_notebook(cells=cells, metadata=KERNEL))
    chance = random.Random(1)
    others = ["null", "true", "0", "1.5", '"x"', "[]", "{}", "[null]", '{"a": null}']
    told, ran = [], 0
    for _ in range(600):
        book = json.loads(whole)
        for _ in range(chance.randint(1, 3)):
            *path, last = chance.choice([each for each in places(book) if each])
            part = book
            for key in path:
                part = part[key]
            if chance.random() < 0.3:
                del part[last]
            else:
                part[last] = json.loads(chance.choice(others))
            if not book:
                break
        notes = []
        try:
            read = notebook_files.parse_notebook(
                json.dumps(book).encode(), "a.ipynb", notes
            )
        except InputError as error:
            told.append(str(error))
            continue
        told += notes
        ran += 1
        # What is accepted can be prepared, and written.
        with suppress(InputError, BudgetError):
            parameters.inject(read, {"a": 1})
            read_budgets(read)
        found = not_begun(read, "a.ipynb")
        metadata.apply(read, found)
        nbformat.v4.writes(read)
    assert 200 < ran < 600
    assert not [line for line in told if "\n" in line or len(line) > 300]


REPAIRED = {
    "ids in 4.4": (raw([cell(id="x")]), ["format 4.4 with cell ids is read as 4.5"]),
    "same ids": (
        raw([cell(id="x"), cell(id="x"), cell()], nbformat_minor=5),
        ["2 cell ids were missing or not unique"],
    ),
    "id": (
        raw([cell(id=[7])], nbformat_minor=5),
        ["a cell id was missing or not unique"],
    ),
    "kernelspec": (
        raw(metadata={"kernelspec": {"display_name": "x"}}),
        ["kernelspec has no name", "it is not valid, but is run unchanged: "],
    ),
    "null": (raw(metadata={"kernelspec": None}), ["kernelspec is not an object"]),
    "name": (
        raw(metadata={"language_info": {"name": 7}}),
        ["the name in language_info is not a string", "it is not valid, but"],
    ),
    "list": (raw(metadata={"language_info": [1]}), ["language_info is not an object"]),
    "metadata": (
        raw(metadata=[]), ["the notebook's metadata is missing or not an object"]
    ),
    "no metadata": (
        raw([{"cell_type": "code", "source": "1"}]),
        [
            "cell 1's metadata is missing or not an object",
            "cell 1 has no list of outputs",
            "cell 1 has no execution count",
        ],
    ),
    "tags": (
        raw([cell(metadata={"tags": "x"})]), ["cell 1's tags are not a list of strings"]
    ),
    "minor": (raw(nbformat_minor="x"), ["nbformat_minor was 'x'"]),
    "no minor": (raw(nbformat_minor=None), ["nbformat_minor was 'None'"]),
    "outputs": (
        raw([cell(outputs=[{"output_type": "x"}])]),
        ["it is not valid, but is run unchanged: "],
    ),
    "cell type": (
        raw([cell(), cell(cell_type="other")]),
        ["it is not valid, but is run unchanged: "],
    ),
    "no output type": (
        raw([cell(outputs=[{"text": "x"}])]),
        ["cell 1 had outputs that nbformat cannot write"],
    ),
    "valid": (raw(), []),
}  # fmt: skip


@pytest.mark.parametrize("name", REPAIRED)
def test_runnable_notebooks_are_repaired_with_a_note(name):
    """Jupyter and papermill run these."""
    data, expected = REPAIRED[name]
    notes = []
    read = notebook_files.parse_notebook(data, "a", notes)
    assert len(notes) == len(expected), notes
    for note, start in zip(notes, expected, strict=True):
        assert note.startswith(start)
        assert "\n" not in note
    again = []
    notebook_files.parse_notebook(nbformat.v4.writes(read).encode(), "a", again)
    assert not [
        each for each in again if "unchanged" not in each and "name" not in each
    ]


def test_old_formats_are_converted(capfd):
    v3 = nbformat.v3
    cells = [v3.new_code_cell(input="x = 1", outputs=[v3.new_output("pyout", "1")])]
    book = v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])
    notes = []
    read = notebook_files.parse_notebook(json.dumps(book).encode(), "old", notes)
    assert notes == ["it has an old format, and is read as format 4"]
    assert (read.nbformat, read.cells[0].source) == (4, "x = 1")
    assert read.cells[0].outputs[0].output_type == "execute_result"
    nbformat.validate(read)
    v2 = {"nbformat": 2, "worksheets": [{"cells": [
        {"cell_type": "code", "language": "python", "input": "y", "outputs": []}
    ]}]}  # fmt: skip
    assert (
        notebook_files.parse_notebook(json.dumps(v2).encode(), "o").cells[0].source
        == "y"
    )
    for rest in ("", ', "worksheets": 7', ', "worksheets": []'):
        wrong = f'{{"nbformat": 3{rest}}}'.encode()
        with pytest.raises(InputError, match=r"^old: ") as raised:
            notebook_files.parse_notebook(wrong, "old")
        assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_removed_working_folder(folder):
    write(folder / "a.ipynb")
    (folder / "gone").mkdir()
    os.chdir("gone")
    os.rmdir(folder / "gone")
    found, errors = names("x.ipynb", "../a.ipynb", str(folder / "a.ipynb"))
    assert [path for path, _ in found] == [str(folder / "a.ipynb")]
    assert errors[0] == "x.ipynb: no such file"
    assert errors[1].startswith("../a.ipynb: ")


def test_large_file_is_not_read(folder):
    with open("huge.ipynb", "wb") as file:
        file.truncate(500 * MIB)  # a hole: it takes no disk, and would take memory
    with pytest.raises(InputError) as raised:
        notebook_files.read_notebook("huge.ipynb")
    assert str(raised.value) == (
        "huge.ipynb: 500 MiB, more than the maximum of 256 MiB; clear its outputs"
        " (jupyter nbconvert --clear-output --inplace huge.ipynb)"
    )
    write(folder / "a.ipynb")
    with pytest.raises(InputError, match="more than the maximum of 0 MiB"):
        notebook_files.read_notebook("a.ipynb", max_bytes=100)


def test_not_a_file(folder):
    os.mkfifo("pipe")
    for path, told in (
        (".", "not a file"),
        ("pipe", "not a file"),
        ("/dev/null", "not a file"),
        ("no.ipynb", "no such file"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(InputError, match=rf": {told}$"):
            notebook_files.read_notebook(path)
