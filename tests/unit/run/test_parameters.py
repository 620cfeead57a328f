"""Parameters of notebooks."""

import nbformat
import pytest

from memwatch.optional import MissingLibraryError, need
from memwatch.run import notebook_files, parameters
from memwatch.run.notebook_files import InputError
from notebook_data import write
from support import check_python


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
