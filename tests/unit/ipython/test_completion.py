"""Tab completion in an InteractiveShell: what is offered, of which type, and first."""

import os
import shlex

import pytest
from IPython.core import completer
from IPython.terminal.embed import InteractiveShellEmbed

import memwatch
from boxes import put_dead_box
from memwatch.blackbox import recording
from memwatch.ipython import completion

pytestmark = pytest.mark.filterwarnings(
    "ignore:`Completer.complete` is pending:PendingDeprecationWarning"
)
needs_types = pytest.mark.skipif(
    not hasattr(completer, "context_matcher"), reason="IPython before 8.6"
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def offered(ip, typed):
    """What the shell offers for the text before the cursor, whatever offers it."""
    with completer.provisionalcompleter():
        found = list(ip.Completer.completions(typed, len(typed)))
    return [(each.text, each.type) for each in found]


def texts(ip, typed):
    return [text for text, _ in offered(ip, typed)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%memwatch to", ["top"]),
        ("%memwatch s", ["status", "save", "style"]),
        ("%memwatch style ", ["classic", "cpu", "short"]),
        ("%memwatch style cl", ["classic"]),
        ("%memwatch top --", ["--help"]),
        ("%memwatch top 5 --", ["--help"]),
        ("%memwatch --h", ["--help"]),
        ("%%memwatch --r", ["--repeat"]),
        ("memwatch hist", ["history"]),
        ("%memwatch top ", ["5", "10", "20", "50"]),
        ("%memwatch history ", ["20", "50", "100", "500"]),
        ("%memwatch -", ["-r", "--repeat", "--help", "--version"]),
        ("%%memwatch -", ["-r", "--repeat", "--leak", "--help"]),
        ("%%memwatch ", ["lines", "-r", "--repeat", "--leak", "--help"]),
        ("%%memwatch -r ", ["3", "5", "10"]),
        ("%memwatch -r ", ["3", "5", "10"]),
        ("%memwatch -r 1", ["10"]),
        ("%%memwatch -r 5 --h", ["--help"]),
    ],
)
def test_completion_by_the_shell(ip, typed, expected):
    assert sorted(ip.complete(None, typed, len(typed))[1]) == sorted(expected)


def test_subcommands_are_completed(ip):
    offered = ip.complete(None, "%memwatch ", 10)[1]
    assert set(offered) >= {
        "on", "off", "status", "last", "top", "history", "save", "style"
    }  # fmt: skip


@needs_types
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%memwatch to", [("top", "keyword")]),
        ("  %memwatch to", [("top", "keyword")]),
        ("%memwatch top ", [(n, "value") for n in ("5", "10", "20", "50")]),
        ("x = 1\n%memwatch style cp", [("cpu", "value")]),
        ("%%memwatch --rep", [("--repeat", "param")]),
        ("%%memwatch --repeat=1", [("--repeat=10", "value")]),
        ("%memwatch publish @i", [("@ipc:///", "value")]),
        ("%memwatch save ", [("top.json", "path")]),
        ("memwatch top 5", [("5", "value"), ("50", "value")]),
    ],
)
def test_ours_alone_in_our_order_with_types(ip, tmp_path, typed, expected):
    (tmp_path / "top.json").touch()
    (tmp_path / "top.txt").touch()
    assert offered(ip, typed) == expected


@needs_types
def test_only_subcommands_if_nothing_is_typed(ip, tmp_path):
    (tmp_path / "file").touch()
    found = offered(ip, "%memwatch ")
    assert found[0] == ("on", "keyword")
    assert {kind for _, kind in found} == {"keyword"}
    assert len(found) == len(set(found)) == 16


def test_subcommands_come_before_names_of_the_code(ip, tmp_path):
    (tmp_path / "top.txt").touch()
    ip.user_ns.update(topics=[], topple=lambda: 0, top=1)
    found = [text for text in texts(ip, "%memwatch top") if text != "top.txt"]
    assert set(found) >= {"top", "topics", "topple"}
    if hasattr(completer, "context_matcher"):  # else jedi is first
        assert offered(ip, "%memwatch top") == [
            ("top", "keyword"), ("topics", "instance"), ("topple", "function")
        ]  # fmt: skip


@pytest.mark.parametrize(
    "typed",
    [
        "%memwatch my_fun",
        "%memwatch x = my_fun",
        "%memwatch print(my_fun",
        "%memwatch -r 5 my_fun",
        "%memwatch f('to', my_fun",
    ],
)
def test_code_is_completed_by_ipython(ip, typed):
    ip.user_ns["my_function"] = len
    assert "my_function" in [each.rstrip("(") for each in texts(ip, typed)]


def test_names_of_python_in_code(ip):
    ip.user_ns["some"] = 1
    for typed in "%memwatch so", "%memwatch -r 5 so":
        assert ip.complete(None, typed, len(typed))[1] == ["some", "sorted"]


def test_attributes_in_code(ip):
    ip.user_ns["top"] = "text"
    assert "upper" in texts(ip, "%memwatch top.up")


def test_own_name_is_no_magic(ip):
    """A variable of the user shadows the bare name, but not the magic."""
    assert texts(ip, "memwatch to") == ["top"]
    ip.user_ns["memwatch"] = memwatch
    assert "top" not in texts(ip, "memwatch to")
    assert texts(ip, "%memwatch to") == ["top"]


def test_bare_name_needs_automagic(ip):
    ip.automagic = False
    assert "top" not in texts(ip, "memwatch to")


@needs_types
def test_bare_name_is_no_magic_in_a_cell_of_several_lines(ip):
    assert "top" not in texts(ip, "x = 1\nmemwatch to")


def test_paths_are_completed(ip, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden.csv").touch()
    for name in "kept.csv", "kept.json", "kept.txt", "folder/other.csv", "page.html":
        (tmp_path / name).touch()

    def offered(typed):
        return sorted(ip.complete(None, typed, len(typed))[1])

    assert offered("%memwatch save ") == ["folder/", "kept.csv", "kept.json"]
    assert offered("%memwatch save folder/o") == ["folder/other.csv"]
    assert offered("%memwatch report p") == ["page.html"]
    assert offered(f"%memwatch save {tmp_path}/k") == [
        f"{tmp_path}/kept.csv", f"{tmp_path}/kept.json"
    ]  # fmt: skip
    assert complete("%memwatch save nowhere/") == []
    assert complete("%memwatch save .h") == [".hidden.csv"]


def test_suggestions_if_nothing_is_found(ip):
    """Else IPython lists all magics, keywords and names."""
    assert complete("%memwatch save ") == ["memwatch.json", "memwatch.csv"]
    assert complete("%memwatch report ") == ["memwatch.html"]
    assert complete("%memwatch last ") == ["--help"]
    assert ip.complete(None, "%memwatch postmortem ", 21)[1] == ["--help"]


def test_home_is_completed(ip, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "kept.csv").touch()
    assert ip.complete(None, "%memwatch save ~", 16)[1] == ["~/"]
    assert ip.complete(None, "%memwatch save ~/k", 18)[1] == ["~/kept.csv"]


AWKWARD = "a b.csv", "a'c.csv", 'a"d.csv', "a\\e.csv", "a&f;.csv"


@pytest.mark.parametrize("typed", ["", "a", "'a", '"a', "a\\ ", "'a ", '"a b.'])
def test_paths_are_quoted_as_shlex_reads_them(tmp_path, typed):
    for name in AWKWARD:
        (tmp_path / name).touch()
    found = complete(f"%memwatch save {typed}")
    wanted = AWKWARD[:1] if len(typed) > 2 else AWKWARD
    assert sorted(shlex.split(each) for each in found) == [[n] for n in sorted(wanted)]
    assert all(each.startswith(typed) for each in found)


def test_quotes_stay_open_in_a_folder(tmp_path):
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder" / "kept.csv").touch()
    assert complete("%memwatch save 'my") == ["'my folder/"]
    assert complete("%memwatch save 'my folder/") == ["'my folder/kept.csv'"]
    assert complete("%memwatch save my\\ folder/") == ["my\\ folder/kept.csv"]


@needs_types
def test_a_path_with_spaces_replaces_the_whole_word(ip, tmp_path):
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder" / "kept.csv").touch()
    for typed in "my\\ fo", "'my fo", '"my fo':
        line = f"%memwatch save {typed}"
        with completer.provisionalcompleter():
            (found,) = ip.Completer.completions(line, len(line))
        assert line[found.start : found.end] == typed
        assert found.text.startswith(typed)


def test_names_that_would_be_evaluated_are_left_out(tmp_path):
    for name in "{boom()}.csv", "$boom.csv", "\x1b[2J.csv", "fine.csv":
        (tmp_path / name).touch()
    assert complete("%memwatch save ") == ["fine.csv"]


def test_killed_processes_are_completed(ip):
    ip.run_cell("x = 1", store_history=True)
    dead = put_dead_box(
        bytearray(recording.box_path().read_bytes()), pid=999999999, t_ended_ns=-1
    )
    try:
        assert texts(ip, "%memwatch postmortem 9") == ["999999999"]
        assert str(os.getpid()) not in texts(ip, "%memwatch postmortem ")
    finally:
        dead.unlink()


def complete(line):
    """As complete(), without names of the user; the texts."""
    return [each.text for each in completion.complete(line, None, {})[1]]


@pytest.mark.parametrize(
    "line",
    [
        "", "%memwatch top 5 ", "%memwatch nothing ", "%%memwatch -r 5 ",
        "%memwatch save \\", '%memwatch save "\\', "%memwatch last x", "%memwatch",
        "%memwatch save a\0",
    ],
)  # fmt: skip
def test_nothing_to_complete(line):
    assert complete(line) == []


def test_completion_of_the_end_of_a_word(ip):
    """Before IPython 8.6 the shell replaces only what follows a quote or a sign."""
    typed = "%memwatch publish @tcp://127.0.0.1:"
    assert ip.complete(None, typed, len(typed))[1] in (
        ["@tcp://127.0.0.1:*"], ["*"],
    )  # fmt: skip


@needs_types
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%memwatch st", [("status", "keyword"), ("style", "keyword")]),
        ("x = 1\n%memwatch style s", [("short", "value")]),
        ("%%memwatch --r", [("--repeat", "param")]),
        ("%memwatch save '/pro", [("'/proc/", "path")]),
    ],
)
def test_types_in_jupyterlab(kernel, typed, expected):
    """JupyterLab shows the types that a kernel puts into the metadata."""
    client = kernel.client
    content = kernel.reply_to(client.complete(typed, len(typed)))["content"]
    items = content["metadata"]["_jupyter_types_experimental"]
    assert [(each["text"], each["type"]) for each in items] == expected
    assert content["matches"] == [text for text, _ in expected]
    assert typed[content["cursor_start"] : content["cursor_end"]] == typed.split()[-1]


def registered(ip):
    hooks = ip.strdispatchers["complete_command"].strs
    return len(ip.Completer.custom_matchers) + len([k for k in hooks if "memw" in k])


def test_unloading_removes_magics_and_completion(ip, show):
    show("%unload_ext memwatch")
    assert "memwatch" not in ip.magics_manager.magics["cell"]
    assert "memwatch_quiet" not in ip.magics_manager.magics["cell"]
    assert registered(ip) == 0
    assert ip.complete(None, "%memwatch to", 12)[1] != ["top"]


def test_loading_again_registers_once(ip, show):
    once = registered(ip)
    assert once > 0
    show("%reload_ext memwatch")
    show("%load_ext memwatch")
    memwatch.load_ipython_extension(ip)
    assert registered(ip) == once
    assert texts(ip, "%memwatch to") == ["top"]


def test_reloaded_module(ip, show):
    """As with %autoreload: unloading removes what the module registered before."""
    show("import importlib; import memwatch.ipython.completion as reloaded")
    show("importlib.reload(reloaded)")
    assert texts(ip, "%memwatch to") == ["top"]
    show("%unload_ext memwatch")
    assert registered(ip) == 0


def test_second_shell_has_its_own(ip):
    inner = InteractiveShellEmbed(user_ns={"topics": 1})
    memwatch.load_ipython_extension(inner)
    assert set(texts(inner, "%memwatch top")) == {"top", "topics"}
    assert texts(ip, "%memwatch top") == ["top"]
    memwatch.unload_ipython_extension(inner)
    assert registered(inner) == 0
    assert texts(ip, "%memwatch to") == ["top"]
