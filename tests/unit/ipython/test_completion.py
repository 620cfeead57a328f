"""Tab completion."""

import pytest

from memwatch.ipython.completion import complete

pytestmark = pytest.mark.filterwarnings(
    "ignore:`Completer.complete` is pending:PendingDeprecationWarning"
)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%memwatch to", ["top"]),
        ("%memwatch s", ["status", "save", "style"]),
        ("%memwatch style ", ["classic", "cpu", "short"]),
        ("%memwatch style cl", ["classic"]),
        ("%memwatch top --", ["--help"]),
        ("%memwatch --h", ["--help"]),
        ("%%memwatch --r", ["--repeat"]),
        ("memwatch hist", ["history"]),
    ],
)
def test_completion_by_the_shell(ip, typed, offered):
    assert sorted(ip.complete(None, typed, len(typed))[1]) == sorted(offered)


def test_subcommands_are_completed(ip):
    offered = ip.complete(None, "%memwatch ", 10)[1]
    assert set(offered) >= {
        "on", "off", "status", "last", "top", "history", "save", "style"
    }  # fmt: skip


def test_paths_are_completed(ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden.csv").touch()
    for name in "kept.csv", "kept.json", "kept.txt", "folder/other.csv":
        (tmp_path / name).touch()

    def offered(typed):
        return sorted(ip.complete(None, typed, len(typed))[1])

    assert offered("%memwatch save ") == ["folder/", "kept.csv", "kept.json"]
    assert offered("%memwatch save folder/o") == ["folder/other.csv"]
    assert offered(f"%memwatch save {tmp_path}/k") == [
        f"{tmp_path}/kept.csv", f"{tmp_path}/kept.json"
    ]  # fmt: skip
    assert complete("%memwatch save nowhere/", "nowhere/") == []


def test_completion_of_the_end_of_a_word():
    """A shell may complete only the end of a word."""
    assert complete("%memwatch --help", "help") == ["help"]
    assert complete("%memwatch top 5 ", "") == []
    assert complete("%memwatch nothing ", "") == []
    assert complete("", "") == []
    assert complete("%%memwatch -r ", "") == []


def test_unloading_removes_magics_and_completion(ip, show):
    show("%unload_ext memwatch")
    assert "memwatch" not in ip.magics_manager.magics["cell"]
    assert "memwatch_quiet" not in ip.magics_manager.magics["cell"]
    assert ip.complete(None, "%memwatch to", 12)[1] != ["top"]
