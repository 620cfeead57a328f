"""Errors: a cell's window closes before IPython formats its traceback."""

import IPython
import pytest

import memwatch
from shells import open_windows, run_cell
from support import pages


@pytest.fixture
def formatting(ip, monkeypatch):
    """Every formatted traceback keeps 64 MiB; a KeyError in pandas keeps 11."""
    kept = []

    def keeps(show):
        def shown(*arguments, **options):
            kept.append(pages(64))
            return show(*arguments, **options)

        return shown

    for name in "InteractiveTB", "SyntaxTB":
        handler = getattr(ip, name)
        shown = keeps(handler.structured_traceback)
        monkeypatch.setattr(handler, "structured_traceback", shown)
    return kept


def reject(lines):
    if lines == ["rejected\n"]:
        raise ValueError("rejected")
    return lines


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("x = pages(16); del x; 1/0", "error"),
        ("import asyncio\nawait asyncio.sleep(0)\n1/0", "error"),
        ("raise KeyboardInterrupt", "interrupted"),
        ("def f():\n    raise KeyError(1)\ntry: f()\nexcept KeyError: g", "error"),
        ("1 +", "error"),
        ("  x = 1\n y = 2", "error"),
        ("return", "error"),
        pytest.param(
            "%%time\n1/0",
            "error",
            marks=pytest.mark.skipif(
                IPython.version_info < (9,),
                reason="%%time of IPython 8 shows the error itself, and succeeds",
            ),
        ),
        ("rejected", "error"),
    ],
)
def test_formatting_an_error_is_not_charged_to_the_cell(
    ip, capsys, formatting, code, status
):
    ip.input_transformers_post.append(reject)
    (line,) = run_cell(ip, code, capsys)
    assert formatting
    assert abs(line.used) < 2
    assert line.peaked < 18
    report = memwatch.history[-1]
    assert report.status == status
    assert report.execution_count == line.n == 1
    assert len(memwatch.history) == 1
    assert open_windows() == 0
    formatting.clear()
    assert abs(run_cell(ip, "pass", capsys)[0].used) < 2


@pytest.mark.parametrize(
    "code",
    [
        "try: 1/0\nexcept Exception: get_ipython().showtraceback()",
        "get_ipython().run_cell('1/0')",
        "%%capture\n1/0",
        "%run nowhere.py",
        "class Bad:\n    def __repr__(self): 1/0\ndisplay(Bad())",
    ],
)
def test_cell_that_shows_an_error_is_measured_to_its_end(ip, capsys, code):
    (line,) = run_cell(ip, f"{code}\nkept = pages(32)", capsys)
    if not code.startswith(("%%", "%run")):
        # Here the cell itself formats the traceback: some MiB the first time.
        assert 30 < line.used < 48
    status = "error" if code.startswith("%run") else "ok"
    assert memwatch.history[-1].status == status


def test_failing_callback_of_another_extension_does_not_end_the_cell(ip, capsys):
    def fails(info):
        raise ValueError("not ours")

    ip.events.register("pre_run_cell", fails)
    (line,) = run_cell(ip, "kept = pages(32)", capsys)
    ip.events.unregister("pre_run_cell", fails)
    assert abs(line.used - 32) < 1
    assert memwatch.history[-1].status == "ok"


def test_custom_exception_handler_that_shows_a_traceback(ip, capsys, formatting):
    def handler(self, kind, value, traceback, tb_offset=None):
        self.showtraceback((kind, value, traceback), tb_offset=tb_offset)

    ip.set_custom_exc((ZeroDivisionError,), handler)
    (line,) = run_cell(ip, "1/0", capsys)
    assert formatting
    assert abs(line.used) < 2
    assert memwatch.history[-1].status == "error"


def test_interrupt_while_an_error_is_formatted(ip, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ip.InteractiveTB, "structured_traceback", interrupted)
    (line,) = run_cell(ip, "1/0", capsys)
    assert line.n == 1
    assert memwatch.history[-1].status == "error"


WRAPPED = ("showtraceback", "showsyntaxerror", "showindentationerror")


def test_unloading_restores_the_shells_methods(ip):
    assert set(WRAPPED) <= set(vars(ip))
    ip.run_line_magic("unload_ext", "memwatch")
    assert not set(WRAPPED) & set(vars(ip))


def test_methods_that_another_extension_wraps_too(shell, capsys):
    """As rich.traceback.install() does, before and after memwatch is loaded."""
    calls = []

    def wrap(name):
        inner = shell.showtraceback

        def shows(*arguments, **options):
            calls.append(name)
            return inner(*arguments, **options)

        shell.showtraceback = shows
        return shows

    before = wrap("before")
    shell.run_line_magic("load_ext", "memwatch")
    shell.run_line_magic("unload_ext", "memwatch")
    assert shell.showtraceback is before
    shell.run_line_magic("load_ext", "memwatch")
    after = wrap("after")
    shell.user_ns["kept"] = kept = []

    class BigError(Exception):
        def _render_traceback_(self):
            kept.append(pages(32))
            return ["shown"]

    shell.user_ns["BigError"] = BigError
    for _ in range(2):
        (line,) = run_cell(shell, "raise BigError", capsys)
        assert abs(line.used) < 2
        assert calls == ["after", "before"]
        calls.clear()
        run_cell(shell, "%memwatch off", capsys)
        run_cell(shell, "%memwatch on", capsys)
    shell.run_line_magic("unload_ext", "memwatch")
    assert shell.showtraceback is after
    assert run_cell(shell, "raise BigError", capsys) == []
    assert calls == ["after", "before"]
