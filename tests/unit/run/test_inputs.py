"""What is given to `memwatch run`: names, patterns, folders, and what is in them."""

import json
import os
import random
from contextlib import suppress

import nbformat
import pytest

from memwatch.optional import MissingLibraryError, need
from memwatch.run import inputs, notebook_files, parameters
from memwatch.run.budgets.budgets import BudgetError, read_budgets
from memwatch.run.execution import not_begun
from memwatch.run.notebook_files import InputError
from memwatch.run.output import metadata
from support import MIB, check_python

V4 = nbformat.v4
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}


def write(path, *sources, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [V4.new_code_cell(source) for source in sources or ("x = 1",)]
    nbformat.write(V4.new_notebook(cells=cells, metadata={**KERNEL, **metadata}), path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given):
    found, errors = inputs.expand(given)
    return [(each.path, each.name) for each in found], [str(each) for each in errors]


# ---- which ones ----


def test_paths_patterns_and_folders(folder):
    for name in ("nb/b.ipynb", "nb/a.ipynb", "nb/deep/er/c.ipynb", "d.ipynb"):
        write(folder / name)
    for name in ("nb/.ipynb_checkpoints/a-checkpoint.ipynb", "nb/.hidden/x.ipynb"):
        write(folder / name)
    (folder / "nb/text.txt").write_text("x")
    below = [
        ("nb/a.ipynb", "a.ipynb"),
        ("nb/b.ipynb", "b.ipynb"),
        ("nb/deep/er/c.ipynb", "deep/er/c.ipynb"),
    ]
    assert names("nb") == names("nb/") == names("nb/**/*.ipynb") == (below, [])
    assert names("nb/*.ipynb") == (below[:2], [])
    assert names("n?/[b-z].ipynb") == ([("nb/b.ipynb", "nb/b.ipynb")], [])
    assert names("nb/deep/er/c.ipynb") == ([("nb/deep/er/c.ipynb", "c.ipynb")], [])
    absolute = str(folder / "nb/*.ipynb")
    assert [name for _, name in names(absolute)[0]] == ["a.ipynb", "b.ipynb"]


def test_each_is_run_once(folder):
    write(folder / "a.ipynb")
    (folder / "link.ipynb").symlink_to("a.ipynb")
    given = ("a.ipynb", "./a.ipynb", "link.ipynb", "*.ipynb", ".")
    assert names(*given) == ([("a.ipynb", "a.ipynb")], [])


def test_a_name_with_a_bracket_is_a_name(folder):
    write(folder / "a[1].ipynb")
    assert names("a[1].ipynb") == ([("a[1].ipynb", "a[1].ipynb")], [])


def test_invalid_input_leaves_the_others(folder):
    write(folder / "a.ipynb")
    (folder / "empty").mkdir()
    found, errors = names("no.ipynb", "a.ipynb", "x*.ipynb", "empty", "", "a\0b")
    assert found == [("a.ipynb", "a.ipynb")]
    assert errors == [
        "no.ipynb: no such file",
        "x*.ipynb: no file matches this pattern",
        "empty: no .ipynb file in this directory or below",
        "the path of a notebook is empty",
        "the path of a notebook is empty",
    ]


# ---- where to ----


def tasks(*given, **options):
    found, errors = inputs.expand(given)
    assert not errors
    return [each.output for each in inputs.plan(found, **options)]


def test_without_an_output_nothing_is_written(folder):
    write(folder / "a.ipynb")
    assert tasks("a.ipynb") == [None]


def test_where_outputs_go(folder):
    write(folder / "nb/a.ipynb")
    write(folder / "nb/deep/a.ipynb")
    assert tasks("nb/a.ipynb", output="out.ipynb") == ["out.ipynb"]
    assert tasks("nb", output_dir="o") == ["o/a.ipynb", "o/deep/a.ipynb"]
    assert tasks("nb", in_place=True) == ["nb/a.ipynb", "nb/deep/a.ipynb"]


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (
            ["nb/a.ipynb", "nb/deep/a.ipynb"],
            {"output_dir": "o"},
            "would both write o/a.ip",
        ),
        (
            ["nb"],
            {"output": "o.ipynb"},
            "2 notebooks to o",
        ),
        (
            ["nb/a.ipynb"],
            {"output": "./nb/a.ipynb"},
            "would replace the input nb/a",
        ),
        (["nb/a.ipynb"], {"output_dir": "nb"}, "use --in-place if you want that"),
        (["nb/a.ipynb"], {"output": "x", "in_place": True}, "exclude each other"),
    ],
)
def test_outputs_that_would_be_lost_are_refused(folder, given, options, told):
    write(folder / "nb/a.ipynb")
    write(folder / "nb/deep/a.ipynb")
    with pytest.raises(InputError, match=told):
        tasks(*given, **options)


def split(*given, all_inputs=False):
    return inputs.split_two(given, all_inputs=all_inputs)


def test_two_paths_are_in_and_out(folder):
    write(folder / "a.ipynb")
    assert split("a.ipynb", "new.ipynb") == (["a.ipynb"], "new.ipynb")
    assert split("a.ipynb") == (("a.ipynb",), None)
    three = ("a.ipynb", "b.ipynb", "c.ipynb")
    assert split(*three) == (three, None)
    assert split("a.ipynb", "x*.ipynb") == (("a.ipynb", "x*.ipynb"), None)
    assert split("a.ipynb", ".") == (("a.ipynb", "."), None)


def test_other_notebook_is_not_an_output(folder):
    write(folder / "a.ipynb")
    write(folder / "b.ipynb")
    with pytest.raises(
        InputError, match=r"b\.ipynb exists and was not written by a run of a"
    ):
        split("a.ipynb", "b.ipynb")
    with pytest.raises(InputError, match="--in-place"):
        split("a.ipynb", "a.ipynb")
    both = ("a.ipynb", "b.ipynb")
    assert split(*both, all_inputs=True) == (both, None)
    # The same command once more.
    write(folder / "b.ipynb", memwatch={"notebook": "nb/a.ipynb"})
    assert split("./a.ipynb", "b.ipynb") == (["./a.ipynb"], "b.ipynb")
    (folder / "b.ipynb").write_text("half a notebook")
    with pytest.raises(InputError, match="--output b"):
        split("a.ipynb", "b.ipynb")


# ---- reading ----


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


# ---- parameters ----


def test_types_as_papermill_has_them(folder):
    pytest.importorskip("papermill")
    (folder / "p.yaml").write_text("a: 1\nwhen: 2026-01-02\nlist: [1, x]\n")
    (folder / "p.json").write_text('{"a": 2, "b": null}')
    found = parameters.collect(
        typed=[("i", "3"), ("f", "1e3"), ("t", "True"), ("n", "None"), ("s", "3 m")],
        raw=[("r", "3")],
        files=["p.yaml", "p.json"],
        yaml=["{y: [1, 2]}", ""],
    )
    assert found == {
        "a": 2, "when": "2026-01-02", "list": [1, "x"], "b": None, "y": [1, 2],
        "i": 3, "f": 1000.0, "t": True, "n": None, "s": "3 m", "r": "3",
    }  # fmt: skip
    assert parameters.collect() == {}
    assert parameters.collect([("a", "1")], [("a", "1")]) == {"a": "1"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"typed": [("a b", "1")]}, "invalid parameter name: 'a b'"),
        ({"yaml": ["[1]"]}, "-y: expected a mapping of names to values"),
        ({"yaml": ["{1: 2}"]}, "invalid parameter name: 1"),
        ({"yaml": ["{a: ["]}, "-y: invalid YAML or JSON"),
        (
            {"yaml": ["!!python/object/apply:os.system ['x']"]},
            "-y: invalid YAML or JSON",
        ),
        ({"files": ["no.yaml"]}, "no.yaml: no such file"),
    ],
)
def test_bad_parameters(folder, given, told):
    pytest.importorskip("papermill")
    with pytest.raises(InputError) as raised:
        parameters.collect(**given)
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)


def test_where_parameters_go(folder, caplog):
    pytest.importorskip("papermill")
    plain = notebook_files.read_notebook(write(folder / "a.ipynb", "a = 1", "print(a)"))
    assert parameters.inject(plain, {}) is plain
    made = parameters.inject(plain, {"a": 2})
    assert [each.source for each in made.cells[1:]] == ["a = 1", "print(a)"]
    assert made.cells[0].metadata.tags == ["injected-parameters"]
    assert "a = 2" in made.cells[0].source
    assert made.metadata.papermill.parameters == {"a": 2}
    # The notebook that was given is as it was, and its cells' metadata too.
    assert len(plain.cells) == 2
    assert "papermill" not in plain.metadata
    assert [each.metadata for each in made.cells[1:]] == [{}, {}]
    nbformat.validate(made)

    plain.cells[0].metadata["tags"] = ["parameters"]
    made = parameters.inject(plain, {"a": 2})
    assert [each.metadata.get("tags") for each in made.cells] == [
        ["parameters"], ["injected-parameters"], None,
    ]  # fmt: skip
    again = parameters.inject(made, {"a": 3})
    assert len(again.cells) == 3
    assert "a = 3" in again.cells[1].source
    assert caplog.text == ""


def test_metadata_of_papermill_that_is_not_its_own(folder):
    pytest.importorskip("papermill")
    path = write(folder / "a.ipynb", papermill="text")
    made = parameters.inject(notebook_files.read_notebook(path), {"a": 2})
    assert made.metadata.papermill.parameters == {"a": 2}


def test_a_language_that_papermill_does_not_know(folder):
    pytest.importorskip("papermill")
    path = write(folder / "a.ipynb", kernelspec={"name": "x", "display_name": "X"})
    with pytest.raises(InputError, match="cannot set parameters: "):
        parameters.inject(notebook_files.read_notebook(path), {"a": 1})
    bash = {"name": "bash", "display_name": "Bash", "language": "bash"}
    path = write(folder / "b.ipynb", kernelspec=bash)
    made = parameters.inject(notebook_files.read_notebook(path), {"a": 1})
    assert "a=1" in made.cells[0].source


def test_missing_part_is_named():
    with pytest.raises(MissingLibraryError) as raised:
        need("no_such.thing", "papermill", "setting parameters")
    told = (
        "setting parameters requires no_such:"
        " pip install jinja2 msgspec nbclient nbformat rich papermill ("
    )
    assert str(raised.value).startswith(told)
    # The rest is there without it.
    check_python(
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['papermill', 'jinja2', 'nbformat']))\n"
        "from memwatch.run import notebook_files, parameters\n"
        "from memwatch.run.budgets import baseline, budgets, violations\n"
        "from memwatch.run.output import curve, exports, metadata, page, summary\n"
        "from memwatch.optional import MissingLibraryError\n"
        "assert parameters.collect() == {}\n"
        "for call in (lambda: parameters.collect([('a', '1')]),\n"
        "             lambda: notebook_files.parse_notebook(b'{}', 'a'),\n"
        "             lambda: page.render([])):\n"
        "    try:\n"
        "        call()\n"
        "    except MissingLibraryError as error:\n"
        "        assert 'pip install' in str(error)\n"
        "    else:\n"
        "        raise SystemExit('no error')\n"
    )
