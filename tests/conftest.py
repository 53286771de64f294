"""Shared by all tests: hypothesis without a clock, and what a browser test needs, said in a sentence where it is missing."""

import importlib.util
import os
import shutil
import signal

import pytest
from hypothesis import settings

settings.register_profile("course", deadline=None, derandomize=True)       # the same examples everywhere, however slow the machine
settings.load_profile("course")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:           # a shell that runs the tests with & has it ignored; they send it
    signal.signal(signal.SIGINT, signal.default_int_handler)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str | None:
    """Path of the browser: $CHROMIUM, or the first on the PATH that Playwright can drive."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    return next((path for path in map(shutil.which, names) if path), None)


def missing_for_browser_tests() -> str | None:
    """What a browser test lacks on this machine, as a sentence, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "The browser tests need Playwright: install it with `pip install playwright`."
    if find_browser() is None:
        return "The browser tests need Chromium: install it with `apt-get install chromium`, or name it with CHROMIUM=/path/to/chromium."
    return None


def pytest_runtest_setup(item):
    lacking = missing_for_browser_tests() if item.get_closest_marker("browser") else None
    if lacking:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
