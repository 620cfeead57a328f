"""The session as a matplotlib figure."""

import pytest

from chart_shapes import SHAPES, every_shape, session
from memwatch import History
from support import MIB, run_python


@pytest.fixture
def plotting():
    return pytest.importorskip("memwatch.display.figures", reason="no matplotlib")


def test_plot_returns_axes_with_units_and_no_pyplot(plotting):
    history = History()
    for cell in session(100, 200, 400):
        history.append(cell)
    axes = history.plot()
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    assert axes.get_xlabel() == "time in cells (s), pauses left out"
    assert axes.get_ylabel() == "RSS (MiB)"
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == ["400", "200", "100", "[1]", "[2]", "[3]"]
    assert axes.get_ylim()[0] == 0
    (peaks,) = [line for line in axes.lines if line.get_label() == "peak"]
    assert list(peaks.get_ydata()) == [100, 200, 400]
    begins, ends = axes.get_xlim()
    assert (begins, round(ends, 9)) == (0, 0.006)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:3] == ["RSS", "kept", "peak"]


def test_plot_into_axes_of_ones_own(plotting):
    from matplotlib.figure import Figure

    own = Figure().subplots()
    assert plotting.plot(session(100), own) is own
    assert own.get_ylabel() == "RSS (MiB)"


def test_plot_leaves_pyplot_alone():
    pytest.importorskip("matplotlib")
    told = run_python(
        "import sys, memwatch\n"
        "with memwatch.watch('load'):\n"
        "    x = bytearray(32 << 20)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "axes = memwatch.history.plot()\n"
        "png, size = axes._repr_png_()\n"
        "print('matplotlib.pyplot' in sys.modules, png[:4], sorted(size))"
    )
    assert told.strip() == r"False b'\x89PNG' ['height', 'width']"


@pytest.mark.parametrize(
    ("limit_mib", "drawn"), [(120, True), (800, True), (801, False)]
)
def test_limit_is_drawn_within_sight(plotting, limit_mib, drawn):
    axes = plotting.plot(session(100, 400), limit_bytes=limit_mib * MIB)
    labels = [line.get_label() for line in axes.lines]
    assert (f"limit, {limit_mib}.00 MiB" in labels) is drawn


@every_shape
def test_plot_of_every_shape(plotting, name):
    axes = plotting.plot([SHAPES[name], SHAPES["ramp"], SHAPES[name]])
    png, size = axes._repr_png_()
    assert png.startswith(b"\x89PNG")
    # Twice as many pixels as the page has for it.
    assert int.from_bytes(png[16:20], "big") == 2 * size["width"]


def test_plot_shows_the_peak_with_children(plotting):
    from dataclasses import replace

    alone, pool = session(100, 100)
    axes = plotting.plot([alone, replace(pool, tree_pss_peak_bytes=700 * MIB)])
    (trees,) = [
        each for each in axes.collections if each.get_label() == "with children"
    ]
    ((begin, end),) = trees.get_segments()
    assert begin[1] == end[1] == 700
    assert begin[0] == pytest.approx(end[0] / 2)
    assert axes.get_ylim()[1] > 700


def test_plot_labels_the_highest_peaks(plotting):
    axes = plotting.plot(session(100, 2000, 300, 400, 50))
    labels = [each.get_text() for each in axes.texts]
    assert labels[:3] == ["2,000", "400", "300"]
    # A thousand cells: only labels that do not overlap.
    axes = plotting.plot(session(*range(1000, 2000)))
    places = [each.xy[0] for each in axes.texts[:3]]
    assert (
        min(places[0] - places[1], places[1] - places[2]) >= 0.05 * axes.get_xlim()[1]
    )


def test_plot_of_nothing(plotting):
    axes = plotting.plot([])
    assert [text.get_text() for text in axes.texts] == ["no cells with figures so far"]


def test_plot_of_ten_thousand_cells_is_bounded(plotting):
    axes = plotting.plot(session(*range(100, 10_100)))
    (memory,) = [line for line in axes.lines if line.get_label() == "RSS"]
    assert len(memory.get_xdata()) <= 50_000


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_colours_stand_out_from_light_and_dark(plotting, page):
    """As WCAG 2 counts: 3 for what is drawn. The bars are hatched besides."""
    for name in ("RSS", "peak", "with children"):
        assert contrast(plotting.COLOURS[name], page) >= 3, name
    assert contrast(plotting.COLOURS["text"], page) >= 4.3


def test_plot_error_names_the_install_command():
    told = run_python(
        "import sys, memwatch\n"
        "sys.modules['matplotlib'] = None\n"
        "try:\n"
        "    memwatch.history.plot()\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    assert told.startswith("plotting requires matplotlib: pip install matplotlib (")
