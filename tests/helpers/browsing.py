"""A real browser, for tests of what a person sees."""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from support import ROOT

SCREENSHOTS = ROOT / "build/screenshots"

# No sandbox: root and containers can have none, and it sees no page but ours.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-background-networking", "--disable-sync",
]  # fmt: skip


def need(found, what):
    """Skip where that is not there; but fail who has said that it has to be."""
    if not found:
        if os.environ.get("MEMWATCH_NEEDS_BROWSER"):
            pytest.fail(f"{what} is not there")
        pytest.skip(f"{what} is not there; `make browser` installs what it takes")


def importable(name):
    return find_spec(name) is not None


@contextmanager
def chromium():
    """Headless Chromium, driven by Playwright."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    program = next(filter(None, found), None)
    need(importable("playwright"), "Playwright")
    need(program, "Chromium")
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
"""The contrast of an element's text to what is behind it, as WCAG has it."""
