"""Sparklines, blocks and the session's figure, of reports of every shape."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from chart_shapes import SHAPES, every_shape, report, session
from memwatch import CellReport
from memwatch.display import charts
from support import MIB

SVG = re.compile(r"<svg .*</svg>", re.S)


class Words(HTMLParser):
    """The text of a page, and its tags, as a browser would see them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


# ---- the sparkline ----


@every_shape
def test_sparkline_is_small_whole_and_alone(name):
    html = charts.sparkline(SHAPES[name])
    assert len(html.encode()) < 4096
    ET.fromstring(html)  # well-formed: nothing is left open, all is escaped
    assert {tag for tag, _ in Words(html).tags} <= {
        "div", "span", "svg", "path", "circle", "metadata",
    }  # fmt: skip
    assert not re.search(r"\b(id|href|src|on\w+|class)=", html.replace(CLASS, ""))
    assert "background" not in html
    assert "\ud800" not in html


@every_shape
def test_sparkline_is_small_with_any_label(name):
    for label in '"' * 99, "\U0001f9e0" * 99:
        large = {"used_bytes": -(2**62), "peaked_bytes": 2**62, "duration_ns": 2**63}
        named = replace(SHAPES[name], label=label, peak_method="sampled", **large)
        assert len(charts.sparkline(named).encode()) < 4096


CLASS = 'class="memwatch-sparkline"'


@every_shape
def test_sparkline_is_drawn_inside_of_its_box(name):
    for svg in SVG.findall(charts.sparkline(SHAPES[name])):
        root = ET.fromstring(svg)
        _, _, width, height = map(int, root.get("viewBox").split())
        curve, *_ = root.findall("./svg/path")
        numbers = re.fullmatch(
            r"M-9 \d+V(\d+)H0((?:[lLhHvV][-\d ]+)*)H\d+V\d+", curve.get("d")
        )
        assert numbers, curve.get("d")
        x, y = 0, int(numbers[1])
        for dx, dy in re.findall(r"l(-?\d+) ?(-?\d+)", numbers[2]):
            x, y = x + int(dx), y + int(dy)
            assert 0 <= x <= width
            assert 0 <= y <= height
        for circle in root.findall("circle"):
            radius = int(circle.get("r"))
            assert radius <= int(circle.get("cx")) <= width - radius
            assert radius <= int(circle.get("cy")) <= height - radius


def curve_of(each):
    """The points that are drawn."""
    d = ET.fromstring(SVG.search(charts.sparkline(each))[0]).find("./svg/path").get("d")
    x, y = 0, int(re.match(r"M-9 \d+V(\d+)", d)[1])
    points = [(x, y)]
    for dx, dy in re.findall(r"l(-?\d+) ?(-?\d+)", d):
        x, y = x + int(dx), y + int(dy)
        points.append((x, y))
    return points


def test_no_spike_is_simplified_away():
    for at in range(1, 511):
        sizes = [50 * MIB] * 512
        sizes[at] = 500 * MIB
        points = curve_of(report(sizes))
        (spike,) = {point for point in points if point[1] == min(y for _, y in points)}
        assert abs(spike[0] - at * 480 / 511) <= 1


def test_no_dip_is_simplified_away():
    for at in range(1, 511):
        sizes = [500 * MIB] * 512
        sizes[at] = 50 * MIB
        assert len({y for _, y in curve_of(report(sizes))}) == 2


def test_scale_begins_at_0():
    """So 3 MiB more are not drawn as high as 285 MiB more."""
    small, large = (
        curve_of(report([100 * MIB, (100 + grown) * MIB])) for grown in (3, 285)
    )
    assert [y for _, y in small] == [8 + round(3 / 103 * 72), 8]
    assert [y for _, y in large] == [8 + round(285 / 385 * 72), 8]


def test_jitter_of_some_pages_is_drawn_flat():
    heights = {y for _, y in curve_of(SHAPES["jitter"])}
    assert max(heights) - min(heights) <= 1


def test_peak_is_marked_where_it_was():
    sizes = [50 * MIB] * 101
    sizes[75] = 500 * MIB
    svg = ET.fromstring(SVG.search(charts.sparkline(report(sizes)))[0])
    (circle,) = svg.findall("circle")
    assert abs(int(circle.get("cx")) - 8 - 0.75 * 480) <= 1
    assert int(circle.get("cy")) == 8


def test_peak_between_samples_is_a_level_without_a_time():
    svg = SVG.search(charts.sparkline(SHAPES["peak between samples"]))[0]
    assert "<circle" not in svg
    assert 'd="M8 8h480"' in svg
    assert "stroke-dasharray" in svg
    assert min(y for _, y in curve_of(SHAPES["peak between samples"])) > 8


def test_text_alternative_tells_used_peak_total_and_duration():
    sizes = [50 * MIB, 450 * MIB, 62.5 * MIB]
    html = charts.sparkline(report(sizes, [0, 10**9, 1_720_000_000]))
    (_, svg), *_ = [each for each in Words(html).tags if each[0] == "svg"]
    assert svg["role"] == "img"
    assert svg["aria-label"] == (
        "Memory of In [3] over 1.72 s: used 12.50 MiB, peak 450.00 MiB,"
        " peaked 387.50 MiB above current, total 62.50 MiB"
    )


def test_caption_remains_where_the_svg_is_dropped():
    sizes = [50 * MIB, 450 * MIB, 62.5 * MIB]
    html = charts.sparkline(report(sizes, [0, 10**9, 1_720_000_000]))
    caption = ["peak 450.00 MiB", "lowest 50.00 MiB over 1.72 s"]
    assert Words(SVG.sub("", html)).text == caption
    # A sanitizer that drops the tags keeps the text: the shape as blocks.
    shape, *words = Words(html).text
    assert words == caption
    assert re.fullmatch("▁{23}█{16}▂", shape)


def test_sampled_peak_is_marked_as_a_lower_bound():
    html = charts.sparkline(SHAPES["sampled"])
    assert html.count("peak at least 90.00 MiB") == 2


def test_labels_are_text():
    (_, svg), *_ = [
        each
        for each in Words(charts.sparkline(SHAPES["long label"])).tags
        if each[0] == "svg"
    ]
    assert '"><script>alert(1)</script>&' in svg["aria-label"]


def test_absent_figures_are_not_zero():
    words = Words(charts.sparkline(SHAPES["nothing"])).text
    assert words == ["memory unknown"]
    assert "used ? MiB" in charts.describe(SHAPES["nothing"])
    assert "unknown time" in charts.describe(SHAPES["no clock"])


def test_colours_follow_the_page():
    html = charts.sparkline(SHAPES["ramp"])
    colours = set(re.findall(r'(?:stroke|fill)="([^"]+)"', html))
    assert colours == {"none", "currentColor", "#d55e00"}
    assert "color:var(--jp-ui-font-color1,currentColor)" in html


# ---- which cells get one ----


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("ramp", True), ("spike", True), ("gave back", True), ("two points", True),
        ("peak between samples", True), ("flat", False), ("jitter", False),
        ("single point", False), ("all at once", False), ("nothing", False),
    ],
)  # fmt: skip
def test_has_shape(name, worth):
    assert charts.has_shape(SHAPES[name]) is worth


def test_a_flash_has_no_shape():
    sizes = [50 * MIB, 450 * MIB, 50 * MIB]
    assert not charts.has_shape(report(sizes, [0, 40_000_000, 99_999_999]))
    assert charts.has_shape(report(sizes, [0, 40_000_000, 100_000_000]))


# ---- blocks ----


def test_blocks():
    assert charts.blocks([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert charts.blocks([7, 7, 7], 8) == "███"
    assert charts.blocks([50, 103], 8) == "▄█"
    assert charts.blocks([0, 0], 8) == "▁▁"
    assert charts.blocks([], 8) == ""
    assert charts.blocks([0] * 500 + [1] + [0] * 499, 10) == "▁▁▁▁▁█▁▁▁▁"
    assert len(charts.blocks(range(1000), 33)) == 33
    with pytest.raises(ValueError, match="expected a width of at least 1"):
        charts.blocks([1], 0)


@every_shape
@pytest.mark.parametrize("width", [1, 13, 40, 200])
def test_charts_keep_to_their_size(name, width):
    head, *rows = charts.session_chart([SHAPES[name]], width, 5).splitlines()
    assert head
    drawn = [row for row in rows if "┤" in row]
    margin = max((row.index("┤") + 1 for row in drawn), default=0)
    assert len(drawn) in (0, 5)
    assert all(len(row) <= max(width, margin + 1) for row in rows)


def test_session_chart_tells_the_cells_apart():
    head, *rows, foot = charts.session_chart(session(100, 200, 400), 80, 4).splitlines()
    assert head == "3 cells, RSS in MiB, peak 400.00"
    assert rows[0].startswith("400.00 ┤")
    assert rows[-1].startswith("     0 ┤")
    assert foot.split() == ["1", "2", "3"]
    # The third reaches the top, and only the third; its number stands below it.
    assert "█" in rows[0][foot.index("3") :]
    assert "█" not in rows[0][: foot.index("3")]
    assert rows[0].index("█") < foot.index("3") + 8


def test_session_chart_of_more_cells_than_columns_keeps_the_peak():
    cells = session(*[100] * 700, 900, *[100] * 299)
    head, *rows, foot = charts.session_chart(cells, 80, 4).splitlines()
    assert head == "1000 cells, RSS in MiB, peak 900.00"
    (column,) = [i for i, each in enumerate(rows[0][8:]) if each == "█"]
    assert abs(column - 0.7 * 72) <= 2
    assert foot.split() == ["1", "1000"]


def test_session_chart_tells_the_limit():
    chart = charts.session_chart(session(100), limit_bytes=512 * MIB)
    assert chart.splitlines()[0] == "1 cell, RSS in MiB, peak 100.00, limit 512.00"


def test_session_chart_of_nothing():
    assert charts.session_chart([]) == "no cells with figures so far"
    assert charts.session_chart([CellReport()]) == "no cells with figures so far"
