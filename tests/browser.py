"""What every test in a browser needs: Debian's Chromium, and patience with a busy machine."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect

__all__ = ["MARKS", "expect", "launch", "patient"]

# The first needs half the processor time of the others, which can also draw on a screen.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
MARKS = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]
PATIENCE = 45_000  # milliseconds; only a test that fails waits so long

expect.set_options(timeout=PATIENCE)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
        timeout=4 * PATIENCE,
    )


def patient(context: BrowserContext) -> BrowserContext:
    """Let every action and navigation of this context's pages wait for a busy machine."""
    context.set_default_timeout(PATIENCE)
    return context
