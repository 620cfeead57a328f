"""What is given to `memwatch run`: names, patterns, folders, and what is in them."""

import pytest

from memwatch.run import inputs
from memwatch.run.notebook_files import InputError
from notebook_data import names, write

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
