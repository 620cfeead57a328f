"""``c.MemWatch.display``: which front ends get a chart after the line."""

import inspect
import sys
import warnings

import nbformat
import pytest

import memwatch
from memwatch import warn
from support import CLASSIC, MIB, Kernel, lines_in

# At least 0.1 s and 1 MiB: such a cell gets a chart.
SHAPED = "import time; x = pages(32); time.sleep(0.12); del x"
FOR_KERNELS = SHAPED.replace("pages(32)", "bytearray(b'x') * (32 << 20)")


@pytest.fixture
def published(shell, monkeypatch):
    """The MIME bundles that a shell with memwatch publishes."""
    shell.run_line_magic("load_ext", "memwatch")
    found = []
    monkeypatch.setattr(
        shell.display_pub, "publish", lambda data, *more, **options: found.append(data)
    )
    return found


def run_named(shell, code):
    """Run it as a notebook front end does: with a cell id."""
    if "cell_id" not in inspect.signature(shell.run_cell).parameters:
        pytest.skip("this IPython has no cell ids")
    return shell.run_cell(code, store_history=True, cell_id="a-cell")


def test_auto_shows_a_chart_in_a_notebook(shell, published, capsys):
    run_named(shell, SHAPED)
    assert len(lines_in(capsys.readouterr().out)) == 1
    (bundle,) = published
    assert set(bundle) == {"text/html", "text/plain"}
    assert "<svg " in bundle["text/html"]
    assert "<" not in bundle["text/plain"]


def test_auto_shows_no_chart_elsewhere(shell, published, capsys):
    run_named(shell, "pass")
    run_named(shell, "import time; time.sleep(0.12)")
    shell.run_cell(SHAPED, store_history=True)  # without a cell id
    shell.display_formatter.active_types = ["text/plain"]
    run_named(shell, SHAPED)
    assert published == []
    assert len(lines_in(capsys.readouterr().out)) == 4


def test_line_does_not_depend_on_display(shell, published, capsys):
    for mode in "line", "sparkline", "auto":
        shell.run_cell(f"%config MemWatch.display = '{mode}'")
        capsys.readouterr()
        shell.run_cell(SHAPED, store_history=True)
        assert CLASSIC.fullmatch(capsys.readouterr().out.rstrip("\n"))
    modes = ["sparkline", "sparkline"]  # one for the cell that sets it
    assert len(published) == len(modes)


def test_line_mode_shows_no_chart(shell, published):
    shell.run_cell("%config MemWatch.display = 'line'")
    run_named(shell, SHAPED)
    assert published == []


def test_no_chart_without_a_line(shell, published, capsys):
    shell.run_cell("%config MemWatch.display = 'sparkline'", silent=True)
    shell.run_cell(SHAPED, silent=True)
    shell.run_cell(f"get_ipython().run_cell({SHAPED!r})", store_history=True)
    assert len(published) == len(lines_in(capsys.readouterr().out)) == 1


def test_failure_to_show_a_chart_is_one_warning_after_the_line(
    shell, published, capsys, monkeypatch
):
    def fail(*arguments, **options):
        raise OSError(32, "Broken pipe")

    monkeypatch.setattr(warn, "_warned", set())
    monkeypatch.setattr(shell.display_pub, "publish", fail)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shell.run_cell("%config MemWatch.display = 'sparkline'")
        for _ in range(2):
            assert shell.run_cell(SHAPED, store_history=True).success
    messages = [str(each.message) for each in caught if "memwatch" in str(each.message)]
    assert messages == ["memwatch cannot show a chart: Broken pipe"]
    assert len(lines_in(capsys.readouterr().out)) == 3


def test_invalid_display_is_one_warning_and_the_default(shell, monkeypatch):
    monkeypatch.setattr(warn, "_warned", set())
    shell.config.MemWatch.display = "sparklines"
    with pytest.warns(memwatch.MemwatchWarning, match="MemWatch.display.*sparklines"):
        shell.run_line_magic("load_ext", "memwatch")
    assert shell.magics_manager.registry["MemWatch"].display == "auto"


# ---- real kernels ----


def messages(kernel, code, **metadata):
    """The type and content of each message that the cell sends."""
    found = kernel.messages_of(kernel.send_request(code, metadata))
    return [each for each in found if each[0] not in ("status", "execute_input")]


def test_kernel_sends_the_line_and_then_the_chart(kernel):
    shown = messages(kernel, FOR_KERNELS, cellId="a-cell")
    cell_id = kernel.run("import memwatch; print(memwatch.history[-1].cell_id)")
    if cell_id.startswith("None"):
        pytest.skip("this ipykernel has no cell ids")
    (first, line), (second, picture) = shown
    assert (first, second) == ("stream", "display_data")
    assert len(lines_in(line["text"])) == 1
    assert set(picture["data"]) == {"text/html", "text/plain"}
    assert "Memory of In [" in picture["data"]["text/html"]


def test_console_gets_no_chart(kernel):
    ((kind, line),) = messages(kernel, FOR_KERNELS)
    assert kind == "stream"
    assert CLASSIC.fullmatch(line["text"].rstrip("\n"))


def test_nbclient_gets_no_chart():
    from nbclient import NotebookClient

    v4 = nbformat.v4
    cells = [v4.new_code_cell(code) for code in ("%load_ext memwatch", FOR_KERNELS)]
    notebook = v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, kernel_name="python3", extra_arguments=["--log-level=ERROR"]
    ).execute()
    for cell in notebook.cells:
        (output,) = cell.outputs
        assert CLASSIC.fullmatch(output.text.rstrip("\n"))


@pytest.mark.parametrize("plot", ["%memwatch plot", "memwatch.history.plot()"])
@pytest.mark.parametrize("before", ["pass", "%matplotlib inline"])
def test_plot_shows_the_session_once(kernel, plot, before):
    pytest.importorskip("matplotlib")
    kernel.run(f"import memwatch\n{before}")
    shown = messages(kernel, plot)
    pictures = [(kind, each) for kind, each in shown if "data" in each]
    ((kind, picture),) = pictures
    assert kind == "execute_result"
    assert set(picture["data"]) == {"image/png", "text/plain"}
    assert "RSS in MiB" in picture["data"]["text/plain"]
    assert set(picture["metadata"]["image/png"]) == {"width", "height"}
    figures = kernel.run("import matplotlib.pyplot as plt; print(plt.get_fignums())")
    assert figures.startswith("[]")


def test_plot_without_matplotlib_names_what_to_install():
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch\nimport sys; sys.modules['matplotlib'] = None")
        shown = messages(kernel, "%memwatch plot")
    finally:
        kernel.close()
    text = "".join(each.get("text", "") for _, each in shown)
    assert "plotting requires matplotlib: pip install matplotlib (" in text
    assert "Traceback" not in text


def test_plot_in_blocks_needs_no_matplotlib(shell, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shell.run_line_magic("load_ext", "memwatch")
    shell.display_formatter.active_types = ["text/plain"]
    shell.run_cell("kept = pages(16)", store_history=True)
    capsys.readouterr()
    shell.run_line_magic("memwatch", "plot")
    assert capsys.readouterr().out.startswith("1 cell, RSS in MiB, peak ")
    assert memwatch.history[-1].used_bytes > 15 * MIB
