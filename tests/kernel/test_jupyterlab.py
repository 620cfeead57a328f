"""A real JupyterLab in a real browser: what it shows below a cell."""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from contextlib import contextmanager

import nbformat
import pytest

from browsing import CONTRAST, SCREENSHOTS, importable, require
from memwatch import CellReport
from memwatch.display import charts
from support import MIB, lines_in

GROWS = """\
import mmap, time
held = []
for mib in [8] * 24:
    held.append(mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE))
    held[-1][::4096] = b'x' * (mib << 8)
    time.sleep(0.01)
del held[12:]
time.sleep(0.1)"""
GIVES_BACK = """\
time.sleep(0.1); held.clear(); time.sleep(0.1)
text = bytearray(300 << 20); time.sleep(0.1); del text
time.sleep(0.1)"""
NO_CHART = "kept = len(held)"
CELLS = ["%load_ext memwatch", GROWS, NO_CHART, GIVES_BACK, "%memwatch plot"]
SHAPES = (2, 4)
"""The execution counts of the cells that get a chart."""


def settings(folder, plugin, values):
    package, name = plugin.split(":")
    path = folder / package / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


@contextmanager
def jupyterlab(home, theme):
    """JupyterLab without user configuration; yields its address and its token."""
    chosen = home / "settings"
    settings(chosen, "@jupyterlab/apputils-extension:themes", {"theme": theme})
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    settings(chosen, "@jupyterlab/apputils-extension:notification", quiet)
    # Render all cells, not only the visible ones.
    settings(
        chosen, "@jupyterlab/notebook-extension:tracker", {"windowingMode": "none"}
    )
    folders = {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(chosen),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    token = secrets.token_hex()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
            f"--ServerApp.root_dir={home / 'notebooks'}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.news_url=", "--LabApp.extension_manager=readonly",
        ],
        env={**os.environ, **folders, "JUPYTER_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    log = []
    try:
        address = None
        for line in server.stderr:
            log.append(line)
            match = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if match:
                address = match[0]
                break
        assert address, "".join(log)
        # An unread pipe would block the server.
        threading.Thread(target=log.extend, args=(server.stderr,), daemon=True).start()
        yield address, token
    finally:
        server.terminate()  # and its kernels
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def write_notebooks(folder):
    folder.mkdir(parents=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    v4 = nbformat.v4
    cells = [v4.new_code_cell(code) for code in CELLS]
    nbformat.write(
        v4.new_notebook(cells=cells, metadata=kernel), folder / "shapes.ipynb"
    )
    # Not executed here, so not trusted.
    grown = CellReport(
        label="In [1]", duration_ns=10**9, rss_start_bytes=50 * MIB,
        rss_end_bytes=90 * MIB, rss_peak_bytes=100 * MIB,
    )  # fmt: skip
    data = v4.new_output("display_data", data=charts.bundle(grown))
    cells = [v4.new_code_cell("load()", outputs=[data], execution_count=1)]
    nbformat.write(
        v4.new_notebook(cells=cells, metadata=kernel), folder / "foreign.ipynb"
    )


def open_notebook(page, address, token, name):
    page.goto(f"{address}doc/tree/{name}?token={token}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()


def run_all_cells(page):
    # Requests before the kernel is idle are lost.
    page.locator("#jp-main-statusbar").get_by_text(re.compile("Idle$")).wait_for()
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()


def is_saved(response):
    is_it = response.url.partition("?")[0].endswith("/api/contents/shapes.ipynb")
    return is_it and response.request.method == "PUT" and response.ok


@pytest.mark.parametrize(
    ("name", "theme"), [("light", "JupyterLab Light"), ("dark", "JupyterLab Dark")]
)
def test_sparklines_in_jupyterlab(browser, tmp_path, name, theme):
    require(importable("jupyterlab"), "JupyterLab")
    from playwright.sync_api import expect

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    write_notebooks(tmp_path / "notebooks")
    with jupyterlab(tmp_path, theme) as (address, token):
        page = browser.new_page(viewport={"width": 1100, "height": 1180})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        open_notebook(page, address, token, "shapes.ipynb")
        is_light = str(name == "light").lower()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)
        run_all_cells(page)

        # The figure of the session, once, is the last output.
        expect(page.locator(".jp-OutputArea img")).to_have_count(1)
        outputs = page.locator(".jp-OutputArea-output")
        lines = lines_in("\n".join(outputs.all_inner_texts()))
        assert [line.n for line in lines] == [1, 2, 3, 4]

        for number in (1, 3):
            assert page.get_by_role("img", name=f"Memory of In [{number}]").count() == 0
        for number in SHAPES:
            description = re.compile(
                rf"Memory of In \[{number}\] over \d\.\d\d s: used -?\d+\.\d\d MiB,"
                r" peak (at least )?\d+\.\d\d MiB, peaked \d+\.\d\d MiB above current,"
                r" total \d+\.\d\d MiB"
            )
            picture = page.get_by_role("img", name=description)
            expect(picture).to_be_visible()
            assert picture.evaluate(CONTRAST) >= 4.5
            line = outputs.filter(has_text=re.compile(rf"In \[{number}\] used"))
            below = picture.bounding_box()["y"]
            assert below >= line.bounding_box()["y"] + line.bounding_box()["height"] - 1
            caption = picture.locator("xpath=..").get_by_text(re.compile("^peak "))
            expect(caption).to_be_visible()

        page.locator(".jp-OutputArea img").scroll_into_view_if_needed()
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
        cell = page.locator(".jp-CodeCell").nth(1)
        cell.screenshot(path=SCREENSHOTS / f"{name}-cell.png")

        # As at 200 % zoom: half the size, twice the pixels.
        zoomed = browser.new_page(
            viewport={"width": 550, "height": 500}, device_scale_factor=2
        )
        zoomed.set_default_timeout(60_000)
        with page.expect_response(is_saved):
            page.keyboard.press("Control+s")
        open_notebook(zoomed, address, token, "shapes.ipynb")
        sparkline = zoomed.locator(".memwatch-sparkline").first
        sparkline.scroll_into_view_if_needed()
        expect(sparkline.locator("svg").first).to_be_visible()
        box = sparkline.locator("svg").first.bounding_box()
        assert box["x"] + box["width"] <= 550
        zoomed.screenshot(path=SCREENSHOTS / f"{name}-200.png")

        assert not re.search("[▁▂▃▄▅▆▇█]", zoomed.locator("body").inner_text())

        # In an untrusted notebook blocks and the text replace the SVG.
        open_notebook(page, address, token, "foreign.ipynb")
        expect(page.get_by_text("peak 100.00 MiB", exact=True)).to_be_visible()
        expect(
            page.get_by_text("lowest 50.00 MiB over 1.00 s", exact=True)
        ).to_be_visible()
        assert page.locator(".jp-OutputArea-output svg").count() == 0
        foreign = page.locator(".jp-OutputArea-output").inner_text()
        assert re.match("[▁▂▃▄▅▆▇█]{40}\\s", foreign), foreign
        page.screenshot(path=SCREENSHOTS / f"{name}-untrusted.png")
