"""The page of `memwatch run --html`: what is in it, and what a browser makes of it."""

import re

import pytest

from browsing import CONTRAST, SCREENSHOTS
from memwatch.run.budgets import budgets
from memwatch.run.budgets.budgets import Budget, Budgets, parse_size
from memwatch.run.output import curve, page
from runs import cell, not_run, run
from support import MIB

HELD = Budgets(
    (
        Budget("peak", parse_size("300MiB"), "--max-peak"),
        Budget("used", parse_size("60MiB"), "--max-used"),
    )
)
LONG = "x = np.ones((1000, 1000)); y = x @ x.T; z = some_function(x, first=1, second=2)"
SOURCES = [
    "import numpy as np\nimport pandas as pd",
    "data = pd.read_csv('measurements.csv')",
    "# Clean\ndata = data.dropna()\n\nfor name in data.columns:\n    data[name] += 1",
    LONG,
    "model.fit(data)",
    "del data",
]
# Used, above that at its peak, seconds.
COSTS = [
    (30, 0, 0.4), (80, 90, 1.2), (0, 20, 0.05), (8, 8, 2), (2, 170, 3), (-95, 0, 0.001),
]  # fmt: skip


def analysis(count=6):
    cells, at = [], 60.0
    for i in range(count):
        used, above, seconds = COSTS[i % 6]
        peak = max(at, at + used) + above
        source = SOURCES[i % 6]
        cells.append(
            cell(2 * i, source, start=at, end=at + used, peak=peak, number=i + 1,
                 seconds=seconds)
        )  # fmt: skip
        at += used
    return cells


def samples():
    killed = [
        *analysis(2),
        cell(4, "boom()", start=170, end=900, peak=1024, number=3, state="died",
             peak_method="sampled"),
        not_run(6, "never()\nnot_this()"),
    ]  # fmt: skip
    runs = [
        run(*analysis(), notebook="nb/analysis of the measurements.ipynb",
            limit_bytes=500 * MIB, limit_set_by="cgroup",
            host="node-7", output="out/analysis.ipynb", attempts=2),
        run(*killed, notebook="nb/killed.ipynb", state="died",
            message="the kernel was killed by signal 9 while it ran In [3]"),
        run(*analysis(60), notebook="nb/many.ipynb"),
        run(not_run(0, "x"), notebook="nb/none.ipynb", state="no kernel",
            message="there is no kernel 'julia-1.9'", duration_ns=None),
    ]  # fmt: skip
    return runs, [each for one in runs[:2] for each in budgets.check(one, HELD)]


# ---- without a browser ----


def test_page_loads_nothing():
    text = page.render(*samples())
    assert not re.search(r"<(?:link|img|iframe|object|embed|base)\b", text)
    assert not re.search(r"""\b(?:src|srcset|action)\s*=""", text)
    assert set(re.findall(r'href="(.)', text)) == {"#"}
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    assert " style=" not in text  # which the policy would not admit
    assert " on" not in re.sub(r">[^<]*<", "><", text.partition("<body>")[2])


def test_every_link_leads_somewhere():
    text = page.render(*samples())
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)


def test_page_of_no_notebook_and_of_one():
    assert "no notebooks" in page.render([])
    one = page.render([run(cell(0, "x"))])
    assert "1 notebook: 1 ok" in one
    assert ">Notebooks</h2>" not in one
    assert "No code cells" in page.render([run()])


def test_unknown_figures_are_not_zero():
    unknown = {"used_bytes": None, "duration_ns": None, "timeline": None}
    text = page.render([run(cell(0, "x", rss_peak_bytes=None, **unknown))])
    assert text.count('data-value="">\N{EN DASH}</td>') == 3
    assert "≥ 61.00" in page.render([run(cell(0, "x", peak=61, peak_method="sampled"))])


def test_whose_limit_it_is():
    assert "500.00 MiB, set by the cgroup<" in page.render(*samples())
    one = run(cell(0, "x"), limit_bytes=500 * MIB, limit_set_by="memory")
    assert "500.00 MiB, the machine&#39;s memory<" in page.render([one])
    assert "500.00 MiB<" in page.render([run(limit_bytes=500 * MIB)])


def test_a_source_that_is_data_is_cut():
    text = page.render([run(cell(0, "x\n" + "a" * 100_000))])
    assert "… 80,002 more characters" in text
    assert len(text) < 60_000


def test_a_curve_has_its_peak_and_its_limits():
    one = run(*analysis(), limit_bytes=500 * MIB)
    drawn = curve.curve(one, budgets.check(one, HELD), "n0c")
    assert drawn.count('class="peak"') == drawn.count('class="memory"') == 6
    assert drawn.count('class="limit"') == 2
    assert "┄ limit 500.00 MiB, --max-peak 300MiB</text>" in drawn
    assert ">500.00 MiB</text>" in drawn  # the top of the scale
    far = run(*analysis(), limit_bytes=5000 * MIB)
    assert 'class="limit"' not in curve.curve(far)


def test_curve_of_many_cells_and_of_none():
    assert curve.curve(run()) == curve.curve(run(not_run(0))) == ""
    many = run(*[cell(i, "x", seconds=0) for i in range(3000)])
    widths = re.findall(
        r'<rect [^>]* x="([\d.]+)" [^>]*width="([\d.]+)"', curve.curve(many)
    )
    assert len(widths) == 3000
    assert max(float(x) + float(width) for x, width in widths) <= 1000.5
    single = cell(0, "x", timeline={"t_ns": [0], "rss_bytes": [5 * MIB]})
    assert 'class="memory"' in curve.curve(run(single))


# ---- in a browser ----

ATTACK = """"'><script>window.hurt = 1</script><img src=x onerror="window.hurt = 2">\
</code></pre></title></style></script><svg onload="window.hurt = 3">\
<a href="javascript:window.hurt = 4">x</a>{{ 7 * 7 }}"""


def opened(browser, tmp_path, runs, violations, **options):
    path = tmp_path / "report.html"
    page.write_page(path, runs, violations)
    context = browser.new_context(**options)
    shown = context.new_page()
    shown.set_default_timeout(30_000)
    said, asked = [], []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())
    return shown, said, asked


def column(shown, number, table=".cells"):
    rows = shown.locator(f"{table} tbody").first.locator("tr")
    return [each.locator("th, td").nth(number).inner_text() for each in rows.all()]


def test_a_hostile_notebook_runs_nothing(browser, tmp_path):
    hostile = cell(
        0, f"{ATTACK}\nx", peak=400, label=ATTACK, cell_id=ATTACK, execution_count=1
    )
    fields = dict.fromkeys(
        ("message", "output", "kernel_name", "host", "started_at", "limit_set_by"),
        ATTACK,
    )
    one = run(hostile, notebook=ATTACK, limit_bytes=500 * MIB, **fields)
    runs = [one, run(notebook="b.ipynb")]
    shown, said, asked = opened(browser, tmp_path, runs, budgets.check(one, HELD))
    assert shown.evaluate("window.hurt") is None
    assert shown.locator("img, iframe, a[href^=javascript], table script").count() == 0
    assert shown.locator("h2", has_text="{{ 7 * 7 }}").count() == 1
    # And if something had come through, it would not run.
    shown.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hurt = 5";
            document.body.append(script);
        }"""
    )
    assert shown.evaluate("window.hurt") is None
    assert len(said) == 1
    assert "Content Security Policy" in said[0]
    assert len(asked) == 1


def test_sorted_by_mouse_and_by_keyboard(browser, tmp_path):
    from playwright.sync_api import expect

    shown, said, _ = opened(browser, tmp_path, *samples())
    header = shown.locator(".cells").first.get_by_role("columnheader")
    place, peak, state = header.nth(0), header.nth(3), header.nth(8)
    expect(place).to_have_attribute("aria-sort", "ascending")
    expect(peak).to_have_attribute("aria-sort", "none")
    in_order = column(shown, 0)
    assert in_order == [f"In [{i}]" for i in range(1, 7)]

    peak.get_by_role("button").click()  # the highest first
    expect(peak).to_have_attribute("aria-sort", "descending")
    expect(place).to_have_attribute("aria-sort", "none")
    sizes = [float(each) for each in column(shown, 3)]
    assert sizes == sorted(sizes, reverse=True)
    expect(shown.get_by_role("status")).to_have_text("sorted by Peak, descending")

    shown.keyboard.press("Enter")  # it has the focus
    expect(peak).to_have_attribute("aria-sort", "ascending")
    assert [float(each) for each in column(shown, 3)] == sizes[::-1]
    for _ in range(5):
        shown.keyboard.press("Tab")
    expect(state.get_by_role("button")).to_be_focused()
    shown.keyboard.press("Space")
    expect(state).to_have_attribute("aria-sort", "ascending")
    place.get_by_role("button").click()
    assert column(shown, 0) == in_order
    for number in range(9):
        header.nth(number).get_by_role("button").click()
    assert sorted(column(shown, 0)) == in_order

    # What is not known is last, whichever way.
    shown.locator("#n1 .cells").get_by_role("button", name="Used").click()
    assert column(shown, 0, "#n1 .cells")[-1] == "cell 7"
    shown.locator("#n1 .cells").get_by_role("button", name="Used").click()
    assert column(shown, 0, "#n1 .cells")[-1] == "cell 7"
    assert said == []


def test_without_scripts_all_is_there(browser, tmp_path):
    shown, _, _ = opened(browser, tmp_path, *samples(), java_script_enabled=False)
    assert shown.get_by_role("button").count() == 0
    assert column(shown, 0) == [f"In [{i}]" for i in range(1, 7)]
    details = shown.locator(".cells").first.locator("details").first
    details.locator("summary").click()
    assert details.locator("pre").inner_text() == SOURCES[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("desktop", 1200), ("phone", 360)])
def test_layout_of_the_page(browser, tmp_path, scheme, device, width):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    shown, said, asked = opened(
        browser, tmp_path, *samples(), color_scheme=scheme,
        viewport={"width": width, "height": 900},
    )  # fmt: skip
    # Nothing sticks out to the side, no figure is cut off or lies on another.
    too_wide = "each => each.scrollWidth > each.clientWidth + 1"
    for each in shown.locator("table:not(.cells) td, #n0 td, #n1 td").all():
        assert not each.evaluate(too_wide), each.inner_text()
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    for each in shown.locator("#n0 td, #n1 td, #n0 text").all():
        box = each.bounding_box()
        if box:  # what has no room on a phone is hidden
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width + 0.5
    for selector in ("h1", ".quiet", "#n0 .violation", "#n0 td code", "#n0 .state.ok"):
        assert shown.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector
    assert shown.get_by_role("img", name=re.compile("Memory over 6 cells")).is_visible()
    figure = shown.locator("figure").first.bounding_box()
    table = shown.locator("#n0 .cells").bounding_box()
    assert figure["y"] + figure["height"] <= table["y"]
    shown.screenshot(path=SCREENSHOTS / f"report-{device}-{scheme}.png", full_page=True)
    assert said == []
    assert len(asked) == 1


def test_a_link_leads_to_its_cell(browser, tmp_path):
    shown, _, _ = opened(browser, tmp_path, *samples())
    shown.locator(".violations a").last.click()
    assert shown.evaluate("location.hash").startswith("#n1")
    shown.locator("#n2 .curve a").nth(40).click()
    row = shown.locator("tr:target")
    assert row.locator("th").inner_text() == "In [41]"
    assert row.bounding_box()["y"] < 800


def test_on_paper(browser, tmp_path):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    shown, _, _ = opened(browser, tmp_path, *samples(), color_scheme="dark")
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    shown.emulate_media(media=None)
    paper = shown.pdf(path=SCREENSHOTS / "report.pdf", format="A4")
    assert paper.startswith(b"%PDF")
    # Unfolded for the printer, and folded again for who reads on.
    assert shown.locator("details[open]").count() == 0
    pypdfium2 = pytest.importorskip("pypdfium2")
    document = pypdfium2.PdfDocument(paper)
    text = "\n".join(each.get_textpage().get_text_range() for each in document)
    assert "import pandas as pd" in text
    assert "↕" not in text
