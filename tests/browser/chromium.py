"""Where the Chromium is that the browser tests drive; as a script it prints the path, or nothing."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Chromium without a window takes two thirds of the processor time of the whole browser."""


def find_chromium() -> str | None:
    """Return $PYOJEONG_CHROMIUM, an installed Chromium or Chrome, or the one Playwright downloaded; else None."""
    named = os.environ.get("PYOJEONG_CHROMIUM")
    if named:
        return named
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    # Imported late: the set-up asks this file before it knows whether the test tools are in.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


if __name__ == "__main__":
    print(find_chromium() or "")
