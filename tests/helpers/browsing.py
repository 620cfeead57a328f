"""A real browser, for tests of rendered pages."""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from support import ROOT

SCREENSHOTS = ROOT / "build/screenshots"

# No sandbox: root and containers cannot have one, and only test pages are loaded.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-background-networking", "--disable-sync",
]  # fmt: skip


def require(found, what):
    """Skip the test without it; fail if MEMWATCH_NEEDS_BROWSER is set."""
    if not found:
        if os.environ.get("MEMWATCH_NEEDS_BROWSER"):
            pytest.fail(f"{what} is not installed")
        pytest.skip(f"{what} is not installed; run `make browser`")


def importable(name):
    return find_spec(name) is not None


@contextmanager
def chromium():
    """Headless Chromium, driven by Playwright."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    program = next(filter(None, found), None)
    require(importable("playwright"), "Playwright")
    require(program, "Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, headless=True, args=FLAGS
        )
        yield started
        started.close()


CONTRAST = """element => {
    const luminance = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(each => {
            const c = each / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    const nothing = /^(transparent|rgba\\(.*, 0\\))$/;
    while (nothing.test(getComputedStyle(behind).backgroundColor))
        behind = behind.parentElement;
    const both = [
        luminance(getComputedStyle(element).color),
        luminance(getComputedStyle(behind).backgroundColor),
    ].sort((a, b) => a - b);
    return (both[1] + 0.05) / (both[0] + 0.05);
}"""
"""The contrast of an element's text to its background, as defined by WCAG."""
